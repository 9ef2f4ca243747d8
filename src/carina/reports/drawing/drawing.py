"""A drawing of lines, shapes, words and small images: SVG in the page, SVG and PNG in folders and papers.

Colours are named by what they mean, so that one drawing serves a light page, a dark one and paper. Lengths are units
of the drawing: pixels in the page where it has its natural width, points on paper. y runs downwards.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from carina.reports.drawing.text_measure import FONT, SMALL

Ink = Literal["ink", "muted", "grid", "paper", "shade", "alarm", "s1", "s2", "s3", "s4", "s5", "s6"]
Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]

# The colours of the light theme. The page has the same in html/assets/page.css, and a test holds them equal.
LIGHT: dict[Ink, str] = {
    "ink": "#1b1f24",
    "muted": "#57606a",
    "grid": "#d4d9df",
    "paper": "#ffffff",
    "shade": "#eef1f4",
    "alarm": "#a50f15",
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

_STYLE = f"text{{font-family:'{FONT}',Verdana,sans-serif}}" + "".join(
    f".f-{name}{{fill:{color}}}.l-{name}{{stroke:{color}}}" for name, color in LIGHT.items()
)


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line through points."""

    points: tuple[Point, ...]
    ink: Ink
    width: float
    dash: tuple[float, ...]

    def svg(self) -> str:
        """Return the line as an element of SVG."""
        dash = f' stroke-dasharray="{" ".join(map(_n, self.dash))}"' if self.dash else ""
        return (
            f'<polyline points="{_listed(self.points)}" fill="none" class="l-{self.ink}" '
            f'stroke-width="{_n(self.width)}"{dash} stroke-linejoin="round"/>'
        )


@dataclass(frozen=True, slots=True)
class Area:
    """What lies within points; `says` is shown where the pointer rests on it."""

    points: tuple[Point, ...]
    fill: Ink
    opacity: float
    edge: Ink | None
    says: str | None

    def svg(self) -> str:
        """Return the area as an element of SVG."""
        edge = f" l-{self.edge}" if self.edge else ""
        opacity = "" if self.opacity == 1 else f' fill-opacity="{_n(self.opacity)}"'
        start = f'<polygon points="{_listed(self.points)}" class="f-{self.fill}{edge}"{opacity}'
        return f"{start}>{_title(self.says)}</polygon>" if self.says else f"{start}/>"


@dataclass(frozen=True, slots=True)
class Dot:
    """A circle."""

    x: float
    y: float
    radius: float
    fill: Ink
    edge: Ink
    says: str | None

    def svg(self) -> str:
        """Return the circle as an element of SVG."""
        return (
            f'<circle cx="{_n(self.x)}" cy="{_n(self.y)}" r="{_n(self.radius)}" class="f-{self.fill} l-{self.edge}" '
            f'stroke-width="1.5">{_title(self.says) if self.says else ""}</circle>'
        )


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text on its base line; turned by 90 degrees it runs upwards."""

    x: float
    y: float
    text: str
    ink: Ink
    size: float
    anchor: Anchor
    bold: bool
    turned: bool

    def svg(self) -> str:
        """Return the text as an element of SVG."""
        x, y = _n(self.x), _n(self.y)
        anchor = "" if self.anchor == "start" else f' text-anchor="{self.anchor}"'
        bold = ' font-weight="bold"' if self.bold else ""
        turned = f' transform="rotate(-90 {x} {y})"' if self.turned else ""
        start = f'<text x="{x}" y="{y}" class="f-{self.ink}" font-size="{_n(self.size)}"'
        return f"{start}{anchor}{bold}{turned}>{escape(self.text)}</text>"


@dataclass(frozen=True, slots=True)
class GreyImage:
    """A grey image, uint8 (rows, columns), in a box given by its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    grey: NDArray[np.uint8]

    def svg(self) -> str:
        """Return the image as an element of SVG, with its pixels in it."""
        stream = io.BytesIO()
        Image.fromarray(self.grey).save(stream, "PNG")
        source = base64.b64encode(stream.getvalue()).decode()
        return (
            f'<image x="{_n(self.x)}" y="{_n(self.y)}" width="{_n(self.width)}" height="{_n(self.height)}" '
            f'preserveAspectRatio="none" href="data:image/png;base64,{source}"/>'
        )


Part = Stroke | Area | Dot | Words | GreyImage


def file_keys(names: Iterable[str]) -> dict[str, str]:
    """Return for each name what names a file: letters, digits and underscores, and a number where names look alike."""
    keys: dict[str, str] = {}
    for name in dict.fromkeys(names):
        key = plain = "".join(letter if letter.isalnum() else "_" for letter in name.lower())
        number = 2
        while key in keys.values():
            key, number = f"{plain}_{number}", number + 1
        keys[name] = key
    return keys


@dataclass(slots=True)
class Drawing:
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
    parts
        What is drawn, the lowest first.
    """

    name: str
    title: str
    description: str
    width: float
    height: float
    parts: list[Part] = field(default_factory=list)

    def line(
        self, points: Sequence[Point], ink: Ink = "ink", *, width: float = 1.5, dash: Sequence[float] = ()
    ) -> None:
        """Draw a line through points."""
        self.parts.append(Stroke(tuple(points), ink, width, tuple(dash)))

    def area(
        self,
        points: Sequence[Point],
        fill: Ink,
        *,
        opacity: float = 1.0,
        edge: Ink | None = None,
        says: str | None = None,
    ) -> None:
        """Fill the area within points; `says` is shown where the pointer rests on it."""
        self.parts.append(Area(tuple(points), fill, opacity, edge, says))

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
            self.parts.append(Dot(x, y, size, fill, ink, says))
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
        self.parts.append(Words(x, y, text, ink, size, anchor, bold, turned))

    def lines(self, x: float, y: float, texts: Sequence[str], *, step: float = 15.0, **looks: object) -> None:
        """Write lines of text below each other, the first on the base line `y`."""
        for row, text in enumerate(texts):
            self.words(x, y + step * row, text, **looks)  # type: ignore[arg-type]

    def image(self, x: float, y: float, width: float, height: float, grey: NDArray[np.uint8]) -> None:
        """Show a grey image, uint8 (rows, columns), in a box given by its upper left corner."""
        self.parts.append(GreyImage(x, y, width, height, grey))

    def place(self, other: Drawing, x: float, y: float) -> None:
        """Draw another drawing in this one, its upper left corner at a point."""
        self.parts += [_moved(part, x, y) for part in other.parts]

    def to_svg(self, *, alone: bool = False) -> Markup:
        """Return the drawing as SVG: for the page, whose style sheet knows the colours, or for a file of its own."""
        size = f'width="{_n(self.width)}" height="{_n(self.height)}"'
        label = escape(f"{self.title}. {self.description}")
        outside = f' {size} xmlns="http://www.w3.org/2000/svg"' if alone else ""
        box = f'viewBox="0 0 {_n(self.width)} {_n(self.height)}"'
        start = f'<svg {box}{outside} role="img" aria-label="{label}" class="drawing">'
        about = f"{_title(self.title)}<desc>{escape(self.description)}</desc>"
        ground = f'<style>{_STYLE}</style><rect {size} class="f-paper"/>' if alone else ""
        return Markup("".join((start, about, ground, *(part.svg() for part in self.parts), "</svg>")))  # noqa: S704  # all text in it is escaped

    def _repr_html_(self) -> str:
        # As an image: inline, the style sheet of the drawing would be the notebook's.
        source = base64.b64encode(self.to_svg(alone=True).encode()).decode()
        name = escape(f"{self.title}. {self.description}")
        return (
            f'<img alt="{name}" style="max-width:100%" width="{self.width:.0f}" '
            f'src="data:image/svg+xml;base64,{source}">'
        )


_SHAPES: dict[str, tuple[Point, ...]] = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "star": (
        *((0.0, -1.0), (0.2245, -0.309), (0.9511, -0.309), (0.3633, 0.118), (0.5878, 0.809), (0.0, 0.382)),
        *((-0.5878, 0.809), (-0.3633, 0.118), (-0.9511, -0.309), (-0.2245, -0.309)),
    ),
}


def _moved(part: Part, x: float, y: float) -> Part:
    if isinstance(part, Stroke | Area):
        return replace(part, points=tuple((across + x, down + y) for across, down in part.points))
    return replace(part, x=part.x + x, y=part.y + y)


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _listed(points: Sequence[Point]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"
