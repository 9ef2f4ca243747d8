"""Alembic's scripts, one per change of the tables. Until the first release there is one, which makes them all."""
