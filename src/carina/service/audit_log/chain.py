"""The audit log is written and checked: each line holds the hash of the line before it.

A line that was changed or taken out breaks the chain at its place. Lines that were cut off at the end leave a chain
that is whole but shorter: keep the last number and hash elsewhere, and compare.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from carina.service.audit_log.audit_tables import AuditEvent
from carina.service.database.base import now

Action = Literal[
    "account-added",
    "account-changed",
    "alert-seen",
    "audit-exported",
    "fitting-asked",
    "fitting-ended",
    "image-opened",
    "login",
    "login-failed",
    "login-throttled",
    "logout",
    "mode-changed",
    "model-changed",
    "model-retired",
    "password-wrong",
    "refused",
    "sessions-ended",
    "study-deleted",
    "study-opened",
    "study-result-read",
    "study-uploaded",
    "token-added",
    "token-ended",
    "verdict-given",
    "worklist-searched",
    "setting-changed",
]
ACTIONS: tuple[str, ...] = get_args(Action)
START = "0" * 64
# Any number will do, as long as nothing else in the database takes a lock by it.
_LOCK = 4_170_001


@dataclass(frozen=True, slots=True)
class Checked:
    """What checking the chain found.

    Attributes
    ----------
    lines
        How many were checked.
    broken_at, why
        Number of the first line that is not as it was written, and what is wrong; none where the chain is whole.
    head
        Hash of the last line that was checked.
    """

    lines: int
    broken_at: int | None
    why: str | None
    head: str

    @property
    def whole(self) -> bool:
        """Return whether no line was changed or taken out."""
        return self.broken_at is None


def append(
    session: Session, actor: str, action: Action, subject: str = "", details: Mapping[str, Any] | None = None
) -> None:
    """Add a line in the caller's transaction: it is there if and only if what it tells of is.

    On SQLite the session must be `carina.service.database.sessions.writing`, so that nobody else writes; PostgreSQL
    gives a lock until the transaction ends. What else the transaction does should be short.

    Parameters
    ----------
    actor, subject
        By number: ``account 3``, ``study 12``. Never a name or another word of a patient.
    details
        What JSON holds.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    last = session.execute(select(AuditEvent.seq, AuditEvent.hash).order_by(AuditEvent.seq.desc()).limit(1)).first()
    seq, previous = (1, START) if last is None else (last.seq + 1, last.hash)
    event = AuditEvent(
        seq=seq, at=now(), actor=actor, action=action, subject=subject, details=dict(details or {}), previous=previous
    )
    event.hash = _hash_of(event)
    session.add(event)
    session.flush()


def verify(session: Session) -> Checked:
    """Return whether every line is as it was written, and if not which is the first that is not."""
    seq, head = 0, START
    query = select(AuditEvent).order_by(AuditEvent.seq).execution_options(yield_per=1000)
    with closing(session.scalars(query)) as events:
        for event in events:
            seq += 1
            wrong = _wrong_with(event, seq, head)
            if wrong is not None:
                return Checked(seq - 1, seq, wrong, head)
            head = event.hash
    return Checked(seq, None, None, head)


def _wrong_with(event: AuditEvent, seq: int, previous: str) -> str | None:
    if event.seq != seq:
        return f"line {seq} is missing"
    if event.previous != previous:
        return "it does not follow the line before it"
    return None if event.hash == _hash_of(event) else "its content was changed"


def export(session: Session, *, search: str = "", action: str = "") -> Iterator[str]:
    """Yield the log as CSV, oldest line first; times in UTC. The parameters are those of `found`."""
    yield _csv("seq", "at", "actor", "action", "subject", "details", "previous", "hash")
    query = found(search=search, action=action).order_by(AuditEvent.seq).execution_options(yield_per=1000)
    with closing(session.scalars(query)) as events:
        for event in events:
            yield _csv(
                *(event.seq, event.at.astimezone(UTC).isoformat(), event.actor, event.action, event.subject),
                *(_canonical(event.details), event.previous, event.hash),
            )


def found(*, search: str = "", action: str = "") -> Any:
    """Return the query for lines of an action whose actor or subject is what was searched for, whole."""
    query = select(AuditEvent)
    if action:
        query = query.where(AuditEvent.action == action)
    if search:
        query = query.where((AuditEvent.actor == search) | (AuditEvent.subject == search))
    return query


def _hash_of(event: AuditEvent) -> str:
    at: datetime = event.at.astimezone(UTC)
    content = [event.seq, at.isoformat(), event.actor, event.action, event.subject, event.details, event.previous]
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _canonical(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _csv(*cells: Any) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()
