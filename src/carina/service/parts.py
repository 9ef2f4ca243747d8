"""What the parts of a site say of themselves: that they are there, and what keeps them from their work."""

import time
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from carina.service.database.base import now
from carina.service.database.sessions import writing
from carina.service.database.study_tables import WAITING, Image, Part, Study
from carina.service.judging.switching import left_to_follow
from carina.service.site_folder import Site
from carina.service.site_settings import SiteSettings
from carina.wording import counted

_EVERY_S = 20.0
# An image that waits for so long shows that nobody judges, whatever the parts say.
_LONG = timedelta(minutes=15)
# A part that was not seen for so long is gone.
_GONE = timedelta(seconds=90)
# A worker that was not seen for so long, while others are, was replaced by one of them.
_REPLACED = timedelta(minutes=10)
# Clocks of a site's machines may differ by less.
_AHEAD = timedelta(minutes=2)
WORKER, LISTENER, WATCHED_FOLDER, OUTBOX = "worker ", "listener", "watched folder", "outbox"
POLLED, SILENT_MODELS = "DICOMweb", "silent models"


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


def forget_gone(session: Session, settings: SiteSettings) -> None:
    """Forget what the site has no more: parts that its settings no longer name, and workers that others replaced.

    A container that is replaced has another name, and its worker never says good-bye. Where no worker is left at all,
    none is forgotten: that nobody judges must be said.

    Parameters
    ----------
    session
        To write with.
    settings
        Of the site.
    """
    optional: dict[str, object] = {
        LISTENER: settings.listener,
        WATCHED_FOLDER: settings.watch,
        OUTBOX: settings.destination,
        POLLED: settings.dicomweb,
    }
    session.execute(delete(Part).where(Part.name.in_([name for name, table in optional.items() if table is None])))
    if has_worker(session):
        session.execute(delete(Part).where(Part.name.startswith(WORKER), Part.seen_at < now() - _REPLACED))


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
    return found | _clock_problem(session)


def disk_problem(site: Site) -> dict[str, str]:
    """Return what is to be said of the site's disk; nothing while it has room."""
    if site.has_room_for(0):
        return {}
    least = f"{site.settings.limits.keep_free_mb:g} MB"
    return {
        "disk": f"The disk of the site has less than {least} left. No image is taken in, and senders are told to try "
        "again. Free some room: it goes on by itself."
    }


def _clock_problem(session: Session) -> dict[str, str]:
    last, time = session.scalar(select(func.max(Study.changed_at))), now()
    if last is None or last <= time + _AHEAD:
        return {}
    return {
        "clock": f"The clock says {time:%Y-%m-%d %H:%M} UTC, and something was written at {last:%Y-%m-%d %H:%M} UTC "
        "already. It was set back, or it was wrong before. Waiting times are wrong until it has passed that time. "
        "Let the machine set its clock by the network."
    }


def has_worker(session: Session) -> bool:
    """Return whether a worker is there that can judge."""
    since = now() - _GONE
    return (
        session.execute(
            select(Part.name).where(Part.name.startswith(WORKER), Part.seen_at > since, Part.problem.is_(None)).limit(1)
        ).first()
        is not None
    )


def _absence(seen_at: datetime) -> str | None:
    if now() - seen_at < _GONE:
        return None
    return f"It was last seen at {seen_at:%Y-%m-%d %H:%M} UTC. It has ended, or it hangs."
