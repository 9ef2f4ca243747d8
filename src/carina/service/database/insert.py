"""A row is added unless another one with the same unique values is there."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert_new(session: Session, table: Any, **values: Any) -> int | None:
    """Insert a row and return its ID; none where one with the same unique values is there, or comes meanwhile."""
    build = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return session.execute(build(table).values(**values).on_conflict_do_nothing().returning(table.id)).scalar()
