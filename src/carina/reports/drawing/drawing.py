"""A drawing of lines, shapes and words that becomes SVG in the page, and SVG and PNG for papers.

Colours are named by what they mean, so that one drawing serves a light page, a dark one and paper. Lengths are units
of the drawing: pixels in the page where it has its natural width, points on paper. y runs downwards.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Polygon

from carina.reports.html.markup import Html, element, join
from carina.reports.html.notebook_frame import pictured
from carina.reports.drawing.sheet import width_of

Ink = Literal["ink", "muted", "grid", "paper", "shade", "s1", "s2", "s3", "s4", "s5", "s6"]
Anchor = Literal["start", "middle", "end"]

# The colours of the light theme; those of the page stand in assets/page.css, and a test holds them equal.
LIGHT: dict[Ink, str] = {
    "ink": "#1b1f24",
    "muted": "#57606a",
    "grid": "#d4d9df",
    "paper": "#ffffff",
    "shade": "#eef1f4",
    "s1": "#0067a3",
    "s2": "#c24a00",
    "s3": "#00755a",
    "s4": "#98407f",
    "s5": "#806000",
    "s6": "#4a5a8c",
}
SERIES: tuple[Ink, ...] = ("s1", "s2", "s3", "s4", "s5", "s6")
# A second sign beside the colour, so that nothing rests on colour alone.
DASHES: tuple[tuple[float, ...], ...] = ((), (7, 3), (2, 2.5), (9, 3, 2, 3), (5, 2), (1.5, 3))
MARKERS: tuple[str, ...] = ("circle", "square", "triangle", "diamond", "cross", "bar")

TEXT, SMALL = 13.0, 11.5
_PIXELS_A_UNIT = 3
_FONT = "DejaVu Sans"
_STYLE = f"text{{font-family:'{_FONT}',Verdana,sans-serif}}" + "".join(
    f".f-{name}{{fill:{color}}}.l-{name}{{stroke:{color}}}" for name, color in LIGHT.items()
)


@dataclass(frozen=True, slots=True)
class _Line:
    points: tuple[tuple[float, float], ...]
    ink: Ink
    width: float
    dash: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Area:
    points: tuple[tuple[float, float], ...]
    fill: Ink
    opacity: float
    edge: Ink | None
    says: str | None


@dataclass(frozen=True, slots=True)
class _Dot:
    x: float
    y: float
    radius: float
    fill: Ink
    edge: Ink
    says: str | None


@dataclass(frozen=True, slots=True)
class _Words:
    x: float
    y: float
    text: str
    ink: Ink
    size: float
    anchor: Anchor
    bold: bool
    turned: bool


@dataclass(slots=True)
class Scene:
    """A drawing.

    Attributes
    ----------
    name
        Of its files, without suffix.
    title
        What it shows, in a few words.
    description
        What a reader sees in it, for one who cannot: the figures themselves.
    width, height
        In units.
    """

    name: str
    title: str
    description: str
    width: float
    height: float
    _parts: list[_Line | _Area | _Dot | _Words] = field(default_factory=list)

    def line(
        self,
        points: Sequence[tuple[float, float]],
        ink: Ink = "ink",
        *,
        width: float = 1.5,
        dash: tuple[float, ...] = (),
    ) -> None:
        """Draw a line through points."""
        self._parts.append(_Line(tuple(points), ink, width, dash))

    def area(
        self,
        points: Sequence[tuple[float, float]],
        fill: Ink,
        *,
        opacity: float = 1.0,
        edge: Ink | None = None,
        says: str | None = None,
    ) -> None:
        """Fill the area within points; `says` is shown where the pointer rests on it."""
        self._parts.append(_Area(tuple(points), fill, opacity, edge, says))

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: Ink,
        *,
        opacity: float = 1.0,
        edge: Ink | None = None,
        says: str | None = None,
    ) -> None:
        """Fill a rectangle given by its upper left corner."""
        corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
        self.area(corners, fill, opacity=opacity, edge=edge, says=says)

    def mark(
        self,
        x: float,
        y: float,
        shape: str = "circle",
        *,
        ink: Ink = "ink",
        size: float = 4.0,
        hollow: bool = False,
        says: str | None = None,
    ) -> None:
        """Draw a marker: circle, square, triangle, diamond, star, cross or bar."""
        fill: Ink = "paper" if hollow else ink
        if shape == "circle":
            self._parts.append(_Dot(x, y, size, fill, ink, says))
        elif shape in ("cross", "bar"):
            self.line([(x, y - size), (x, y + size)], ink, width=2)
            if shape == "cross":
                self.line([(x - size, y), (x + size, y)], ink, width=2)
        else:
            corners = [(x + size * across, y + size * down) for across, down in _SHAPES[shape]]
            self.area(corners, fill, edge=ink, says=says)

    def words(
        self,
        x: float,
        y: float,
        text: str,
        *,
        ink: Ink = "ink",
        size: float = SMALL,
        anchor: Anchor = "start",
        bold: bool = False,
        turned: bool = False,
    ) -> None:
        """Write a line of text on the base line `y`; turned by 90 degrees it runs upwards."""
        self._parts.append(_Words(x, y, text, ink, size, anchor, bold, turned))

    def to_svg(self, *, alone: bool = False) -> Html:
        """Return the drawing as SVG: for the page, whose style sheet knows the colours, or to stand alone."""
        parts = (_svg_of(part) for part in self._parts)
        inner = join(element("title", self.title), element("desc", self.description))
        if alone:
            inner = join(inner, Html(f"<style>{_STYLE}</style>"))
            inner = join(inner, element("rect", width=_n(self.width), height=_n(self.height), class_="f-paper"))
        return element(
            "svg",
            inner,
            *parts,
            viewBox=f"0 0 {_n(self.width)} {_n(self.height)}",
            width=_n(self.width) if alone else None,
            height=_n(self.height) if alone else None,
            role="img",
            aria_label=f"{self.title}. {self.description}",
            class_="scene",
            xmlns="http://www.w3.org/2000/svg" if alone else None,
        )

    def _repr_html_(self) -> str:
        return pictured(self.to_svg(alone=True), f"{self.title}. {self.description}", self.width)

    def to_png(self) -> bytes:
        """Return the drawing in the light theme's colours, three pixels a unit; the same input gives the same bytes."""
        figure = Figure(figsize=(self.width / 72, self.height / 72), dpi=72 * _PIXELS_A_UNIT, facecolor="#ffffff")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        for order, part in enumerate(self._parts):
            artist = _artist_of(part)
            if artist is None and isinstance(part, _Words):
                axes.text(
                    part.x,
                    part.y,
                    part.text,
                    color=LIGHT[part.ink],
                    fontsize=part.size,
                    fontfamily=_FONT,
                    fontweight="bold" if part.bold else "normal",
                    ha={"start": "left", "middle": "center", "end": "right"}[part.anchor],
                    va="baseline",
                    rotation=90 if part.turned else 0,
                    rotation_mode="anchor",
                    parse_math=False,
                    zorder=order,
                )
            elif artist is not None:
                artist.set_zorder(order)
                axes.add_artist(artist)
        stream = io.BytesIO()
        canvas.print_png(  # type: ignore[no-untyped-call]
            stream, metadata={"Software": None}, pil_kwargs={"compress_level": 4}
        )
        return stream.getvalue()


_SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "star": (
        *((0.0, -1.0), (0.2245, -0.309), (0.9511, -0.309), (0.3633, 0.118), (0.5878, 0.809), (0.0, 0.382)),
        *((-0.5878, 0.809), (-0.3633, 0.118), (-0.9511, -0.309), (-0.2245, -0.309)),
    ),
}


def text_width(text: str, size: float = SMALL, *, bold: bool = False) -> float:
    """Return the width of a line in units, as the widest of the fonts sets it."""
    return 72 * width_of(text, size, bold=bold)


def fit_lines(text: str, width: float, size: float = SMALL, *, bold: bool = False) -> list[str]:
    """Return the text in lines of at most `width` units, broken at spaces; those that must not break stay."""
    lines = [""]
    for word in filter(None, text.split(" ")):
        joined = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(joined, size, bold=bold) > width:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _svg_of(part: _Line | _Area | _Dot | _Words) -> Html:
    if isinstance(part, _Line):
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in part.points)
        dash = " ".join(_n(length) for length in part.dash) or None
        return element(
            "polyline",
            points=points,
            fill="none",
            class_=f"l-{part.ink}",
            stroke_width=_n(part.width),
            stroke_dasharray=dash,
            stroke_linejoin="round",
        )
    if isinstance(part, _Area):
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in part.points)
        classes = f"f-{part.fill}" + (f" l-{part.edge}" if part.edge else "")
        opacity = None if part.opacity == 1 else _n(part.opacity)
        said = element("title", part.says) if part.says else None
        return element("polygon", said, points=points, class_=classes, fill_opacity=opacity)
    if isinstance(part, _Dot):
        classes, said = f"f-{part.fill} l-{part.edge}", element("title", part.says) if part.says else None
        return element(
            "circle", said, cx=_n(part.x), cy=_n(part.y), r=_n(part.radius), class_=classes, stroke_width="1.5"
        )
    return element(
        "text",
        part.text,
        x=_n(part.x),
        y=_n(part.y),
        class_=f"f-{part.ink}",
        font_size=_n(part.size),
        text_anchor=None if part.anchor == "start" else part.anchor,
        font_weight="bold" if part.bold else None,
        transform=f"rotate(-90 {_n(part.x)} {_n(part.y)})" if part.turned else None,
    )


def _artist_of(part: _Line | _Area | _Dot | _Words) -> Line2D | Polygon | Ellipse | None:
    if isinstance(part, _Line):
        across, down = zip(*part.points, strict=True)
        line = Line2D(across, down, color=LIGHT[part.ink], linewidth=part.width)
        if part.dash:
            line.set_linestyle((0, tuple(length / part.width for length in part.dash)))
        return line
    if isinstance(part, _Area):
        edge = "none" if part.edge is None else LIGHT[part.edge]
        artist = Polygon(part.points, closed=True, facecolor=LIGHT[part.fill], edgecolor=edge, linewidth=1.2)
        # An area without an edge lets what is below it shine through; one with an edge is a mark.
        artist.set_alpha(part.opacity if part.opacity != 1 else None)
        return artist
    if isinstance(part, _Dot):
        face, edge, diameter = LIGHT[part.fill], LIGHT[part.edge], 2 * part.radius
        return Ellipse((part.x, part.y), diameter, diameter, facecolor=face, edgecolor=edge, linewidth=1.5)
    return None
