"""What all tables share: the base of their classes, how times are kept, and how a database is opened."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, DateTime, Engine, MetaData, create_engine, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator, TypeEngine

from carina.errors import ConfigurationError
from carina.extras import require_libraries

# A writer waits so long for another one before it gives up.
_BUSY_S = 30.0
DATABASE_FILE = "site.sqlite3"


class UtcTime(TypeDecorator[datetime]):
    """A time with its zone: UTC on both sides. SQLite keeps no zone, so it is put back on reading.

    Raises
    ------
    ValueError
        If a time without a zone is to be kept: nobody could say what it means.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the database's own type."""
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return what is kept: UTC, and for SQLite without saying so."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "A time without a zone cannot be kept. Use datetime.now(UTC)."
            raise ValueError(msg)
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the time with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# JSONB answers questions about its contents; SQLite keeps JSON as text.
JsonValue = JSON().with_variant(JSONB(), "postgresql")


class Base(DeclarativeBase):
    """The base of all tables of a site. One metadata for all, so that one migration makes all."""

    # Names that a migration can rely on, whatever the database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcTime}  # noqa: RUF012  # SQLAlchemy's own form


def now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


def database_url(folder: Path, database: str | None) -> URL:
    """Return where a site's database is: a file in its folder, or what its settings name.

    Raises
    ------
    ConfigurationError
        If it is neither SQLite nor PostgreSQL. No password is shown.
    """
    if database is None:
        return URL.create("sqlite", database=str((folder / DATABASE_FILE).absolute()))
    try:
        url = make_url(database)
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "postgresql":
        msg = (
            "The database cannot be used. Write postgresql://USER@HOST/NAME, or leave it out: then the site's folder "
            "holds a file of SQLite."
        )
        raise ConfigurationError(msg)
    return url.set(drivername="postgresql+psycopg")


def open_engine(url: URL) -> Engine:
    """Return a database that is ready for use. Nothing is asked of it yet.

    On SQLite every transaction begins with BEGIN, readers do not wait for writers (WAL), foreign keys hold, and what
    was committed is on the disk (synchronous = FULL). No error's text holds the values of a statement.
    """
    if url.get_backend_name() == "postgresql":
        require_libraries("A database of PostgreSQL", "psycopg")
        # A connection that the server ended is noticed before it is used.
        return create_engine(url, pool_pre_ping=True, pool_size=10, max_overflow=20, hide_parameters=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_S, "check_same_thread": False}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    # Python's own handling of transactions begins them too late: a read would not be part of one.
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "foreign_keys = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    # Who will write says so before reading (`writing`): of two who read first and then write, one would fail.
    immediate = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
