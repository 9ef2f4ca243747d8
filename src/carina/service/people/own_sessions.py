"""The browsers in which somebody is logged in, and how they log out the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select

from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.people.logins import IDLE, Person
from carina.service.people.people_tables import LoginSession

# Of the hash of a cookie: enough to tell one's own sessions apart.
_NUMBER = 16


@dataclass(frozen=True, slots=True)
class OwnSession:
    """A session of the person who asks.

    Attributes
    ----------
    number
        By which it is named; nobody can log in by it.
    is_this
        Whether it is the one that asks.
    """

    number: str
    begun_at: datetime
    seen_at: datetime
    is_this: bool


def own_sessions(engine: Engine, person: Person) -> Sequence[OwnSession]:
    """Return the sessions of a person that last, the one used last first."""
    query = select(LoginSession).where(
        LoginSession.account_id == person.account_id,
        LoginSession.expires_at > now(),
        LoginSession.last_seen_at > now() - IDLE,
    )
    with reading(engine) as session:
        rows = session.scalars(query.order_by(LoginSession.last_seen_at.desc())).all()
    return [
        OwnSession(row.token_hash[:_NUMBER], row.created_at, row.last_seen_at, row.csrf == person.csrf) for row in rows
    ]


def end_sessions(engine: Engine, person: Person, numbers: Sequence[str]) -> int:
    """End some of a person's sessions, but never the one that asks; return how many have ended."""
    with writing(engine) as session:
        rows = session.scalars(
            select(LoginSession).where(LoginSession.account_id == person.account_id, LoginSession.csrf != person.csrf)
        ).all()
        chosen = [row for row in rows if row.token_hash[:_NUMBER] in numbers]
        for row in chosen:
            session.delete(row)
        if chosen:
            append(session, person.actor, "sessions-ended", person.actor, {"count": len(chosen)})
    return len(chosen)
