"""Studies as the worklist asks for them: filtered, searched, sorted and paged, however many there are."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import Select, and_, func, literal, select, tuple_
from sqlalchemy.orm import Session

from carina.decisions.triage import READING_PLACES, Priority
from carina.service.database.folded_text import fold
from carina.service.database.study_tables import Source, Study, StudyState

Sort = Literal["priority", "oldest", "newest"]
SORTS: tuple[Sort, ...] = get_args(Sort)
STATES: tuple[StudyState, ...] = get_args(StudyState)
SOURCES: tuple[Source, ...] = get_args(Source)
PRIORITY_NAMES: tuple[Priority, ...] = get_args(Priority)
PAGE = 50
_FEW = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the worklist is asked for. Words that mean nothing are as good as none.

    Attributes
    ----------
    state, source, priority
        Empty for all.
    search
        Words, each of which is part of the name, the patient's ID or the accession number, whatever the case and the
        accents; or ``#`` and a study's number.
    sort
        ``priority`` is by place and then by arrival: at one place all have the same target, so that who came first has
        waited longest against it.
    after
        Where the page before ended, as it said.
    """

    state: str = ""
    source: str = ""
    priority: str = ""
    search: str = ""
    sort: Sort = "oldest"
    after: str = ""


def page_of(session: Session, wanted: Wanted, *, count: int = PAGE) -> tuple[Sequence[Study], str]:
    """Return some studies in order, and what to ask for to get the next ones; empty at the end."""
    keys, descending = _order(wanted.sort)
    query = _filtered(session, select(Study), wanted)
    position = _position(wanted)
    if position is not None:
        here = tuple_(*(literal(value, key.type) for key, value in zip(keys, position, strict=True)))
        query = query.where(tuple_(*keys) < here if descending else tuple_(*keys) > here)
    query = query.order_by(*(key.desc() if descending else key for key in keys)).limit(count + 1)
    found = session.scalars(query).all()
    if len(found) <= count:
        return found, ""
    return found[:count], _written(found[count - 1], wanted.sort)


def counts_by_state(session: Session) -> dict[StudyState, int]:
    """Return how many studies are in each state."""
    found = dict(session.execute(select(Study.state, func.count()).group_by(Study.state)).all())
    return {state: found.get(state, 0) for state in STATES}


def next_study(session: Session, sort: Sort, *, but: int) -> int | None:
    """Return the first study that nobody has read or opened; none where there is none."""
    found, _ = page_of(session, Wanted(state="unread", sort=sort), count=2)
    return next((study.id for study in found if study.id != but), None)


def priors_of(session: Session, study: Study, *, count: int = 20) -> Sequence[Study]:
    """Return the other studies of the same patient, the latest first; none where the patient has no ID."""
    if study.patient_key is None:
        return ()
    query = select(Study).where(Study.patient_key == study.patient_key, Study.id != study.id)
    return session.scalars(query.order_by(Study.study_date.desc(), Study.id.desc()).limit(count)).all()


def _filtered(session: Session, query: Select[Any], wanted: Wanted) -> Select[Any]:
    if wanted.state in STATES:
        query = query.where(Study.state == wanted.state)
    if wanted.source in SOURCES:
        query = query.where(Study.source == wanted.source)
    for name in PRIORITY_NAMES:
        if wanted.priority == name:
            # The place follows from the priority; it is what the index knows.
            query = query.where(Study.priority == name, Study.place == READING_PLACES[name])
    words = fold(wanted.search[:64])
    if words.startswith("#") and words[1:].isdecimal() and len(words) < 12:
        return query.where(Study.id == int(words[1:]))
    if not words:
        return query
    said = and_(*(Study.searched.contains(word, autoescape=True) for word in words.split()))
    # Few are looked up by their numbers. Of many, the first ones in order are found soon.
    few = session.scalars(select(Study.id).where(said).limit(_FEW + 1)).all()
    return query.where(Study.id.in_(few) if len(few) <= _FEW else said)


def _order(sort: Sort) -> tuple[tuple[Any, ...], bool]:
    if sort == "priority":
        return (Study.place, Study.arrived_at, Study.id), False
    return (Study.arrived_at, Study.id), sort == "newest"


def _written(study: Study, sort: Sort) -> str:
    position = [study.arrived_at.isoformat(), study.id]
    content = json.dumps([study.place, *position] if sort == "priority" else position)
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _position(wanted: Wanted) -> tuple[Any, ...] | None:
    """Return where the page before ended; none where that cannot be read, which shows the first page."""
    if not wanted.after:
        return None
    try:
        content = json.loads(base64.urlsafe_b64decode(wanted.after + "=" * (-len(wanted.after) % 4)))
        *place, at, number = content
        time = datetime.fromisoformat(at)
        if len(place) != (wanted.sort == "priority") or time.tzinfo is None or not 0 < int(number) < 2**62:
            return None
        if any(not 0 <= int(value) < 10 for value in place):
            return None
        return (*map(int, place), time.astimezone(UTC), int(number))
    except (ValueError, TypeError, OverflowError):
        return None
