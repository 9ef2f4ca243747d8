"""Sessions: how rows are read and written."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.orm import Session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """Yield a session that only reads. It waits for no writer."""
    with Session(engine) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """Yield a session whose changes are on the disk when the block ends; none of them is if the block raises.

    On SQLite it holds the one right to write from its first line, so that two who read and then write never fail: keep
    the block short, and do nothing slow in it.
    """
    with Session(engine.execution_options(writing=True), expire_on_commit=False) as session, session.begin():
        yield session
