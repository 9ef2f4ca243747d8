"""A row is added unless another one with the same unique values is there."""

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert_new(session: Session, table: Any, **values: Any) -> Any:
    """Insert a row and return its key; none where one with the same unique values is there, or comes meanwhile."""
    build = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    key = inspect(table).primary_key[0]
    return session.execute(build(table).values(**values).on_conflict_do_nothing().returning(key)).scalar()
