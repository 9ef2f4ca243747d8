"""The one way from a radiograph to the tensor that the network sees, at training and at prediction.

`resize_grey` gives the whole radiograph as 8-bit grey values: small, exact, and what is cached, augmented and hashed.
`frame` cuts the lungs out of it and evens the grey levels, where the model is to see no more than that. `to_tensor`
gives the floats in the range that the backbone was trained on.
"""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, field_validator

from carina.radiographs.lung_mask import Lungs
from carina.radiographs.radiograph import Radiograph

# A crop without contrast is left as dark as it is, instead of having its noise blown up to black and white.
_SMALLEST_STRETCH = 8


class Preprocessing(BaseModel, frozen=True, extra="forbid"):
    """How radiographs become tensors; it travels with the weights.

    Attributes
    ----------
    size
        Height and width of the tensor in pixels. The image is stretched to the square, as the baseline does.
    crop
        ``none`` shows the network the whole image; ``lungs`` the box around both lungs, cut out of the whole image at
        `whole_size`, and the whole image where no two lungs are found.
    crop_margin
        What is added to the box at each side, as a share of its height and width.
    stretch
        Two percentiles of what the network is shown: grey values are stretched so that they become black and white.
        None leaves grey values as they are.
    whole_size
        With ``crop = "lungs"``: height and width that every radiograph is brought to first, so that one of 3,000 pixels
        looks no sharper to the network than the small ones that it learned from.
    pixel_range
        ``zero-one`` as the published baseline feeds MobileNetV2, or ``minus-one-one``, which its ImageNet weights
        were trained with.
    version
        Raised whenever the same settings would give other tensors, so that caches and models are not mixed.
    """

    size: int = Field(default=224, ge=32, le=1024)
    pixel_range: Literal["zero-one", "minus-one-one"] = "minus-one-one"
    crop: Literal["none", "lungs"] = "none"
    crop_margin: float = Field(default=0.03, ge=0, le=0.5)
    stretch: tuple[float, float] | None = None
    whole_size: int = Field(default=224, ge=32, le=1024)
    version: Literal[1] = 1

    @field_validator("stretch")
    @classmethod
    def _two_percentiles(cls, stretch: tuple[float, float] | None) -> tuple[float, float] | None:
        if stretch is not None and not 0 <= stretch[0] < stretch[1] <= 100:
            msg = "two percentiles are needed, the lower first, 0 to 100"
            raise ValueError(msg)
        return stretch

    @property
    def read_size(self) -> int:
        """Return the height and width that a radiograph is brought to before anything else."""
        return self.whole_size if self.crop == "lungs" else self.size


def resize_grey(radiograph: Radiograph, size: int) -> NDArray[np.uint8]:
    """Return uint8 ``(size, size)``, range [0, 255], 255 where the radiograph is displayed white.

    Area averaging along a side that shrinks (bilinear sampling would skip most pixels of a 3,000-pixel radiograph
    and alias its ribs), bilinear along one that grows.
    """
    pixels = radiograph.pixels
    if radiograph.height > size or radiograph.width > size:
        # A side that is already small enough is kept here: OpenCV averages areas only where neither side grows.
        shrunk = (min(radiograph.width, size), min(radiograph.height, size))
        pixels = cv2.resize(pixels, shrunk, interpolation=cv2.INTER_AREA)
    if pixels.shape != (size, size):
        pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels, dtype=np.uint8)
    scaled = pixels.astype(np.float32) * np.float32(255.0 / radiograph.white)
    grey: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return grey


def to_tensor(grey: NDArray[np.uint8], pixel_range: str) -> NDArray[np.float32]:
    """Return float32 ``(…, height, width, 3)`` with three equal channels, range [0, 1] or [-1, 1].

    Of uint8 ``(…, height, width)`` from `resize_grey`, by `Preprocessing.pixel_range`.
    """
    scale, offset = scale_and_offset(pixel_range)
    scaled = grey.astype(np.float32) * np.float32(scale) + np.float32(offset)
    if not scaled.size:
        return np.zeros((*grey.shape, 3), np.float32)
    # A fifth of the time of np.repeat.
    rows = scaled.reshape(-1, grey.shape[-1])
    return np.asarray(cv2.cvtColor(rows, cv2.COLOR_GRAY2RGB), np.float32).reshape(*grey.shape, 3)


def scale_and_offset(pixel_range: str) -> tuple[float, float]:
    """Return the factor and the summand that bring 8-bit grey values to the range."""
    return (1.0 / 255.0, 0.0) if pixel_range == "zero-one" else (1.0 / 127.5, -1.0)


def frame(whole: NDArray[np.uint8], lungs: Lungs | None, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Return what the network is shown of one radiograph: uint8 ``(size, size)``, range [0, 255].

    Parameters
    ----------
    whole
        uint8 ``(read_size, read_size)`` from `resize_grey`.
    lungs
        Where the lungs are; none where no two were found. Not looked at with ``crop = "none"``.
    """
    if preprocessing.crop == "lungs":
        size = (preprocessing.size, preprocessing.size)
        matrix = crop_matrix(lungs, preprocessing)
        whole = np.asarray(cv2.warpAffine(whole, matrix, size, flags=cv2.INTER_LINEAR), dtype=np.uint8)
    if preprocessing.stretch is None:
        return whole
    table = stretch_table(whole, preprocessing.stretch)
    return np.asarray(cv2.LUT(whole, np.rint(255 * table).astype(np.uint8)), dtype=np.uint8)


def crop_matrix(lungs: Lungs | None, preprocessing: Preprocessing) -> NDArray[np.float64]:
    """Return float64 ``(2, 3)``: what carries pixels of the whole image to pixels of the crop, both (x, y).

    The box with its margin, where it lies within the image; without lungs the whole image.
    """
    top, left, bottom, right = (0.0, 0.0, 1.0, 1.0) if lungs is None else lungs.box
    across, down = preprocessing.crop_margin * (right - left), preprocessing.crop_margin * (bottom - top)
    if lungs is not None:
        top, bottom = max(0.0, top - down), min(1.0, bottom + down)
        left, right = max(0.0, left - across), min(1.0, right + across)
    whole, size = preprocessing.whole_size, preprocessing.size
    scale_x, scale_y = size / ((right - left) * whole), size / ((bottom - top) * whole)
    # Pixel centres lie at halves: the box's edge is then on the crop's edge.
    shift_x, shift_y = (0.5 - left * whole) * scale_x - 0.5, (0.5 - top * whole) * scale_y - 0.5
    return np.array([[scale_x, 0.0, shift_x], [0.0, scale_y, shift_y]])


def stretch_table(grey: NDArray[np.uint8], percentiles: tuple[float, float]) -> NDArray[np.float64]:
    """Return float64 ``(256,)``: what each grey value becomes, range [0, 1].

    The percentiles of `grey` become 0 and 1, and what lies outside of them too.
    """
    counts = np.cumsum(cv2.calcHist([grey], [0], None, [256], [0, 256]), dtype=np.float64)
    low, high = (int(np.searchsorted(counts, counts[-1] * percentile / 100)) for percentile in percentiles)
    high = max(high, low + _SMALLEST_STRETCH)
    return np.clip((np.arange(256) - low) / (high - low), 0.0, 1.0)
