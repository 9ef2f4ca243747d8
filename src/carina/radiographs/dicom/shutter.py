"""What of an image is to be seen, by its display shutter and its collimator: a box, and within it perhaps a shape.

Source: PS3.3 C.7.6.11 (display shutter), C.8.7.3 (X-ray collimator). Rows and columns are counted from 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carina.radiographs.dicom.shapes import Shape
from carina.radiographs.doubts import Doubt
from carina.radiographs.radiograph import MIN_SIDE_PX

# Less than this share of the image is no chest: the shutter was meant for another image, or is wrong.
_SMALLEST_SHARE = 0.1
# Less than half, or less than networks are shown: worth a word.
_SMALL_SHARE, _SMALL_SIDE_PX = 0.5, 224
_FARTHEST = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Visible:
    """What is to be seen.

    Attributes
    ----------
    box, mask
        Top, left, bottom and right in pixels, the latter two beyond it; and bool ``(height, width)`` of the box, true
        where it is to be seen, or none where all of it is.
    ignored
        Whether shapes were not followed, because they leave next to nothing.
    doubts
        Whether edges lie outside the image, and whether what is left is small.
    """

    box: tuple[int, int, int, int]
    mask: NDArray[np.bool_] | None = None
    ignored: bool = False
    doubts: frozenset[Doubt] = frozenset()


def find_visible(shapes: tuple[Shape, ...], height: int, width: int) -> Visible:
    """Return what all shapes together leave of an image of `height` × `width` pixels."""
    box = whole = (0, 0, height, width)
    for shape in shapes:
        box = _common(box, _box(shape))
    top, left, bottom, right = box
    is_outside = any(_reaches_outside(shape, height, width) for shape in shapes)
    outside: set[Doubt] = {"shutter outside"} if is_outside else set()
    mask, left_over = None, (bottom - top) * (right - left)
    too_small = min(bottom - top, right - left) < min(MIN_SIDE_PX, height, width)
    curved = [shape for shape in shapes if shape.edges is None]
    if curved and not too_small:
        mask = np.logical_and.reduce([_mask(shape, box) for shape in curved])
        left_over = int(np.count_nonzero(mask))
    if too_small or left_over < _SMALLEST_SHARE * height * width:
        return Visible(whole, ignored=True, doubts=frozenset(outside))
    is_small = min(bottom - top, right - left) < _SMALL_SIDE_PX or left_over < _SMALL_SHARE * height * width
    crops: set[Doubt] = {"shutter crops"} if is_small and left_over < height * width else set()
    return Visible(box, mask, doubts=frozenset(outside | crops))


def _reaches_outside(shape: Shape, height: int, width: int) -> bool:
    """Return whether a straight edge lies outside the image. Circles that are larger than the image are usual."""
    if shape.centre is not None:
        return False
    top, left, bottom, right = _box(shape)
    # The line beside the last one means an edge that hides nothing.
    return min(top, left) < -1 or bottom > height + 1 or right > width + 1


def _common(one: tuple[int, int, int, int], other: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    top, left, bottom, right = one
    return (
        max(top, _whole(other[0], top, bottom)),
        max(left, _whole(other[1], left, right)),
        min(bottom, _whole(other[2], top, bottom)),
        min(right, _whole(other[3], left, right)),
    )


def _whole(edge: float, low: int, high: int) -> int:
    return round(min(max(edge, low), high))


def _box(shape: Shape) -> tuple[float, float, float, float]:
    """Return the box around a shape: top, left, bottom and right, counted from 0, the latter two beyond it."""
    if shape.edges is not None:
        left, right, upper, lower = shape.edges
        return upper - 1, left - 1, lower, right
    if shape.centre is not None and shape.radius is not None:
        row, column = shape.centre
        reach = shape.radius
        return math.ceil(row - 1 - reach), math.ceil(column - 1 - reach), row + reach, column + reach
    rows, columns = shape.vertices[::2], shape.vertices[1::2]
    return min(rows) - 1, min(columns) - 1, max(rows), max(columns)


def _mask(shape: Shape, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    top, left, bottom, right = box
    if shape.centre is not None and shape.radius is not None:
        rows = np.arange(top, bottom)[:, np.newaxis] - (shape.centre[0] - 1)
        columns = np.arange(left, right) - (shape.centre[1] - 1)
        return np.asarray(np.hypot(rows, columns) <= shape.radius)
    from PIL import Image, ImageDraw  # noqa: PLC0415  # for this rare shape alone

    drawn = Image.new("1", (right - left, bottom - top))
    # No farther away than Pillow can count.
    placed = np.clip(np.reshape(shape.vertices, (-1, 2))[:, ::-1], -_FARTHEST, _FARTHEST) - (1 + left, 1 + top)
    ImageDraw.Draw(drawn).polygon([(x, y) for x, y in placed.tolist()], fill=1)
    return np.asarray(drawn, np.bool_)
