"""The charts of a site: each day's figures become points, with limits from the first weeks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from carina.decisions.triage import READING_PLACES
from carina.service.watching.chart_limits import Limits, centre_of_shares, p_limits, xmr_limits
from carina.service.watching.day_figures import UNKNOWN, DayFigures, Mean

Kind = Literal["p-chart", "individuals chart"]
# Words of a header with a smaller share in the first weeks have no chart of their own.
_OWN_CHART = 0.1
Count = tuple[int, int]
Day = tuple[date, DayFigures]


@dataclass(frozen=True, slots=True)
class Point:
    """A day of a chart.

    Attributes
    ----------
    of
        Of how many studies or verdicts it is.
    limits
        None while the first weeks last, and on days with too few studies.
    """

    day: date
    value: float
    of: int
    limits: Limits | None

    @property
    def is_out(self) -> bool:
        """Return whether the chart has left its limits."""
        return self.limits is not None and self.limits.leaves(self.value)


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure over the days.

    Attributes
    ----------
    key
        For programs; without a word of a header.
    title, unit
        For people. Shares are from 0 to 1 and have the unit ``share``.
    learning
        How many more days it takes until there are limits; 0 where there are.
    """

    key: str
    title: str
    kind: Kind
    unit: str
    points: tuple[Point, ...]
    learning: int


def build_charts(days: Sequence[Day], model_days: Sequence[Day], *, first: int, fewest: int) -> tuple[Chart, ...]:
    """Return the charts of a site.

    Parameters
    ----------
    days
        All that were measured, in order.
    model_days
        Those that were measured with the model in use: what it says has limits of its own first weeks.
    first
        How many days the limits come from.
    fewest
        Studies (or verdicts) of a day from which a share or a mean counts.
    """

    def shares(key: str, title: str, of: Callable[[DayFigures], Count], over: Sequence[Day] = days) -> Chart:
        return _p_chart(key, title, [(day, *of(figures)) for day, figures in over], first, fewest)

    def means(key: str, title: str, unit: str, of: Callable[[DayFigures], Mean], over: Sequence[Day] = days) -> Chart:
        values = [(day, mean.value, mean.count) for day, figures in over if (mean := of(figures)).value is not None]
        return _xmr_chart(key, title, unit, values, first, fewest)

    numbers = [(day, float(figures.studies), figures.studies) for day, figures in days]
    charts = [
        _xmr_chart("studies", "Studies a day", "studies", numbers, first, 0),
        shares("refused", "Not assessable", lambda f: (f.refused, f.judged), model_days),
        *(
            shares(f"priority-{name}", f"Priority {name}", _of_priority(name), model_days)
            for name in READING_PLACES
            if name != "not-assessable"
        ),
        means("probability", "Mean probability of the flagged finding", "probability", _probability, model_days),
        means("distance", "Distance to the gate's radiographs (1 is usual)", "SD", _distance, model_days),
        means("age", "Mean age", "years", lambda f: f.age),
        *_mix_charts("manufacturer", "Manufacturer", lambda f: f.manufacturers, days, first, fewest),
        *_mix_charts("view", "View", lambda f: f.views, days, first, fewest),
        shares("agreement", "Verdicts that agree with the model", lambda f: (f.agreed, f.verdicts), model_days),
        means("waiting", "Median wait until the first verdict", "minutes", lambda f: f.waiting),
    ]
    return tuple(charts)


def _of_priority(name: str) -> Callable[[DayFigures], Count]:
    return lambda figures: (figures.priorities.get(name, 0), figures.judged)


def _probability(figures: DayFigures) -> Mean:
    return figures.probability


def _distance(figures: DayFigures) -> Mean:
    return figures.distance


def _mix_charts(
    key: str, title: str, of: Callable[[DayFigures], dict[str, int]], days: Sequence[Day], first: int, fewest: int
) -> list[Chart]:
    """Return a chart for each word that is frequent in the first weeks, and one for words that were not there."""
    begun = [of(figures) for _, figures in days if sum(of(figures).values()) >= fewest][:first]
    known: dict[str, int] = {}
    for mix in begun:
        for word, count in mix.items():
            known[word] = known.get(word, 0) + count
    total = sum(known.values())
    frequent = sorted((word for word in known if known[word] >= _OWN_CHART * total), key=lambda word: -known[word])

    def share(mix: dict[str, int], word: str) -> Count:
        return mix.get(word, 0), sum(mix.values())

    def new(mix: dict[str, int]) -> Count:
        return sum(n for word, n in mix.items() if word not in known and word != UNKNOWN), sum(mix.values())

    charts = [
        _p_chart(
            *(f"{key}-{place}", f"{title} {word}", [(day, *share(of(figures), word)) for day, figures in days]),
            *(first, fewest),
        )
        for place, word in enumerate(frequent, 1)
    ]
    charts.append(
        _p_chart(
            *(
                f"{key}-new",
                f"{title}: not there in the first weeks",
                [(day, *new(of(figures))) for day, figures in days],
            ),
            *(first, fewest),
        )
    )
    return charts


def _p_chart(key: str, title: str, counts: Sequence[tuple[date, int, int]], first: int, fewest: int) -> Chart:
    enough = [(count, total) for _, count, total in counts if total >= max(1, fewest)]
    begun = enough[:first]
    centre = centre_of_shares(begun) if len(begun) == first else None
    points, seen = [], 0
    for day, count, total in counts:
        if not total:
            continue
        counts_here = total >= fewest
        # The first weeks are measured by themselves no better than by chance: they have no limits.
        limits = p_limits(centre, total) if centre is not None and counts_here and seen >= first else None
        seen += counts_here
        points.append(Point(day, count / total, total, limits))
    return Chart(key, title, "p-chart", "share", tuple(points), first - len(begun))


def _xmr_chart(
    key: str, title: str, unit: str, values: Sequence[tuple[date, float | None, int]], first: int, fewest: int
) -> Chart:
    enough = [value for _, value, of in values if of >= fewest and value is not None]
    begun = enough[:first]
    limits = xmr_limits(begun) if len(begun) == first else None
    points, seen = [], 0
    for day, value, of in values:
        if value is None:
            continue
        here = of >= fewest
        points.append(Point(day, value, of, limits if here and seen >= first else None))
        seen += here
    return Chart(key, title, "individuals chart", unit, tuple(points), first - len(begun))
