"""The database of a site: SQLite in the site's folder, or PostgreSQL."""
