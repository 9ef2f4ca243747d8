"""A panel with two axes in a drawing: what curves, points and bars are plotted in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from carina.reports.drawing.drawing import DASHES, MARKERS, SERIES, Drawing, Ink, Point
from carina.reports.drawing.text_measure import SMALL, TEXT, fit_lines
from carina.statistics.intervals import Estimate, FloatArray

WIDTH = 440.0
_LEFT, _RIGHT, _BELOW = 60.0, 20.0, 46.0


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis."""

    title: str  # what is measured, with its unit
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]  # where numbers are, and what is written there


UNIT_TICKS = ((0.0, "0"), (0.2, "0.2"), (0.4, "0.4"), (0.6, "0.6"), (0.8, "0.8"), (1.0, "1"))
PERCENT_TICKS = ((0.0, "0 %"), (0.2, "20 %"), (0.4, "40 %"), (0.6, "60 %"), (0.8, "80 %"), (1.0, "100 %"))


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of the key below a panel; `shape` is line, band, bar, or none."""

    text: str
    ink: Ink
    shape: str = "line"
    dash: tuple[float, ...] = ()
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A plotting area in a drawing, with its axes drawn."""

    drawing: Drawing  # what it is drawn in
    x: Axis
    y: Axis
    # Of the plotting area, in units.
    left: float
    top: float
    width: float
    height: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the axes lies in the drawing; what lies beyond an end is drawn at the end."""
        across = min(max((x - self.x.low) / (self.x.high - self.x.low), 0.0), 1.0)
        up = min(max((y - self.y.low) / (self.y.high - self.y.low), 0.0), 1.0)
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def curve(
        self, points: Iterable[Point], ink: Ink, *, dash: tuple[float, ...] = (), width: float = 2.0, mark: str = ""
    ) -> None:
        """Draw a line through points of the axes, cut where it leaves the panel, with a marker at each point."""
        points = list(points)
        for piece in _clipped(points, self.x, self.y):
            self.drawing.line([self.at(x, y) for x, y in piece], ink, width=width, dash=dash)
        for x, y in points if mark else ():
            if self.x.low <= x <= self.x.high and self.y.low <= y <= self.y.high:
                self.mark(x, y, mark, ink, size=3)

    def band(self, level: FloatArray, low: FloatArray, high: FloatArray, ink: Ink) -> None:
        """Shade what lies between two lines over the same places."""
        inside = (level >= self.x.low) & (level <= self.x.high)
        lower, upper = pairs(level[inside], low[inside]), pairs(level[inside], high[inside])
        if len(lower) > 1:
            self.drawing.area([self.at(x, y) for x, y in (*lower, *reversed(upper))], ink, opacity=0.18)

    def cross(self, across: Estimate, up: Estimate, ink: Ink, says: str) -> None:
        """Mark a point by a star, with the intervals of both its coordinates; nothing where it is not in the panel."""
        if across.value is None or up.value is None:
            return
        if not (self.x.low <= across.value <= self.x.high and self.y.low <= up.value <= self.y.high):
            return
        if across.low is not None and across.high is not None:
            self.curve([(across.low, up.value), (across.high, up.value)], ink, width=1.6)
        if up.low is not None and up.high is not None:
            self.curve([(across.value, up.low), (across.value, up.high)], ink, width=1.6)
        self.mark(across.value, up.value, "star", ink, size=8, says=says)

    def whisker(self, x: float, low: float, high: float, ink: Ink) -> None:
        """Draw an interval upright."""
        self.drawing.line([self.at(x, low), self.at(x, high)], ink, width=1.4)

    def mark(self, x: float, y: float, shape: str, ink: Ink, *, size: float = 4.0, says: str | None = None) -> None:
        """Draw a marker at a point of the axes."""
        across, down = self.at(x, y)
        self.drawing.mark(across, down, shape, ink=ink, size=size, hollow=shape != "star", says=says)


def build_panel(
    name: str,
    title: str,
    description: str,
    x: Axis,
    y: Axis,
    *,
    height: float = 300.0,
    keys: Sequence[Key] = (),
    subtitle: str | None = None,
    above: float = 0.0,
) -> Panel:
    """Return an empty panel in a drawing of its own, with title, axes, grid and key."""
    titles = fit_lines(title, WIDTH - 8, TEXT, bold=True)
    subtitles = fit_lines(subtitle, WIDTH - 8, SMALL) if subtitle else []
    entries = [(key, fit_lines(key.text, WIDTH - 52, SMALL)) for key in keys]
    top = 8 + 17 * len(titles) + 15 * len(subtitles) + 8 + above
    below = sum(15 * len(lines) + 3 for _, lines in entries)
    drawing = Drawing(name, title, description, WIDTH, top + height + _BELOW + below + 4)
    drawing.lines(4, 18, titles, step=17, size=TEXT, bold=True)
    drawing.lines(4, 18 + 17 * len(titles), subtitles, ink="muted")
    panel = Panel(drawing, x, y, _LEFT, top, WIDTH - _LEFT - _RIGHT, height)
    _draw_axes(panel)
    _draw_keys(drawing, entries, top + height + _BELOW)
    return panel


def look(place: int) -> tuple[Ink, tuple[float, ...], str]:
    """Return colour, dashes and marker of the finding (or model) at a place; no two of 36 have both alike."""
    turn = place + place // len(SERIES)
    return SERIES[place % len(SERIES)], DASHES[turn % len(DASHES)], MARKERS[turn % len(MARKERS)]


def _draw_axes(panel: Panel) -> None:
    drawing, x, y = panel.drawing, panel.x, panel.y
    for value, text in x.ticks:
        across, bottom = panel.at(value, y.low)
        drawing.line([(across, panel.top), (across, bottom)], "grid", width=1)
        drawing.words(across, bottom + 15, text, ink="muted", anchor="middle")
    for value, text in y.ticks:
        left, down = panel.at(x.low, value)
        drawing.line([(left, down), (left + panel.width, down)], "grid", width=1)
        drawing.words(left - 6, down + 4, text, ink="muted", anchor="end")
    bottom = panel.top + panel.height
    drawing.line([(panel.left, panel.top), (panel.left, bottom), (panel.left + panel.width, bottom)], "muted", width=1)
    drawing.words(panel.left + panel.width / 2, bottom + 33, x.title, anchor="middle")
    drawing.words(12, panel.top + panel.height / 2, y.title, anchor="middle", turned=True)


def _draw_keys(drawing: Drawing, entries: Sequence[tuple[Key, list[str]]], top: float) -> None:
    y = top
    for key, lines in entries:
        middle = y + 7
        if key.shape == "band":
            drawing.box(8, middle - 6, 26, 12, key.ink, opacity=0.18)
        elif key.shape == "bar":
            drawing.box(8, middle - 6, 26, 12, key.ink)
        elif key.shape == "line":
            drawing.line([(8, middle), (34, middle)], key.ink, width=2, dash=key.dash)
        if key.mark:
            drawing.mark(
                21, middle, key.mark, ink=key.ink, hollow=key.mark != "star", size=6 if key.mark == "star" else 4
            )
        drawing.lines(42, y + 11, lines)
        y += 15 * len(lines) + 3


def pairs(x: FloatArray, y: FloatArray) -> list[Point]:
    """Return points from two arrays."""
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _clipped(points: Sequence[Point], x: Axis, y: Axis) -> list[list[Point]]:
    """Return the pieces of a line that lie within both axes.

    Source: Liang and Barsky 1984, "A new concept and method for line clipping", doi:10.1145/357332.357333.
    """
    pieces: list[list[Point]] = []
    for (x0, y0), (x1, y1) in pairwise(points):
        start, end = 0.0, 1.0
        for origin, change, axis in ((x0, x1 - x0, x), (y0, y1 - y0, y)):
            if change:
                enters, leaves = sorted(((axis.low - origin) / change, (axis.high - origin) / change))
                start, end = max(start, enters), min(end, leaves)
            elif not axis.low <= origin <= axis.high:
                end = -1.0
        if start > end:
            continue
        last = (x1, y1) if end == 1 else (x0 + end * (x1 - x0), y0 + end * (y1 - y0))
        if start == 0 and pieces and pieces[-1][-1] == (x0, y0):
            pieces[-1].append(last)
        else:
            pieces.append([(x0 + start * (x1 - x0), y0 + start * (y1 - y0)), last])
    return pieces


def number_ticks(low: float, high: float, *, whole: bool = False) -> tuple[tuple[float, str], ...]:
    """Return about five round numbers between two ends."""
    size = 10 ** np.floor(np.log10(max(high - low, 1e-9)))
    step = next(
        (float(size * part) for part in (0.1, 0.2, 0.25, 0.5, 1, 2) if (high - low) / (size * part) <= 6), float(size)
    )
    step = max(step, 1.0) if whole else step
    if whole:
        step = float(round(step))
    first = np.ceil(low / step - 1e-9)
    places = [float((first + place) * step) for place in range(20) if (first + place) * step <= high + 1e-9]
    return tuple((value, f"{value:g}".replace("-", "−")) for value in places)
