"""The one way from a radiograph to the tensor that the network sees, at training and at prediction.

It has two steps. `resize_grey` gives 8-bit grey values at the network's size: small, exact, and what is cached,
augmented and hashed. `to_tensor` gives the floats in the range that the backbone was trained on.
"""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from carina.radiographs.radiograph import Radiograph


class Preprocessing(BaseModel):
    """How radiographs become tensors; it travels with the weights.

    Attributes
    ----------
    size
        Height and width of the tensor in pixels. The image is stretched to the square, as the baseline does.
    pixel_range
        ``zero-one`` as the published baseline feeds MobileNetV2, or ``minus-one-one``, which its ImageNet weights
        were trained with.
    version
        Raised whenever the same settings would give other tensors, so that caches and models are not mixed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=224, ge=32, le=1024)
    pixel_range: Literal["zero-one", "minus-one-one"] = "minus-one-one"
    version: Literal[1] = 1


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

    Parameters
    ----------
    grey
        uint8 ``(…, height, width)`` from `resize_grey`.
    pixel_range
        ``zero-one`` or ``minus-one-one``.
    """
    scale, offset = scale_and_offset(pixel_range)
    scaled = grey.astype(np.float32) * np.float32(scale) + np.float32(offset)
    return np.repeat(scaled[..., np.newaxis], 3, axis=-1)


def scale_and_offset(pixel_range: str) -> tuple[float, float]:
    """Return the factor and the summand that bring 8-bit grey values to the range."""
    return (1.0 / 255.0, 0.0) if pixel_range == "zero-one" else (1.0 / 127.5, -1.0)


def preprocess(radiograph: Radiograph, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return the tensor of one radiograph: float32 ``(size, size, 3)`` in the range of `preprocessing`."""
    return to_tensor(resize_grey(radiograph, preprocessing.size), preprocessing.pixel_range)
