"""The sheet that every picture is drawn on: banner, title, caption, key, fonts, texts that are measured and wrapped.

Every text is placed and measured in inches, and wrapped where it is long, because Matplotlib's own layout lets long
finding names run into each other. Colour never carries a meaning alone: there is always a label, marker, line style
or hatch. All colours, fonts and widths that show are given here, so that a style which the caller has set for other
plots changes nothing, and the same input gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextToPath
from numpy.typing import NDArray

from carina.atomic import whole_file
from carina.evaluation.intervals import Estimate, FloatArray

_DPI = 150
_FONT = "DejaVu Sans"  # comes with Matplotlib, so it is the same on every machine
_TITLE_PT, TEXT_PT, SMALL_PT = 15.0, 12.0, 11.0
MARGIN = 0.25  # inches, as all lengths here
WIDTH = 8.0
INK, GREY, GRID = "#1a1a1a", "#555555", "#d9d9d9"
_ALARM = "#a50f15"  # white on it: contrast 8.1

# Okabe and Ito 2008, "Color Universal Design", without the yellow that is too faint on white.
BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
YELLOW = "#f0e442"  # of the same palette, too faint on white but for a star with a black edge


def label_of(estimate: Estimate) -> str:
    """Return "0.93 (0.91–0.95)", with more digits where 1.00 would be untrue or both ends would look alike."""
    if estimate.value is None:
        return "n/a"
    ends = [end for end in (estimate.low, estimate.high) if end is not None]
    for digits in (2, 3, 4):
        value, *interval = (f"{number:.{digits}f}" for number in (estimate.value, *ends))
        looks_certain = estimate.value not in (0, 1) and float(value) in (0, 1)
        if not looks_certain and len(set(interval)) == len(ends):
            break
    return f"{value} ({'–'.join(interval)})" if len(ends) == 2 else f"{value} (no interval)"


def methods_of(estimates: Sequence[Estimate]) -> str:
    """Return how the intervals were made, each method once, in the order in which they appear."""
    names = dict.fromkeys(item.method for item in estimates if item.low is not None)
    return ", ".join(names) or "none"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A white sheet; `ink` lies over all of it, in inches from the lower left corner."""

    figure: Figure
    ink: Axes
    width: float
    height: float

    def text(
        self,
        x: float,
        y: float,
        text: str | Sequence[str],
        *,
        size: float = TEXT_PT,
        bold: bool = False,
        color: str = INK,
        ha: Literal["left", "center", "right"] = "center",
        va: Literal["top", "center", "bottom"] = "center",
        rotation: float = 0,
    ) -> None:
        """Write one or more lines; a dollar sign in a finding's name is a dollar sign and no formula."""
        self.ink.text(
            x,
            y,
            text if isinstance(text, str) else "\n".join(text),
            fontproperties=_font(size, bold=bold),
            color=color,
            ha=ha,
            va=va,
            multialignment=ha if not rotation else "center",
            rotation=rotation,
            linespacing=1.2,
            parse_math=False,
            usetex=False,
        )

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Return a panel with a thin grid whose every visible property is set."""
        box = (x / self.width, y / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box, facecolor="#ffffff")
        axes.set_axisbelow(True)
        axes.grid(visible=True, color=GRID, linewidth=0.8, linestyle="-")
        axes.tick_params(
            which="both",
            direction="out",
            length=4,
            width=0.8,
            color=GREY,
            labelcolor=INK,
            pad=4,
            labelsize=TEXT_PT,
            labelfontfamily=_FONT,
            bottom=True,
            left=True,
            top=False,
            right=False,
        )
        for side, spine in axes.spines.items():
            spine.set(visible=side in ("left", "bottom"), color=GREY, linewidth=1.0)
        return axes


def build_sheet(width: float, body: float, *, title: str, caption: str | None, notice: str | None) -> Sheet:
    """Return a sheet with its head (banner, title, caption) above `body` inches that are left to be drawn on."""
    room = width - 2 * MARGIN
    banner = wrap_evenly(notice, room - 0.3, 14, bold=True) if notice else []
    titles = wrap_evenly(title, room, _TITLE_PT, bold=True)
    captions = wrap(caption, room, SMALL_PT) if caption else []
    banner_height = lines_height(len(banner), 14) + 0.3 if banner else 0.0
    title_height = lines_height(len(titles), _TITLE_PT) + 0.1
    caption_height = lines_height(len(captions), SMALL_PT) + 0.12 if captions else 0.05
    height = body + caption_height + title_height + 0.18 + banner_height
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="#ffffff", edgecolor="#ffffff")
    figure.set_layout_engine("none")
    FigureCanvasAgg(figure)
    ink = figure.add_axes((0, 0, 1, 1), facecolor="none", zorder=2)
    ink.set(xlim=(0, width), ylim=(0, height))
    ink.set_axis_off()
    sheet = Sheet(figure, ink, width, height)
    if banner:
        ink.add_patch(Rectangle((0, height - banner_height), width, banner_height, facecolor=_ALARM, linewidth=0))
        sheet.text(width / 2, height - banner_height / 2, banner, size=14, bold=True, color="#ffffff")
    top = height - banner_height - 0.18
    sheet.text(MARGIN, top, titles, size=_TITLE_PT, bold=True, ha="left", va="top")
    sheet.text(MARGIN, top - title_height, captions, size=SMALL_PT, color=GREY, ha="left", va="top")
    return sheet


LEGEND_ROW = 0.3


@dataclass(frozen=True, slots=True)
class Entry:
    """How one line or bar looks, in its panel and in the key."""

    name: str
    color: str
    marker: str = "none"
    face: str = "#ffffff"
    style: tuple[int, tuple[float, ...]] | None = (0, ())
    every: tuple[float, float] | None = None
    marker_size: float = 7
    bar: bool = False
    hatch: str | None = None

    def line(self, x: NDArray[np.generic], y: NDArray[np.generic]) -> Line2D:
        """Return the line through the points."""
        return Line2D(
            x,
            y,
            color=self.color,
            linewidth=2.2,
            linestyle=self.style if self.style is not None else "none",
            marker=self.marker,
            markersize=self.marker_size,
            markerfacecolor=self.face,
            markeredgecolor=self.color,
            markeredgewidth=1.5,
            fillstyle="full",
            antialiased=True,
            drawstyle="default",
        )

    def onto(self, axes: Axes, x: FloatArray, y: FloatArray) -> None:
        """Draw the line in a panel, with markers at even distances along it."""
        line = self.line(x, y)
        if self.every is not None:
            line.set_markevery(self.every)
        line.set(clip_on=False, zorder=3)
        axes.add_line(line)

    def sample(self, sheet: Sheet, x: float, y: float) -> None:
        """Draw a short piece, 0.5 inches wide, in a key."""
        if self.bar:
            patch = Rectangle((x, y - 0.08), 0.5, 0.16, facecolor=self.color, edgecolor=INK, linewidth=0.8)
            hatch_patch(patch, self.hatch)
            sheet.ink.add_patch(patch)
            return
        line = self.line(np.array([x, x + 0.25, x + 0.5]), np.array([y, y, y]))
        line.set_markevery([1])
        sheet.ink.add_line(line)


def hatch_patch(patch: Rectangle, hatch: str | None) -> None:
    """Hatch a bar with thin lines of its edge's colour."""
    if hatch is not None:
        patch.set_hatch(hatch)
        patch.set_hatch_linewidth(0.8)


def flow_entries(entries: Sequence[Entry], width: float) -> list[list[Entry]]:
    """Return the entries of a key in rows that are no wider than the sheet."""
    rows: list[list[Entry]] = []
    used = width
    for entry in entries:
        needed = 0.6 + width_of(entry.name, TEXT_PT) + 0.3
        if not rows or used + needed > width:
            rows.append([])
            used = 0.0
        rows[-1].append(entry)
        used += needed
    return rows


def draw_legend(sheet: Sheet, left: float, top: float, rows: Sequence[Sequence[Entry]]) -> None:
    """Draw the rows of a key from the top down."""
    for index, row in enumerate(rows):
        x, y = left, top - (index + 0.5) * LEGEND_ROW
        for entry in row:
            entry.sample(sheet, x, y)
            sheet.text(x + 0.6, y, entry.name, ha="left")
            x += 0.6 + width_of(entry.name, TEXT_PT) + 0.3


def _font(size: float, *, bold: bool = False) -> FontProperties:
    return FontProperties(family=_FONT, size=size, weight="bold" if bold else "normal", style="normal")


@cache
def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a line in inches."""
    width, _, _ = TextToPath().get_text_width_height_descent(text, _font(size, bold=bold), ismath=False)
    return width / 72


def line_height(size: float) -> float:
    """Return the height of a line in inches."""
    return size * 1.24 / 72  # as Matplotlib sets DejaVu Sans at a line spacing of 1.2


def lines_height(lines: int, size: float) -> float:
    """Return the height of several lines in inches."""
    return lines * line_height(size)


def wrap(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Return the text in lines of at most `width` inches: broken at spaces, else after - _ /, else anywhere."""
    lines = [""]
    for word in text.split() or [""]:
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(joined, size, bold=bold) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for piece in re.findall(r"[^-_/]+[-_/]*|[-_/]+", word):
            for part in [piece] if width_of(piece, size, bold=bold) <= width else piece:
                if lines[-1] and width_of(lines[-1] + part, size, bold=bold) > width:
                    lines.append("")
                lines[-1] += part
    return lines


def wrap_evenly(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Return the text in as few lines as `wrap`, of about one length: no word stands alone in the last."""
    lines = wrap(text, width, size, bold=bold)
    while width > 0.2:
        width -= 0.1
        narrower = wrap(text, width, size, bold=bold)
        if len(narrower) > len(lines) or " ".join(narrower) != " ".join(lines):
            break
        lines = narrower
    return lines


def write_png(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG without its maker's name, a date or a path: the same input gives the same bytes."""
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):
        canvas = FigureCanvasAgg(figure)
    with whole_file(path) as temporary:
        canvas.print_png(str(temporary), metadata={"Software": None})  # type: ignore[no-untyped-call]
