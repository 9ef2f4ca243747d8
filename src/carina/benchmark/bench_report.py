"""What a benchmark found: figures with their spread, beside rivals and limits, as a table for people and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from carina.benchmark.rounds import RoundSpread

FORMAT = "carina-bench-1"

Unit = Literal["images/s", "ms", "s", "MB"]


@dataclass(frozen=True, slots=True)
class Limit:
    """What the processor gives, and what the graphs ask of it."""

    gflops: RoundSpread  # 10^9 operations a second of the fastest float32 matrix product of each round
    product: str  # which one that was most often
    multiply_adds: Mapping[str, int | None]  # of each graph, for one image; none where nobody could count them

    def images_per_second(self, *graphs: str) -> float | None:
        """Return how many images a second these graphs could do if all they needed were such matrix products."""
        counted = [self.multiply_adds[graph] for graph in graphs]
        # A multiply-add is two operations.
        needed = sum(2 * count for count in counted if count is not None)
        return None if None in counted or not needed else 1e9 * self.gflops.value / needed


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One figure."""

    # measured, given, statistic: what was done, to what, and which figure of it this is
    measured: str
    given: str
    statistic: str
    unit: Unit  # more is better of ``images/s``, less of all others
    figure: RoundSpread  # Carina's
    rivals: Mapping[str, RoundSpread]  # that of each rival that was measured
    limit: float | None = None  # what the processor's matrix products would allow
    parts: float | None = None  # what the parts, each measured alone, allow together
    rivals_parts: Mapping[str, float] = field(default_factory=dict)  # of each rival whose parts were measured, the same

    def times(self, rival: str) -> float | None:
        """Return how many times as good as a rival: as fast, or with as little memory; none without its figure."""
        return self._times_as_good(self.rivals[rival].value) if rival in self.rivals else None

    @property
    def share_of_limit(self) -> float | None:
        """Return which share of the processor's limit is reached."""
        return None if self.limit is None else self._times_as_good(self.limit)

    @property
    def share_of_parts(self) -> float | None:
        """Return which share is reached of what the parts allow together."""
        return None if self.parts is None else self._times_as_good(self.parts)

    def _times_as_good(self, other: float) -> float:
        return self.figure.value / other if self.unit == "images/s" else other / self.figure.value

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self) | {
            "times_as_good": {rival: self.times(rival) for rival in self.rivals},
            "share_of_limit": self.share_of_limit,
            "share_of_parts": self.share_of_parts,
            "rivals_share_of_parts": {
                rival: self.rivals[rival].value / parts for rival, parts in self.rivals_parts.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Bench:
    """All that was measured in one run."""

    model: Mapping[str, str]  # name, hash, and the size of its tensors
    # machine, instructions, versions, engine, precision, threads: what it was measured on
    machine: str
    instructions: str  # the newest instruction set that was used
    versions: Mapping[str, str]
    engine: str
    precision: str
    threads: int
    rounds: int  # how many; every figure with a spread is the median of so many
    limit: Limit  # what the processor's matrix products are, and what the graphs need
    rows: tuple[BenchRow, ...]  # the figures
    # Of each rival, how far its answers are from Carina's at most: ``logit from tensor``, ``probability from
    # tensor`` and ``probability from file`` (224² JPEG).
    agreement: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...] = ()  # what a reader of the figures must know

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        rows = [{"instructions": self.instructions} | row.to_json() for row in self.rows]
        return {"format": FORMAT} | asdict(self) | {"rows": rows}

    def table(self) -> str:
        """Return it for people: one line per figure, ratios beside it."""
        rivals = list(dict.fromkeys(name for row in self.rows for name in row.rivals))
        heads = ["", "Carina", "rounds from–to"]
        heads += [head for rival in rivals for head in (rival, "Carina is")] + ["limit", "reached", "of parts"]
        cells = [heads, *(_cells(row, rivals) for row in self.rows)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
        lines = [
            "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
            for line in cells
        ]
        return "\n".join([*self._head(), "", *(line.rstrip() for line in lines), "", *self._foot()])

    def _head(self) -> list[str]:
        needs = ", ".join(
            f"{graph} {'not counted' if count is None else f'{count / 1e6:,.1f} million'}"
            for graph, count in self.limit.multiply_adds.items()
        )
        gflops = self.limit.gflops
        computed_by = f"{self.engine} ({self.precision}, {self.instructions}), {self.threads} threads"
        return [
            f"{self.model['name']} on {self.machine}; {computed_by}; {self.rounds} rounds",
            f"Matrix products, float32: {_number(gflops.value)} GFLOP/s ({_range(gflops)}; {self.limit.product})",
            f"Multiply-adds an image: {needs}",
        ]

    def _foot(self) -> list[str]:
        lines = [
            "limit: matrix products ÷ operations needed.",
            "of parts: what decoding, lungs and classifier, each alone on all cores, allow together.",
        ]
        lines += [
            f"Largest difference to {name}: "
            + ", ".join(f"{what} {difference:.1e}" for what, difference in of_rival.items())
            for name, of_rival in self.agreement.items()
        ]
        return [*lines, *self.notes]


def _cells(row: BenchRow, rivals: list[str]) -> list[str]:
    name = f"{row.measured}, {row.given}: {row.statistic}"
    cells = [name, f"{_number(row.figure.value)} {row.unit}", _range(row.figure)]
    for rival in rivals:
        times = row.times(rival)
        cells += ["", ""] if times is None else [_number(row.rivals[rival].value), f"{times:.2f} ×"]
    limit = "" if row.limit is None else _number(row.limit)
    return [*cells, limit, _percent(row.share_of_limit), _percent(row.share_of_parts)]


def _range(figure: RoundSpread) -> str:
    """Return the lowest and the highest, where they differ: what was measured once has no spread."""
    return "" if figure.low == figure.high else f"{_number(figure.low)}–{_number(figure.high)}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _number(value: float) -> str:
    """Return three digits that count, or all before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
