"""What a radiograph is: decoded grey values in display polarity, with the range that they are shown in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carina.errors import InputError
from carina.radiographs.header import Header

# Below this a lung is a dozen pixels; thumbnails are refused.
MIN_SIDE_PX = 32
# The largest detectors have about 4,300 × 3,500 pixels. A header that claims more than this is refused
# before anything is allocated for it.
MAX_SIDE_PX = 16_384
MAX_PIXELS = 64_000_000

# No frontal radiograph among the 18,040 images that this was tried on is longer than 2.3 times its width, or wider than
# 1.6 times its height. Networks are shown a square: beyond this, anatomy is only a smear in it.
MAX_SIDE_RATIO = 2.5

# Largest values of the usual depths.
_WHITES = tuple(float(2**bits - 1) for bits in (8, 10, 12, 14, 16))
# Letters and damaged pixels cover less of a film, and a film with so little above a fourth of its range is hardly one.
OUTLIER_SHARE = 0.01
# A label or a frame of one grey value may cover more, but never most of the film.
MOST_COVERED = 0.5
# Channels that differ by no more, as a share of their range, are the grey values of a lossy file and not a colour.
GREY_TOLERANCE = 16 / 255

GreyPixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Radiograph:
    """Decoded pixels in display polarity (air dark, bone light).

    Attributes
    ----------
    pixels, white
        uint8, uint16 or float32 ``(height, width)``, range ``[0, white]``; `white` is displayed as white, 0 as black.
    header
        What the file's header says of it; none where its format has none.
    outliers
        How many pixels lay beyond the range of the others, and are shown black or white without setting the range.
    coloured, transparent
        Whether some pixels had a colour, and whether some were not opaque. Of a raster image or an array; the grey
        values are its luma on black.
    window
        The grey values that are to be shown as black and as white, where `pixels` hold more than what is shown; none
        where what is shown is the whole range. Either may lie outside the range.
    reduced
        1, or how many of the file's rows one row of `pixels` has: it was decoded at a lower resolution.

    Raises
    ------
    InputError
        If one side is over 2.5 times as long as the other.
    """

    pixels: GreyPixels
    white: float
    header: Header | None = None
    outliers: int = 0
    coloured: bool = False
    transparent: bool = False
    window: tuple[float, float] | None = None
    reduced: int = 1

    def __post_init__(self) -> None:
        """Refuse a shape that no radiograph has, wherever the pixels come from, and whatever was cut off them."""
        height, width = self.pixels.shape
        if max(width, height) > MAX_SIDE_RATIO * min(width, height):
            msg = (
                f"it has {width:,} × {height:,} pixels; no side of a chest radiograph is over {MAX_SIDE_RATIO:g} times "
                "as long as the other. Use the full image of one radiograph."
            )
            raise InputError(msg, "implausible-shape")

    @property
    def height(self) -> int:
        """Return the height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Return the width in pixels."""
        return int(self.pixels.shape[1])


def check_dimensions(width: int, height: int) -> None:
    """Refuse an image whose header claims an impossible size, before memory is taken for it.

    Raises
    ------
    InputError
        If a side is over 16,384 or under 32 pixels, or the area is over 64 million pixels.
    """
    if width > MAX_SIDE_PX or height > MAX_SIDE_PX or width * height > MAX_PIXELS:
        msg = (
            f"its header claims {width:,} × {height:,} pixels; radiographs have at most {MAX_SIDE_PX:,} a side "
            f"and {MAX_PIXELS // 1_000_000} million in all. Check the file, or scale it down."
        )
        raise InputError(msg, "too-large")
    if width < MIN_SIDE_PX or height < MIN_SIDE_PX:
        msg = f"it has {width} × {height} pixels; at least {MIN_SIDE_PX} a side are needed. Use the full image."
        raise InputError(msg, "too-small")


def build_radiograph(pixels: NDArray[np.generic]) -> Radiograph:
    """Return grey values as a radiograph, with the display range that their type and values imply.

    8-bit values are shown from 0 to 255. Deeper integers carry no window in a raster file, and detectors
    store 10, 12 or 14 bits in 16: white is the largest value of the smallest of 8, 10, 12, 14 or 16 bits
    that holds them all, so that a 12-bit radiograph is not shown nearly black. Floats are read as
    ``[0, 1]`` if they stay within it, and like integers otherwise.

    Outliers do not set white: up to 1 % of the pixels, as letters that were written into the film at its file's
    largest value, or up to half of the pixels where all have one value that is over twice as bright as white, as a
    label or a frame. They are shown white, and counted.

    Parameters
    ----------
    pixels
        ``(height, width)``, any integer or float type, 0 is black.

    Raises
    ------
    InputError
        If values are not finite, negative, beyond 16 bit, or all the same, or no radiograph has such a shape.
    """
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        msg = "some pixels are NaN or infinite. Export the image again with finite grey values."
        raise InputError(msg, "not-finite")
    low, high = float(pixels.min()), float(pixels.max())
    if low == high:
        msg = f"every pixel has the same grey value ({low:g}): there is nothing to judge."
        raise InputError(msg, "constant-image")
    if low < 0 or high > 65_535:
        msg = (
            f"grey values run from {low:g} to {high:g}; without a window only 0 to 65535 can be displayed. "
            "Export it as 8- or 16-bit image."
        )
        raise InputError(msg, "no-display-range")
    if pixels.dtype == np.uint8:
        return Radiograph(np.ascontiguousarray(pixels), 255.0)
    stored: GreyPixels
    if pixels.dtype.kind == "f":
        stored, whites = np.ascontiguousarray(pixels, dtype=np.float32), (1.0, *_WHITES)
    else:
        stored, whites = np.ascontiguousarray(pixels, dtype=np.uint16), _WHITES
    white, outliers = next(
        (white, beyond) for white in whites if (beyond := _outliers_beyond(white, stored, high)) is not None
    )
    return Radiograph(np.minimum(stored, stored.dtype.type(white)) if outliers else stored, white, outliers=outliers)


def _outliers_beyond(white: float, pixels: GreyPixels, high: float) -> int | None:
    """Return how many pixels are brighter than a white; none where they are too many to be outliers."""
    if high <= white:
        return 0
    # In the pixels' own type: NumPy would compare integers and a float as 64-bit floats, at ten times the cost.
    beyond = pixels > pixels.dtype.type(white)
    count = int(np.count_nonzero(beyond))
    if count <= OUTLIER_SHARE * pixels.size:
        return count
    if high <= 2 * white or count > MOST_COVERED * pixels.size:
        return None
    between = count - int(np.count_nonzero(pixels == pixels.dtype.type(high)))
    return count if between <= OUTLIER_SHARE * pixels.size else None
