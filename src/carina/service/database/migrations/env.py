"""What Alembic runs for each script: on the connection that it was given, within its transaction."""

from alembic import context

from carina.service.database.all_tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
