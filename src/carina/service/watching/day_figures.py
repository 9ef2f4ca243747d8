"""What is measured of a day: how many studies, what the model in use says of them, and what readers do."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from statistics import median

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from carina.service.database.study_tables import Judgement, Study
from carina.service.people.people_tables import Verdict
from carina.service.verdicts import model_in_use

# More different words in a header than that are counted together.
_MOST_WORDS = 20
OTHER, UNKNOWN = "other", "not said"


class Mean(BaseModel):
    """A mean (or a median), and of how many; null of none."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float | None
    count: int


class DayFigures(BaseModel):
    """The figures of a day, in UTC.

    Attributes
    ----------
    studies
        That arrived.
    refused
        How many of the judged ones the gate refused or could not be read.
    priorities
        How many studies have each; those that are not judged yet are not among them.
    probability, distance, age
        Means: of the flagged finding's probability, of the distance to the radiographs that the gate was fitted to, and
        of the patients' ages in years.
    manufacturers, views
        How many studies each has, as the headers say.
    agreed
        In how many of the verdicts of the day the reader's finding is the model's. Those who cannot tell do not count.
    verdicts
        First verdicts of the day by readers who can tell.
    waiting
        Median minutes from a study's arrival to its first verdict, of those that got it on this day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    studies: int
    refused: int
    priorities: dict[str, int]
    probability: Mean
    distance: Mean
    age: Mean
    manufacturers: dict[str, int]
    views: dict[str, int]
    agreed: int
    verdicts: int
    waiting: Mean

    @property
    def judged(self) -> int:
        """Return how many studies were judged."""
        return sum(self.priorities.values())


def measure_day(session: Session, day: date) -> DayFigures:
    """Return the figures of a day."""
    start = datetime.combine(day, time(), UTC)
    end = start + timedelta(days=1)
    arrived = (Study.arrived_at >= start, Study.arrived_at < end)
    priorities = dict(
        session.execute(
            select(Study.priority, func.count())
            .where(*arrived, Study.priority.is_not(None), Study.judged_at.is_not(None))
            .group_by(Study.priority)
        ).all()
    )
    model = model_in_use(session)
    distances = (
        select(func.avg(Judgement.embedding_distance), func.count(Judgement.embedding_distance))
        .join(Study, Study.image_id == Judgement.image_id)
        .where(*arrived, Judgement.model_id == (0 if model is None else model.id))
    )
    means = select(func.avg(Study.probability), func.count(Study.probability)).where(*arrived)
    ages = select(func.avg(Study.age_years), func.count(Study.age_years)).where(*arrived)
    firsts = _first_verdicts(session, start, end)
    told = [kind for kind, _ in firsts if kind != "cannot-tell"]
    waits = [minutes for _, minutes in firsts if minutes is not None]
    return DayFigures(
        studies=session.scalar(select(func.count()).select_from(Study).where(*arrived)) or 0,
        refused=priorities.get("not-assessable", 0),
        priorities={str(name): count for name, count in priorities.items()},
        probability=_mean(*session.execute(means).one()),
        distance=_mean(*session.execute(distances).one()),
        age=_mean(*session.execute(ages).one()),
        manufacturers=_mix(session, Study.manufacturer, arrived),
        views=_mix(session, Study.view, arrived),
        agreed=told.count("agree"),
        verdicts=len(told),
        waiting=Mean(value=median(waits) if waits else None, count=len(waits)),
    )


def _first_verdicts(session: Session, start: datetime, end: datetime) -> list[tuple[str, float | None]]:
    """Return of each first verdict of a reader on a study its kind, and the minutes that the study had waited.

    The minutes are none where another reader had read it before.
    """
    earlier = (
        select(Verdict.study_id, func.min(Verdict.id).label("first"))
        .where(Verdict.at < end)
        .group_by(Verdict.study_id, Verdict.account_id)
        .subquery()
    )
    of_all = select(Verdict.study_id, func.min(Verdict.id).label("first")).group_by(Verdict.study_id).subquery()
    rows = session.execute(
        select(Verdict.id, Verdict.kind, Verdict.at, Study.arrived_at, of_all.c.first)
        .join(earlier, earlier.c.first == Verdict.id)
        .join(of_all, of_all.c.study_id == Verdict.study_id)
        .join(Study, Study.id == Verdict.study_id)
        .where(Verdict.at >= start, Verdict.at < end)
    )
    return [
        (kind, max(0.0, (at - arrived).total_seconds() / 60) if number == first else None)
        for number, kind, at, arrived, first in rows
    ]


def _mean(value: float | None, count: int) -> Mean:
    return Mean(value=None if value is None else float(value), count=count)


def _mix(
    session: Session, column: InstrumentedAttribute[str | None], arrived: Sequence[ColumnElement[bool]]
) -> dict[str, int]:
    number = func.count()
    rows = session.execute(
        select(column, number).where(*arrived).group_by(column).order_by(number.desc(), column)
    ).all()
    mix: dict[str, int] = {}
    for place, (word, count) in enumerate(rows):
        name = UNKNOWN if not word else str(word) if place < _MOST_WORDS else OTHER
        mix[name] = mix.get(name, 0) + int(count)
    return mix
