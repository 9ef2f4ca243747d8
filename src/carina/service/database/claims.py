"""Workers take images to judge: each image is with one worker at a time, for as long as its claim lasts."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import and_, exists, or_, select, update
from sqlalchemy.orm import Session

from carina.service.database.base import now
from carina.service.database.study_tables import AT_ONCE, WAITING, Image, Judgement

# A time further ahead was written before the clock was set back.
_AHEAD = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Claimed:
    """An image that a worker has taken."""

    image_id: int
    digest: str
    attempts: int


def claim(session: Session, worker: str, *, most: int, lease_s: float) -> list[Claimed]:
    """Return images that wait to be judged, the earliest first, and let no other worker take them meanwhile.

    Parameters
    ----------
    session
        To write with. On SQLite it holds the one right to write; on PostgreSQL rows that another worker is just taking
        are passed over (SKIP LOCKED).
    worker
        Its name.
    most
        So many at most.
    lease_s
        So many seconds after it was renewed last (`renew`), a claim has ended: its worker was killed.
    """
    time = now()
    free = or_(
        Image.claimed_at.is_(None),
        Image.claimed_at < time - timedelta(seconds=lease_s),
        Image.claimed_at > time + _AHEAD,
    )
    due = or_(Image.due_at <= time, Image.due_at > time + _AHEAD)
    rows = session.execute(
        select(Image.id, Image.digest, Image.attempts)
        .where(WAITING, due, free)
        .order_by(Image.due_at, Image.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        session.execute(
            update(Image).where(Image.id.in_([row.id for row in rows])).values(claimed_by=worker, claimed_at=time)
        )
    return [Claimed(*row) for row in rows]


def release(session: Session, worker: str) -> int:
    """End all claims of a worker, which has just started and so has none; return how many there were."""
    own = update(Image).where(Image.claimed_by == worker, WAITING).values(claimed_by=None, claimed_at=None)
    return len(session.execute(own.returning(Image.id)).all())


def renew(session: Session, worker: str) -> None:
    """Let all claims of a worker last from now on: it is at work on them."""
    session.execute(update(Image).where(Image.claimed_by == worker, WAITING).values(claimed_at=now()))


def put_off(session: Session, image_id: int, seconds: float, *, attempts: int) -> None:
    """Let an image wait so long for its next attempt."""
    session.execute(
        update(Image)
        .where(Image.id == image_id, WAITING)
        .values(claimed_by=None, claimed_at=None, attempts=attempts, due_at=now() + timedelta(seconds=seconds))
    )


def next_due_s(session: Session) -> float | None:
    """Return in how many seconds an image is due that was put off; none where there is none."""
    time = now()
    due = session.execute(
        select(Image.due_at)
        .where(WAITING, Image.due_at > AT_ONCE, Image.claimed_at.is_(None))
        .order_by(Image.due_at)
        .limit(1)
    ).scalar()
    return None if due is None else max(0.0, (due - time).total_seconds())


def behind(session: Session, model_id: int, *, most: int) -> list[Claimed]:
    """Return images that were judged, and not yet by a model that judges in silence; the latest first."""
    by_it = exists().where(and_(Judgement.image_id == Image.id, Judgement.model_id == model_id))
    rows = session.execute(
        select(Image.id, Image.digest, Image.attempts)
        .where(Image.state == "judged", ~by_it)
        .order_by(Image.id.desc())
        .limit(most)
    )
    return [Claimed(*row) for row in rows]
