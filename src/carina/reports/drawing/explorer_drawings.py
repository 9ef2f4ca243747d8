"""The explorer's pictures at the shipped operating point: for paper, and for the page until its script has run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from carina.decisions.triage import PRIORITIES
from carina.reports.drawing.drawing import Drawing, Ink
from carina.reports.drawing.panel import WIDTH
from carina.reports.drawing.text_measure import SMALL, TEXT, fit_lines
from carina.reports.evaluated import Evaluated
from carina.reports.report_tables import Cell, ReportTable
from carina.reports.written_numbers import percent_text
from carina.statistics.intervals import FloatArray, IntArray

# The page's script takes priorities and their colours from here.
BAND_INKS: dict[str, Ink] = {
    "fast-track": "s2",
    "expedite": "s5",
    "secondary-review": "s6",
    "routine": "s3",
    "not-assessable": "muted",
}
# On the scale of log odds, where what is close to 0 and 1 can be told apart.
LOW, HIGH, _BINS = -9.0, 9.0, 45
TICKS = (0.0005, 0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995, 0.9995)
_WIDE = 640.0


def probability_counts(evaluated: Evaluated, index: int) -> IntArray:
    """Return how many images with a finding (row 0) and without it (row 1) are in each bin of its probability.

    The bins are 45 equal parts of the log odds from -9 to 9: int (2, 45).
    """
    places = np.floor((_log_odds(evaluated.probabilities[:, index]) - LOW) / (HIGH - LOW) * _BINS)
    bins = np.clip(places, 0, _BINS - 1).astype(int)
    positive = evaluated.truth == index
    return np.stack([np.bincount(bins[side], minlength=_BINS) for side in (positive, ~positive)])


def draw_probabilities(evaluated: Evaluated) -> Drawing:
    """Return how the flagged finding's probabilities lie, with it above and without it below, and the threshold."""
    counts = probability_counts(evaluated, evaluated.findings.index(evaluated.flag))
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    most = float(shares.max()) or 1.0
    left, middle, tall = 8.0, 112.0, 84.0
    room = _WIDE - 2 * left
    step = room / _BINS

    def across(probability: float) -> float:
        x = min(max(float(_log_odds(np.array([probability]))[0]), LOW), HIGH)
        return left + (x - LOW) / (HIGH - LOW) * room

    at = across(evaluated.threshold)
    names = ("sensitivity", "specificity")
    reached = zip(names, evaluated.reached(*names), strict=True)
    said = "; ".join(f"{name} {percent_text(of.value)}" for name, of in reached if of.value)
    drawing = Drawing(
        "probabilities",
        f"Probabilities of {evaluated.flag} and the shipped threshold {evaluated.threshold:.3f}",
        f"Images with {evaluated.flag} above, without it below; {said}",
        _WIDE,
        246.0,
    )
    for side, inks in enumerate((("s1", "s2"), ("s5", "muted"))):
        for place, share in enumerate(shares[side].tolist()):
            if not share:
                continue
            height, x = max(1.0, tall * math.sqrt(share / most)), left + place * step
            ink: Ink = inks[0] if x + step / 2 >= at else inks[1]  # type: ignore[assignment]
            drawing.box(x + 0.5, middle - height if side == 0 else middle + 1, step - 1, height, ink)
    for tick in TICKS:
        x = across(tick)
        if abs(x - at) >= 42:
            drawing.line([(x, middle + tall + 2), (x, middle + tall + 7)], "muted")
            drawing.words(x, middle + tall + 20, f"{tick:g}", ink="muted", anchor="middle")
    drawing.words(left, 14, f"with {evaluated.flag}: found right of the line, missed left of it", size=12)
    drawing.words(left, 238, f"without {evaluated.flag}: false alarms right of the line", size=12)
    drawing.words(_WIDE - left, 238, f"probability of {evaluated.flag}", ink="muted", size=12, anchor="end")
    drawing.line([(at, 20), (at, middle + tall + 2)], "ink", width=2.5)
    drawing.mark(at, middle + tall + 7, "triangle", ink="ink", size=4)
    drawing.words(at, middle + tall + 23, "shipped", bold=True, anchor="middle")
    return drawing


def _log_odds(probability: FloatArray) -> FloatArray:
    inside = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(inside / (1 - inside)))


_OUTCOMES = ("found", "missed", "false alarm", "true negative")


def shares_of_outcomes(evaluated: Evaluated) -> dict[str, float]:
    """Return the shares of images found, missed, false alarms and true negatives at the shipped threshold."""
    cells = evaluated.shipped
    counts = (cells.true_positive, cells.false_negative, cells.false_positive, cells.true_negative)
    return {name: count / len(evaluated.truth) for name, count in zip(_OUTCOMES, counts, strict=True)}


def of_thousand(shares: Mapping[str, float]) -> dict[str, int]:
    """Return shares as whole numbers that are 1,000 together: the largest remainders are rounded up."""
    exact = [1000 * share for share in shares.values()]
    whole = [math.floor(part + 1e-9) for part in exact]
    for place in sorted(range(len(whole)), key=lambda place: whole[place] - exact[place])[: 1000 - sum(whole)]:
        whole[place] += 1
    return dict(zip(shares, whole, strict=True))


def draw_thousand(evaluated: Evaluated) -> Drawing:
    """Return a sign for each of 1,000 patients like those of this set."""
    counts = of_thousand(shares_of_outcomes(evaluated))
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    drawing = Drawing(
        "thousand", f"Of 1,000 patients, at the shipped threshold for {evaluated.flag}", said, WIDTH, 238.0
    )
    lines = fit_lines(drawing.title, WIDTH - 8, TEXT, bold=True)
    drawing.lines(4, 18, lines, step=17, size=TEXT, bold=True)
    top = 16.0 + 17 * len(lines)
    drawing.height = top + 194
    place = 0
    for name, count in counts.items():
        for _ in range(count):
            _draw_sign(drawing, name, 24 + place % 50 * 8, top + place // 50 * 8)
            place += 1
    x = 24.0
    for name, count in counts.items():
        words = f"{name} {count:,}"
        _draw_sign(drawing, name, x, top + 170)
        drawing.words(x + 14, top + 178, words)
        x += 30 + 6.4 * len(words)
    return drawing


def _draw_sign(drawing: Drawing, name: str, x: float, y: float) -> None:
    if name == "found":
        drawing.box(x + 1, y + 1, 6, 6, "s1")
    elif name == "missed":
        drawing.line([(x + 1, y + 1), (x + 7, y + 7)], "s2", width=2.2)
        drawing.line([(x + 7, y + 1), (x + 1, y + 7)], "s2", width=2.2)
    elif name == "false alarm":
        drawing.mark(x + 4, y + 4, "circle", ink="s5", size=2.8, hollow=True)
    else:
        drawing.box(x + 3, y + 3, 2, 2, "muted")


def band_counts(evaluated: Evaluated) -> dict[str, list[int]] | None:
    """Return how many images of each true finding have each priority; None for a model without bands."""
    given = evaluated.priorities
    if given is None:
        return None
    of, k = np.array(given), len(evaluated.findings)
    return {name: np.bincount(evaluated.truth[of == name], minlength=k).tolist() for name in PRIORITIES}


def draw_bands(evaluated: Evaluated, counts: Mapping[str, Sequence[int]]) -> Drawing:
    """Return how triage sorts 1,000 patients like those of this set, as one bar; counts are those of `band_counts`."""
    totals = {name: 1000 * sum(row) / len(evaluated.truth) for name, row in counts.items()}
    said = ", ".join(f"{name} {total:.1f}" for name, total in totals.items())
    drawing = Drawing("triage_bands", "Triage of 1,000 patients like those of this set", said, WIDTH, 116.0)
    drawing.words(4, 18, drawing.title, size=TEXT, bold=True)
    x, wide = 4.0, WIDTH - 8
    for name, total in totals.items():
        width = wide * total / 1000
        if width > 0:
            drawing.box(x, 30, max(0.5, width - 1), 26, BAND_INKS[name], says=f"{name}: {total:.1f} of 1,000")
        x += width
    for place, (name, total) in enumerate((name, total) for name, total in totals.items() if total):
        x, y = 6 + 144.0 * (place % 3), 74 + 20.0 * (place // 3)
        drawing.box(x, y - 9, 10, 10, BAND_INKS[name])
        drawing.words(x + 15, y, f"{name} {total:.0f}" if total >= 9.95 else f"{name} {total:.1f}", size=SMALL)
    return drawing


def bands_table(evaluated: Evaluated, counts: Mapping[str, Sequence[int]]) -> ReportTable:
    """Return the counts of `band_counts`, of 1,000."""
    n = len(evaluated.truth)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, f"{1000 * sum(row) / n:.1f}", *(f"{1000 * count / n:.1f}" for count in row))
        for name, row in counts.items()
        if sum(row) or name != "not-assessable"
    )
    head = ("Priority", "of 1,000", *(f"{name} in it" for name in evaluated.findings))
    return ReportTable(
        "triage_bands", f"Triage of 1,000 patients like those of this set: {evaluated.label}", head, rows
    )
