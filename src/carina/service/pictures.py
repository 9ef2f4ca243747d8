"""Small pictures for the worklist, and whole radiographs for the reading page."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.inference.explanation.explain import display_grey
from carina.radiographs.read import radiograph_of
from carina.storage.atomic import whole_file

FOLDER = "thumbnails"
_SIDE_PX = 160
# Windows of headers that make no sense may end anywhere.
_FAR = 2.0**24


def keep_thumbnail(folder: Path, digest: str, grey: NDArray[np.uint8]) -> bytes:
    """Keep a small picture of an image in a site's folder, and return it: JPEG.

    Parameters
    ----------
    grey
        uint8 ``(height, width)``, as displayed.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    factor = min(1.0, _SIDE_PX / max(grey.shape))
    size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    content = bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())
    path = _path(folder, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
    return content


def thumbnail_of(folder: Path, digest: str, stored: Path) -> bytes:
    """Return the small picture of an image; it is made where there is none yet.

    Raises
    ------
    InputError
        If the image cannot be decoded.
    OSError
        If it cannot be read.
    """
    try:
        return _path(folder, digest).read_bytes()
    except FileNotFoundError:
        return keep_thumbnail(folder, digest, display_grey(radiograph_of(stored.read_bytes())))


@dataclass(frozen=True, slots=True)
class Pixels:
    """A radiograph for the reading page.

    Attributes
    ----------
    packed
        Its grey values: uint16, little-endian, row by row, in display polarity, compressed by gzip.
    height, width
        In pixels.
    largest
        The largest grey value that there may be.
    black, white
        The grey values that are shown as black and as white at first: the window of a DICOM header. Either may lie
        outside the range.
    """

    packed: bytes
    height: int
    width: int
    largest: int
    black: int
    white: int


def pixels_of(stored: Path) -> Pixels:
    """Return a radiograph for the reading page, in the full depth of its file: no window has cut anything off.

    Raises
    ------
    InputError
        If the image cannot be decoded.
    OSError
        If it cannot be read.
    """
    radiograph = radiograph_of(stored.read_bytes(), whole=True)
    pixels, white = radiograph.pixels, radiograph.white
    if pixels.dtype == np.float32:
        pixels, white = np.rint(pixels * np.float32(65_535 / white)).astype(np.uint16), 65_535.0
    # Level 1: noise does not pack, and somebody waits.
    packed = gzip.compress(pixels.astype("<u2").tobytes(), 1)
    ends = np.clip((0.0, white) if radiograph.window is None else radiograph.window, -_FAR, _FAR)
    black, shown_white = round(ends[0]), max(round(ends[0]) + 1, round(ends[1]))
    return Pixels(packed, radiograph.height, radiograph.width, round(white), black, shown_white)


def _path(folder: Path, digest: str) -> Path:
    return folder / FOLDER / digest[:2] / f"{digest}.jpg"
