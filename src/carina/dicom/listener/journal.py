"""The journal: which objects were received, and how far each has come. What it says is on the disk when it returns.

States::

    received ─► judged ─► sent
       │  └────────┴────► dead      given up after many attempts; received again if its sender sends it again
       └─► refused                  it cannot be judged, with the reason

SQLite keeps it, in one file with its write-ahead log, every change flushed to the disk (synchronous = FULL). Changes
that are asked for at the same time share one flush.
"""

import hashlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from carina.errors import ConfigurationError
from carina.storage.durable import sync_folder

State = Literal["received", "judged", "sent", "refused", "dead"]
_Result = TypeVar("_Result")
_Change = Callable[[sqlite3.Connection], Any]
# What is wanted, whether it changes nothing, and who waits for it.
_Wanted = tuple[_Change, bool, Future[Any]]

_APPLICATION_ID = 0x43_41_52_4A
_VERSION = 1
_SHARED = 64
_SCHEMA = """
CREATE TABLE objects (
    digest TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL DEFAULT 0,
    reason TEXT,
    changed REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX objects_waiting ON objects (due) WHERE state IN ('received', 'judged');
CREATE TABLE answers (uid BLOB PRIMARY KEY, changed REAL NOT NULL) WITHOUT ROWID;
"""


class JournalError(OSError):
    """The journal could not be written; the disk is full, for one. What was asked for was not done."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of an object: its size in bytes, how far it has come, and how many attempts failed in this state.

    `due` is when the next attempt may be made, in seconds since 1970; `reason` is why the object was refused, given up,
    or failed last.
    """

    digest: str
    state: State
    size: int
    attempts: int
    due: float
    reason: str | None


class Journal:
    """The journal in a folder on a disk of this machine: over a network, flushing and locking cannot be relied on.

    Raises
    ------
    ConfigurationError
        If another process uses it, or it is no journal of this version.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.sqlite3"
        self._connection = self._open()
        sync_folder(folder)
        self._wanted: queue.SimpleQueue[_Wanted | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="journal", daemon=True)
        self._writer.start()
        self._closed = False

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=2)
        try:
            # One process at a time. Its lock ends with it, however it ends.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION or connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
                msg = f"{self.path} is no journal of this version of Carina. Name another folder."
                raise ConfigurationError(msg)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.close()
            if "locked" in str(error):
                msg = f"{self.path} is in use by another process. End it, or name another folder."
            else:
                msg = f"{self.path} cannot be used: {error}. Name another folder, on a disk of this machine."
            raise ConfigurationError(msg) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Write what was asked for, and let another process have the journal."""
        self._closed = True
        self._wanted.put(None)
        self._writer.join()
        self._connection.close()

    def find(self, digest: str) -> Record | None:
        """Return what is known of an object."""
        return self._do(lambda connection: _find(connection, digest), reading=True)

    def look_up(self, digest: str, uid: str) -> tuple[Record | None, bool]:
        """Return what is known of an object, and whether its UID is that of an answer that was made here."""
        key = _uid_key(uid)

        def find(connection: sqlite3.Connection) -> tuple[Record | None, bool]:
            row = connection.execute("SELECT 1 FROM answers WHERE uid = ?", (key,)).fetchone()
            return _find(connection, digest), row is not None

        return self._do(find, reading=True)

    def waiting(self) -> list[Record]:
        """Return all objects that are still to be judged, or whose answers are still to be sent; earliest first."""

        def select(connection: sqlite3.Connection) -> list[Record]:
            rows = connection.execute(f"{_SELECT} WHERE state IN ('received', 'judged') ORDER BY due, changed")
            return [Record(*row) for row in rows]

        return self._do(select, reading=True)

    def states(self) -> dict[str, int]:
        """Return how many objects are in each state."""
        return self._do(
            lambda connection: dict(
                connection.execute("SELECT state, count(*) FROM objects GROUP BY state").fetchall()
            ),
            reading=True,
        )

    def receive(self, digest: str, size: int) -> None:
        """Note a new object, or one that was given up and came again.

        Raises
        ------
        JournalError
            If it cannot be noted; it must not be acknowledged then.
        """
        self._do(
            lambda connection: connection.execute(
                "INSERT INTO objects (digest, state, bytes, changed) VALUES (?, 'received', ?, ?) ON CONFLICT (digest) "
                "DO UPDATE SET state = 'received', attempts = 0, due = 0, reason = NULL, changed = excluded.changed",
                (digest, size, time.time()),
            )
        )

    def judge(self, digest: str, answers: Iterable[str]) -> None:
        """Note that an object was judged, and by what UIDs its answers may come back."""
        uids = [(_uid_key(uid), time.time()) for uid in answers]

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", uids)
            _set(connection, digest, "judged", None)

        self._do(change)

    def refuse(self, digest: str, reason: str) -> None:
        """Note that an object cannot be judged, and why."""
        self._do(lambda connection: _set(connection, digest, "refused", reason))

    def fail(self, digest: str, due: float, reason: str, *, counted: bool = True) -> int:
        """Note that an attempt failed, and when to try again; return how many have failed in this state."""

        def change(connection: sqlite3.Connection) -> int:
            connection.execute(
                "UPDATE objects SET attempts = attempts + ?, due = ?, reason = ?, changed = ? WHERE digest = ?",
                (int(counted), due, reason, time.time(), digest),
            )
            row = connection.execute("SELECT attempts FROM objects WHERE digest = ?", (digest,)).fetchone()
            return int(row[0])

        return self._do(change)

    def send(self, digests: Iterable[str]) -> None:
        """Note that all answers to some objects were taken by their destination."""
        done = list(digests)

        def change(connection: sqlite3.Connection) -> None:
            for digest in done:
                _set(connection, digest, "sent", None)

        self._do(change)

    def give_up(self, digest: str, reason: str) -> None:
        """Note that nothing more is tried with an object."""
        self._do(lambda connection: _set(connection, digest, "dead", reason, keep_attempts=True))

    def forget(self, before: float) -> int:
        """Drop what is known of objects that were done with before a time, in seconds since 1970; return how many."""

        def change(connection: sqlite3.Connection) -> int:
            connection.execute("DELETE FROM answers WHERE changed < ?", (before,))
            done = "state IN ('sent', 'refused')"
            return connection.execute(f"DELETE FROM objects WHERE {done} AND changed < ?", (before,)).rowcount  # noqa: S608

        return self._do(change)

    def _do(self, change: Callable[[sqlite3.Connection], _Result], *, reading: bool = False) -> _Result:
        """Return what a change returns, once it is on the disk; or what reading returns.

        Raises
        ------
        JournalError
            If it could not be written. Then nothing was changed.
        """
        if self._closed:
            msg = "The journal is closed."
            raise JournalError(msg)
        done: Future[_Result] = Future()
        self._wanted.put((change, reading, done))
        return done.result()

    def _write(self) -> None:
        """Do what is asked for, in turn; the changes that wait together in one transaction."""
        going_on = True
        while going_on:
            batch = [self._wanted.get()]
            while len(batch) < _SHARED and not self._wanted.empty():
                batch.append(self._wanted.get())
            going_on = None not in batch
            wanted = [one for one in batch if one is not None]
            # Who reads does not wait for the flush, and sees nothing that may still be rolled back.
            for one in wanted:
                if one[1]:
                    self._do_together([one])
            if changes := [one for one in wanted if not one[1]]:
                self._do_together(changes)

    def _do_together(self, wanted: list[_Wanted]) -> None:
        try:
            self._connection.execute("BEGIN" if wanted[0][1] else "BEGIN IMMEDIATE")
            results = [change(self._connection) for change, _, _ in wanted]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # who asked is told, and the journal goes on
            self._roll_back()
            for _, _, done in wanted:
                done.set_exception(JournalError(f"The journal could not be written: {error}."))
            return
        for (_, _, done), result in zip(wanted, results, strict=True):
            done.set_result(result)

    def _roll_back(self) -> None:
        # SQLite rolls back by itself where the disk failed.
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


_SELECT = "SELECT digest, state, bytes, attempts, due, reason FROM objects"


def _find(connection: sqlite3.Connection, digest: str) -> Record | None:
    row = connection.execute(f"{_SELECT} WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else Record(*row)


def _set(
    connection: sqlite3.Connection, digest: str, state: State, reason: str | None, *, keep_attempts: bool = False
) -> None:
    connection.execute(
        "UPDATE objects SET state = ?, reason = ?, attempts = attempts * ?, due = 0, changed = ? WHERE digest = ?",
        (state, reason, int(keep_attempts), time.time(), digest),
    )


def _uid_key(uid: str) -> bytes:
    return hashlib.sha256(uid.encode("utf-8")).digest()
