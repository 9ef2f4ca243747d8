"""The outlines that a data set gives of its shutter and its collimator. Source: PS3.3 C.7.6.11, C.8.7.3."""

from dataclasses import dataclass

from carina.radiographs.dicom.values import Values
from carina.radiographs.doubts import Doubt

_EDGES = ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")


@dataclass(frozen=True, slots=True)
class Shape:
    """An outline of what is to be seen, by a shutter or a collimator.

    Attributes
    ----------
    edges
        Left, right, upper and lower, counted from 1, the edges themselves to be seen.
    centre, radius
        Row and column, counted from 1, and pixels.
    vertices
        Rows and columns in turn, counted from 1.
    """

    edges: tuple[float, float, float, float] | None = None
    centre: tuple[float, float] | None = None
    radius: float | None = None
    vertices: tuple[float, ...] = ()


def read_shapes(reader: Values) -> tuple[tuple[Shape, ...], set[Doubt]]:
    """Return each outline that is named and described, and whether one is there that is not, or a bitmap."""
    shapes: list[Shape] = []
    doubts: set[Doubt] = set()
    for kind in ("Shutter", "Collimator"):
        named = [name for word in reader.words(f"{kind}Shape") if (name := word.strip(" \0").upper())]
        found = [_shape(reader, kind, name) for name in dict.fromkeys(named)]
        shapes += [shape for shape in found if shape is not None]
        if None in found or (not named and any(map(reader.holds, _descriptions(kind)))):
            doubts.add("shutter")
    return tuple(shapes), doubts


def _descriptions(kind: str) -> tuple[str, ...]:
    edges = (f"{kind}{edge}Edge" for edge in _EDGES)
    return (*edges, f"CenterOfCircular{kind}", f"RadiusOfCircular{kind}", f"VerticesOfThePolygonal{kind}")


def _shape(reader: Values, kind: str, name: str) -> Shape | None:
    """Return the outline of a name; none where it is not described, or of another kind."""
    if name == "RECTANGULAR":
        left, right, upper, lower = (reader.number(f"{kind}{edge}Edge") for edge in _EDGES)
        if left is not None and right is not None and upper is not None and lower is not None:
            return Shape(edges=(left, right, upper, lower))
    if name == "CIRCULAR":
        row, column = reader.number(f"CenterOfCircular{kind}"), reader.number(f"CenterOfCircular{kind}", 1)
        radius = reader.number(f"RadiusOfCircular{kind}")
        if row is not None and column is not None and radius is not None:
            return Shape(centre=(row, column), radius=radius)
    if name == "POLYGONAL":
        numbers = reader.numbers(f"VerticesOfThePolygonal{kind}")
        vertices = tuple(number for number in numbers if number is not None)
        if len(vertices) >= 6 and len(vertices) % 2 == 0 and len(vertices) == len(numbers):
            return Shape(vertices=vertices)
    return None
