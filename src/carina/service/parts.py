"""What the parts of a site say of themselves: that they are there, and what keeps them from their work."""

import time
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from carina.service.database.base import now
from carina.service.database.sessions import writing
from carina.service.database.study_tables import WAITING, Image, Part
from carina.service.judging.switching import left_to_follow
from carina.service.site_folder import Site
from carina.wording import counted

_EVERY_S = 20.0
# An image that waits for so long shows that nobody judges, whatever the parts say.
_LONG = timedelta(minutes=15)
# A part that was not seen for so long is gone.
_GONE = timedelta(seconds=90)


class Presence:
    """Says of a part that it is there, every now and then, and at once when its problem changes."""

    def __init__(self, site: Site, name: str) -> None:
        self._site, self._name = site, name
        self._said: str | None = None
        self._next = 0.0

    def say(self, problem: str | None = None) -> None:
        """Say that the part is there, and what keeps it from its work; while the database is away, nothing."""
        if problem == self._said and time.monotonic() < self._next:
            return
        try:
            with writing(self._site.engine) as session:
                session.merge(Part(name=self._name, seen_at=now(), problem=problem))
        except SQLAlchemyError:
            return
        self._said, self._next = problem, time.monotonic() + _EVERY_S

    def leave(self) -> None:
        """Say that the part has ended."""
        try:
            with writing(self._site.engine) as session:
                session.execute(delete(Part).where(Part.name == self._name))
        except SQLAlchemyError:
            return


def problems(session: Session) -> dict[str, str]:
    """Return what keeps parts from their work, by their names; those that were not seen for long are among them."""
    rows = session.execute(select(Part).order_by(Part.name)).scalars()
    said = ((row.name, row.problem or _absence(row.seen_at)) for row in rows)
    found = {name: problem for name, problem in said if problem is not None}
    waiting = session.execute(
        select(func.count(), func.min(Image.received_at)).where(WAITING, Image.received_at < now() - _LONG)
    ).one()
    if waiting[0]:
        since = f"the first since {waiting[1]:%Y-%m-%d %H:%M} UTC"
        found["judging"] = (
            f"{counted(waiting[0], 'image')} waited for over {round(_LONG.total_seconds() / 60)} minutes to be judged, "
            f"{since}. Check that carina serve runs a worker, and what it says."
        )
    if left := left_to_follow(session):
        found["model"] = (
            f"Another model was taken into use. The worklist still shows what the model before said of "
            f"{counted(left, 'unread study', 'unread studies')}; it follows by itself."
        )
    return found


def has_worker(session: Session) -> bool:
    """Return whether a worker is there that can judge."""
    since = now() - _GONE
    return (
        session.execute(
            select(Part.name)
            .where(Part.name.startswith("worker "), Part.seen_at > since, Part.problem.is_(None))
            .limit(1)
        ).first()
        is not None
    )


def _absence(seen_at: datetime) -> str | None:
    if now() - seen_at < _GONE:
        return None
    return f"It was last seen at {seen_at:%Y-%m-%d %H:%M} UTC. It has ended, or it hangs."
