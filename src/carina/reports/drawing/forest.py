"""A forest plot: a row a group, its number with its interval on one scale, counts beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carina.reports.drawing.drawing import Drawing, Ink
from carina.reports.drawing.panel import WIDTH
from carina.reports.drawing.text_measure import SMALL, TEXT, fit_lines, text_width
from carina.reports.written_numbers import Kind, full_text
from carina.statistics.intervals import Estimate

_ROW = 40.0
_LINE = 15.0
_LEFT, _RIGHT = 6.0, 6.0


@dataclass(frozen=True, slots=True)
class Row:
    """One row."""

    name: str  # of the group
    counts: str  # how many, as text
    estimate: Estimate  # the number; without a value its note is written instead
    heading: str = ""  # under which heading it is
    ink: Ink = "s1"
    mark: str = "square"


def draw_forest(
    name: str,
    title: str,
    rows: Sequence[Row],
    *,
    kind: Kind = "share",
    low: float | None = None,
    high: float = 1.0,
    line: float | None = None,
    line_says: str = "all images",
) -> Drawing:
    """Return a forest plot; names are above their line, so that it can be read on a phone.

    Parameters
    ----------
    rows
        From above; a heading is written where it changes.
    low
        The scale's left end; by default what the intervals need.
    line, line_says
        A value that all are compared with, and what it is.
    """
    headings = [
        fit_lines(row.heading, WIDTH - 8, SMALL, bold=True)
        if row.heading and (place == 0 or rows[place - 1].heading != row.heading)
        else []
        for place, row in enumerate(rows)
    ]
    names = [_name_lines(row, kind) for row in rows]
    told = sum(9 + _LINE * len(lines) for lines in headings if lines) + sum(_LINE * (len(lines) - 1) for lines in names)
    titles = fit_lines(title, WIDTH - 8, TEXT, bold=True)
    top = 12.0 + 17 * len(titles) + (18 if line is not None else 0)
    height = top + _ROW * len(rows) + told + 30
    said = "; ".join(
        f"{row.heading} {row.name} ({row.counts}): {full_text(row.estimate, kind)}".strip() for row in rows
    )
    drawing = Drawing(name, title, said, WIDTH, height)
    drawing.lines(4, 18, titles, step=17, size=TEXT, bold=True)
    start = _scale_start(rows, low, line)
    wide = WIDTH - _LEFT - _RIGHT

    def across(value: float) -> float:
        return _LEFT + min(max((value - start) / (high - start), 0.0), 1.0) * wide

    bottom = height - 24
    for tick in _ticks(start, high):
        drawing.line([(across(tick), top), (across(tick), bottom)], "grid", width=1)
        anchor = "end" if tick > 0.995 * high else "start" if tick <= start else "middle"
        text = f"{100 * tick:.0f}\u00a0%" if kind == "share" else f"{tick:g}"
        drawing.words(across(tick), bottom + 15, text, ink="muted", anchor=anchor)  # type: ignore[arg-type]
    if line is not None:
        drawing.line([(across(line), top - 4), (across(line), bottom)], "ink", width=1.3, dash=(4, 3))
        at_right = across(line) > WIDTH - text_width(line_says) - 8
        drawing.words(across(line), top - 8, line_says, ink="muted", anchor="end" if at_right else "start")
    y = top
    for place, row in enumerate(rows):
        for words in headings[place]:
            drawing.box(2, y + 6, min(text_width(words, SMALL, bold=True) + 6, WIDTH - 4), 16, "paper", opacity=0.9)
            drawing.words(4, y + 18, words, bold=True)
            y += _LINE
        y += 9 if headings[place] else 0
        _draw_row(drawing, row, names[place], y, across, kind)
        y += _ROW + _LINE * (len(names[place]) - 1)
    return drawing


def _name_lines(row: Row, kind: Kind) -> list[str]:
    value = full_text(row.estimate, kind) if row.estimate.value is not None else "n/a"
    return fit_lines(f"{row.name}, {row.counts}" if row.counts else row.name, WIDTH - text_width(value) - 24)


def _draw_row(
    drawing: Drawing, row: Row, names: Sequence[str], y: float, at: Callable[[float], float], kind: Kind
) -> None:
    estimate = row.estimate
    value = full_text(estimate, kind) if estimate.value is not None else "n/a"
    for line in names:
        # A paper-coloured strip keeps the grid from running through the words.
        drawing.box(2, y + 4, min(text_width(line) + 6, WIDTH - 4), 16, "paper", opacity=0.9)
        drawing.words(4, y + 16, line)
        y += _LINE
    y -= _LINE
    drawing.box(WIDTH - text_width(value) - 10, y + 4, text_width(value) + 8, 16, "paper", opacity=0.9)
    drawing.words(WIDTH - 6, y + 16, value, anchor="end", ink="ink" if estimate.value is not None else "muted")
    middle = y + 28
    if estimate.value is None:
        note = fit_lines(estimate.note or "not applicable", WIDTH - 12)[0]
        drawing.box(2, middle - 8, text_width(note) + 6, 16, "paper", opacity=0.9)
        drawing.words(4, middle + 4, note, ink="muted")
        return
    if estimate.low is not None and estimate.high is not None:
        drawing.line([(at(estimate.low), middle), (at(estimate.high), middle)], row.ink, width=2)
        for end in (estimate.low, estimate.high):
            drawing.line([(at(end), middle - 4), (at(end), middle + 4)], row.ink, width=2)
    drawing.mark(at(estimate.value), middle, row.mark, ink=row.ink, size=5, says=f"{' '.join(names)}: {value}")


def _scale_start(rows: Sequence[Row], low: float | None, line: float | None) -> float:
    if low is not None:
        return low
    ends = [end for row in rows for end in (row.estimate.low, row.estimate.value) if end is not None]
    least = min([*ends, 1.0 if line is None else line], default=0.0)
    return max(0.0, min(0.9, int(10 * least) / 10))


def _ticks(start: float, end: float) -> list[float]:
    step = next((step for step in (0.02, 0.05, 0.1, 0.2) if (end - start) / step <= 6.01), 0.25)
    count = round((end - start) / step)
    return [round(start + place * step, 3) for place in range(count + 1) if start + place * step <= end + 1e-9]
