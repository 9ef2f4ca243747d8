"""A panel with two axes in a drawing: what curves, points and bars are plotted in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carina.evaluation.intervals import FloatArray
from carina.reports.drawing.drawing import DASHES, MARKERS, SERIES, SMALL, TEXT, Ink, Scene, fit_lines

WIDTH = 440.0
_LEFT, _RIGHT, _BELOW = 60.0, 20.0, 46.0


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis.

    Attributes
    ----------
    title
        What is measured, with its unit.
    low, high
        Its ends.
    ticks
        Where numbers stand, and what is written there.
    """

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


UNIT_TICKS = ((0.0, "0"), (0.2, "0.2"), (0.4, "0.4"), (0.6, "0.6"), (0.8, "0.8"), (1.0, "1"))
PERCENT_TICKS = ((0.0, "0 %"), (0.2, "20 %"), (0.4, "40 %"), (0.6, "60 %"), (0.8, "80 %"), (1.0, "100 %"))


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of the key below a panel; `shape` is line, band, mark or bar."""

    text: str
    ink: Ink
    shape: str = "line"
    dash: tuple[float, ...] = ()
    mark: str | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """A plotting area in a scene, with its axes drawn.

    Attributes
    ----------
    scene
        What it is drawn in.
    x, y
        Its axes.
    left, top, width, height
        Of the plotting area, in units.
    """

    scene: Scene
    x: Axis
    y: Axis
    left: float
    top: float
    width: float
    height: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the axes lies in the scene; what lies beyond an end is drawn at the end."""
        across = min(max((x - self.x.low) / (self.x.high - self.x.low), 0.0), 1.0)
        up = min(max((y - self.y.low) / (self.y.high - self.y.low), 0.0), 1.0)
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def curve(
        self, points: Sequence[tuple[float, float]], ink: Ink, *, dash: tuple[float, ...] = (), width: float = 2.0
    ) -> None:
        """Draw a line through points of the axes."""
        if len(points) > 1:
            self.scene.line([self.at(x, y) for x, y in points], ink, width=width, dash=dash)

    def band(
        self,
        lower: Sequence[tuple[float, float]],
        upper: Sequence[tuple[float, float]],
        ink: Ink,
        *,
        opacity: float = 0.18,
    ) -> None:
        """Shade what lies between two lines."""
        if len(lower) > 1 and len(upper) > 1:
            self.scene.area([self.at(x, y) for x, y in (*lower, *reversed(upper))], ink, opacity=opacity)

    def whisker(self, x: float, low: float, high: float, ink: Ink) -> None:
        """Draw an interval upright."""
        self.scene.line([self.at(x, low), self.at(x, high)], ink, width=1.4)

    def mark(self, x: float, y: float, shape: str, ink: Ink, *, size: float = 4.0, says: str | None = None) -> None:
        """Draw a marker at a point of the axes."""
        across, down = self.at(x, y)
        self.scene.mark(across, down, shape, ink=ink, size=size, hollow=shape != "star", says=says)


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
    """Return an empty panel in a scene of its own, with title, axes, grid and key.

    Parameters
    ----------
    name, title, description
        Of the scene.
    x, y
        The axes.
    height
        Of the plotting area.
    keys
        What the lines and marks are.
    subtitle
        A line below the title.
    above
        Room to be left between titles and plotting area.
    """
    titles = fit_lines(title, WIDTH - 8, TEXT, bold=True)
    subtitles = fit_lines(subtitle, WIDTH - 8, SMALL) if subtitle else []
    entries = [(key, fit_lines(key.text, WIDTH - 52, SMALL)) for key in keys]
    top = 8 + 17 * len(titles) + 15 * len(subtitles) + 8 + above
    below = sum(15 * len(lines) + 3 for _, lines in entries)
    scene = Scene(name, title, description, WIDTH, top + height + _BELOW + below + 4)
    for row, line in enumerate(titles):
        scene.words(4, 18 + 17 * row, line, size=TEXT, bold=True)
    for row, line in enumerate(subtitles):
        scene.words(4, 18 + 17 * len(titles) + 15 * row, line, ink="muted")
    panel = Panel(scene, x, y, _LEFT, top, WIDTH - _LEFT - _RIGHT, height)
    _draw_axes(panel)
    _draw_keys(scene, entries, top + height + _BELOW)
    return panel


def look(place: int) -> tuple[Ink, tuple[float, ...], str]:
    """Return colour, dashes and marker of the finding (or model) at a place."""
    return SERIES[place % len(SERIES)], DASHES[place % len(DASHES)], MARKERS[place % len(MARKERS)]


def _draw_axes(panel: Panel) -> None:
    scene, x, y = panel.scene, panel.x, panel.y
    for value, text in x.ticks:
        across, bottom = panel.at(value, y.low)
        scene.line([(across, panel.top), (across, bottom)], "grid", width=1)
        scene.words(across, bottom + 15, text, ink="muted", anchor="middle")
    for value, text in y.ticks:
        left, down = panel.at(x.low, value)
        scene.line([(left, down), (left + panel.width, down)], "grid", width=1)
        scene.words(left - 6, down + 4, text, ink="muted", anchor="end")
    bottom = panel.top + panel.height
    scene.line([(panel.left, panel.top), (panel.left, bottom), (panel.left + panel.width, bottom)], "muted", width=1)
    scene.words(panel.left + panel.width / 2, bottom + 33, x.title, anchor="middle")
    scene.words(12, panel.top + panel.height / 2, y.title, anchor="middle", turned=True)


def _draw_keys(scene: Scene, entries: Sequence[tuple[Key, list[str]]], top: float) -> None:
    y = top
    for key, lines in entries:
        middle = y + 7
        if key.shape == "band":
            scene.box(8, middle - 6, 26, 12, key.ink, opacity=0.18)
        elif key.shape == "bar":
            scene.box(8, middle - 6, 26, 12, key.ink)
        elif key.shape == "line":
            scene.line([(8, middle), (34, middle)], key.ink, width=2, dash=key.dash)
        if key.mark:
            scene.mark(
                21, middle, key.mark, ink=key.ink, hollow=key.mark != "star", size=6 if key.mark == "star" else 4
            )
        for row, line in enumerate(lines):
            scene.words(42, y + 11 + 15 * row, line)
        y += 15 * len(lines) + 3


def pairs(x: FloatArray, y: FloatArray) -> list[tuple[float, float]]:
    """Return points from two arrays."""
    return list(zip(x.tolist(), y.tolist(), strict=True))


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
