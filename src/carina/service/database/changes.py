"""Learning that something was written to the database, by whatever process: who waits for work is woken."""

import contextlib
import time
from types import TracebackType
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

_CHANNEL = "carina_site"
# SQLite tells a change only to who asks; asking reads a number in shared memory, in some microseconds.
_ASK_EVERY_S = 0.03


def announce(session: Session) -> None:
    """Wake all who wait, once the session's changes are on the disk. On SQLite they find out by themselves."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {_CHANNEL}"))


class Changes:
    """What waits for changes, in one thread. Use it as a context, so that its connection is closed.

    Each call of `wait` tells of what was written since the call before. On PostgreSQL that is what was announced
    (`announce`), on SQLite everything.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._postgresql = engine.dialect.name == "postgresql"
        self._connection: Any = None
        self._version: int | None = None

    def __enter__(self) -> "Changes":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                # Not back into the pool: it listens, or nobody knows its state.
                self._connection.invalidate()
            self._connection = None

    def wait(self, seconds: float) -> bool:
        """Wait for a change, at most so long; return whether there was one. The first call returns at once.

        A database that cannot be reached gives False after the time has passed.
        """
        until = time.monotonic() + seconds
        try:
            if self._connection is None:
                self._connect()
                return True
            return self._told(seconds) if self._postgresql else self._changed(until)
        except Exception:  # noqa: BLE001  # the driver's own errors; the connection is made again
            self.close()
            time.sleep(max(0.0, min(1.0, until - time.monotonic())))
            return False

    def _connect(self) -> None:
        connection = self._engine.raw_connection()
        try:
            if self._postgresql:
                connection.driver_connection.autocommit = True  # type: ignore[union-attr]
                connection.driver_connection.execute(f"LISTEN {_CHANNEL}")  # type: ignore[union-attr]
            else:
                self._version = self._asked(connection)
        except BaseException:
            connection.invalidate()
            raise
        self._connection = connection

    def _told(self, seconds: float) -> bool:
        told = list(self._connection.driver_connection.notifies(timeout=max(0.0, seconds), stop_after=1))
        return bool(told)

    def _changed(self, until: float) -> bool:
        while True:
            version = self._asked(self._connection)
            if version != self._version:
                self._version = version
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(_ASK_EVERY_S, left))

    @staticmethod
    def _asked(connection: Any) -> int:
        return int(connection.driver_connection.execute("PRAGMA data_version").fetchone()[0])


def is_reachable(engine: Engine) -> bool:
    """Return whether the database answers."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True
