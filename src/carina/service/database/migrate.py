"""The database's tables are made, and brought to those of this version, at each start."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from carina.errors import ConfigurationError

_SCRIPTS = Path(__file__).parent / "migrations"
# Two processes that start together must not both make the tables. Any number that nobody else uses.
_LOCK = 0x43_41_52_4A


def migrate(engine: Engine) -> None:
    """Bring a database to the tables of this version. Nothing is written where it has them.

    Raises
    ------
    ConfigurationError
        If it cannot be reached, or belongs to a later version of Carina.
    """
    try:
        # Without this look every start would wait for whoever writes.
        with engine.connect() as connection:
            if revision_of(connection) == _newest():
                return
        with engine.execution_options(writing=True).begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            else:
                # Begins the transaction, and with it the one right to write.
                connection.execute(text("SELECT 1"))
            revision = revision_of(connection)
            if revision is not None and revision not in _known():
                msg = "The database belongs to a later version of Carina. Install that version, or a later one."
                raise ConfigurationError(msg)
            command.upgrade(migration_config(connection), "head")
    except SQLAlchemyError as error:
        # Its text may hold the address with its password.
        kind = type(getattr(error, "orig", None) or error).__name__
        msg = f"The database cannot be used ({kind}). Check that it runs, its address, and who may write to it."
        raise ConfigurationError(msg) from None


def migration_config(connection: Connection) -> Config:
    """Return what Alembic needs to work on a connection."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def revision_of(connection: Connection) -> str | None:
    """Return which tables a database has; none where it has none."""
    return MigrationContext.configure(connection).get_current_revision()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_SCRIPTS))


def _newest() -> str | None:
    return _scripts().get_current_head()


def _known() -> set[str]:
    return {script.revision for script in _scripts().walk_revisions()}
