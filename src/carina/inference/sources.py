"""What an image can come as in Python becomes what the predictor reads: paths, bytes, open files, pictures, arrays."""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carina.errors import ConfigurationError, InputError
from carina.inference.image_input import TellLeftOut
from carina.inference.inputs import image_inputs, names_several
from carina.inference.predictor import Source
from carina.radiographs.radiograph import Radiograph, build_radiograph, check_dimensions
from carina.radiographs.raster import convert_colours, convert_image
from carina.radiographs.read import check_size, radiograph_of


class BinaryFile(Protocol):
    """What is open for reading bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        ...


OneImage = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image.Image | NDArray[Any]


def is_one_image(image: object) -> bool:
    """Return whether something is a single image, and neither a list nor a path that holds or matches several."""
    if isinstance(image, str | os.PathLike):
        return not names_several(Path(image))
    return hasattr(image, "read") or not isinstance(image, list | tuple | Iterator)


def sources_of(images: object, left_out: TellLeftOut) -> Iterator[Source]:
    """Return what the predictor reads, for one image or several; a folder gives all its images.

    Raises
    ------
    ConfigurationError
        If it is nothing that an image can come as.
    """
    if isinstance(images, Iterator) and not hasattr(images, "read"):
        return chain.from_iterable(_sources_of_one(image, left_out) for image in images)
    listed = images if isinstance(images, list | tuple) else (images,)
    # All are looked at before the first is read: a mistake in a list must not come up after an hour.
    return chain.from_iterable([_sources_of_one(image, left_out) for image in listed])


def _sources_of_one(image: object, left_out: TellLeftOut) -> Iterable[Source]:
    if isinstance(image, str) and not image:
        # As a path it would be the current folder with all its images.
        msg = "An empty path was given. Name a file or a folder; the current folder is '.'."
        raise ConfigurationError(msg)
    if isinstance(image, str | os.PathLike):
        # A path, so that "-" is a file of that name, and no list on standard input.
        return image_inputs([Path(image)], left_out=left_out)
    return (_source(image),)


def _source(image: object) -> Source:
    if isinstance(image, Image.Image):
        return partial(convert_image, image)
    if isinstance(image, np.ndarray):
        return partial(radiograph_of_array, image)
    if isinstance(image, bytes | bytearray | memoryview):
        return partial(_radiograph_of_bytes, bytes(image))
    if _is_data_set(image):
        return partial(_radiograph_of_data_set, image)
    if hasattr(image, "read"):
        return partial(_radiograph_of_file, cast("BinaryFile", image))
    msg = (
        "An image can come as a path, bytes, a file that is open for reading, a Pillow image, a NumPy array or a "
        f"pydicom data set, not as {type(image).__name__}. Give one of these, or a list of them."
    )
    raise ConfigurationError(msg)


def _radiograph_of_bytes(content: bytes) -> Radiograph:
    check_size(len(content))
    return radiograph_of(content)


def _radiograph_of_file(file: BinaryFile) -> Radiograph:
    try:
        content = file.read()
    except (OSError, ValueError) as error:  # ValueError: it was closed
        msg = f"the open file cannot be read ({type(error).__name__}). Open it again."
        raise InputError(msg, "unreadable-file") from None
    if not isinstance(content, bytes | bytearray | memoryview):
        msg = 'the file is open as text. Open it for reading bytes: open(path, "rb").'
        raise InputError(msg, "unreadable-file")
    if not content:
        msg = "the open file has no bytes left. Go back to its beginning: file.seek(0)."
        raise InputError(msg, "empty-file")
    return _radiograph_of_bytes(bytes(content))


def _is_data_set(image: object) -> bool:
    # By name: pydicom is not imported for those who have no data set of it.
    return any(kind.__name__ == "Dataset" and kind.__module__.startswith("pydicom.") for kind in type(image).__mro__)


def _radiograph_of_data_set(data_set: Any) -> Radiograph:
    """Return the radiograph in a data set of pydicom's, by the same way that its file would go."""
    if not any(keyword in data_set for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        msg = (
            "the pydicom data set has no pixels (PixelData). Read its file whole, without stop_before_pixels, or give "
            "the path of the file."
        )
        raise InputError(msg, "no-image")
    content = BytesIO()
    syntax = getattr(getattr(data_set, "file_meta", None), "TransferSyntaxUID", None)
    how = {} if syntax is not None else {"implicit_vr": False, "little_endian": True}
    try:
        data_set.save_as(content, enforce_file_format=False, **how)
    except Exception as error:  # noqa: BLE001  # whatever a data set holds that cannot be written
        # Its text may quote values.
        msg = f"pydicom cannot write the data set ({type(error).__name__}). Give the path of its file."
        raise InputError(msg, "unreadable-file") from None
    return _radiograph_of_bytes(content.getvalue())


def radiograph_of_array(pixels: NDArray[Any]) -> Radiograph:
    """Return an array as a radiograph.

    Parameters
    ----------
    pixels
        Numbers, ``(height, width)`` or ``(height, width, channels)``: grey; red, green and blue; or these and what is
        opaque.

    Raises
    ------
    InputError
        If it has another shape or type, is masked, or its values cannot be displayed.
    """
    if isinstance(pixels, np.ma.MaskedArray):
        msg = (
            "the array is masked, and nothing says what is to be shown where it is. Give the values: "
            "numpy.ma.filled(array, 0), or array.data."
        )
        raise InputError(msg, "unsupported-format")
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in (1, 3, 4) or pixels.dtype.kind not in "buif":
        msg = (
            f"the array has shape {pixels.shape} and type {pixels.dtype}. Give numbers as (height, width), or with "
            "colours last: (height, width, 3). Of several images give a list of arrays; colours that come first are "
            "moved by numpy.moveaxis(array, 0, -1)."
        )
        if pixels.ndim == 3 and channels == 2:
            msg += " Of two channels nobody can tell what they are: give the grey one, array[..., 0]."
        raise InputError(msg, "unsupported-format")
    check_dimensions(pixels.shape[1], pixels.shape[0])
    if pixels.ndim == 2:
        return build_radiograph(pixels)
    if channels == 1:
        return build_radiograph(pixels[..., 0])
    narrow = _narrow(pixels)
    if narrow.dtype == np.uint8:
        return convert_image(Image.fromarray(np.ascontiguousarray(narrow)))
    if narrow.dtype.kind == "f":
        return convert_colours(narrow, 1.0 if narrow.max() <= 1.0 else 255.0)
    return convert_colours(narrow, 65_535.0)


def _narrow(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return integers as uint8 or uint16 where these hold them, which files have too, and floats as they are."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind == "f" or pixels.dtype in (np.uint8, np.uint16):
        return pixels
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65_535:
        msg = f"colours run from {low} to {high}; only 0 to 65535 can be displayed. Give 8- or 16-bit colours."
        raise InputError(msg, "no-display-range")
    return pixels.astype(np.uint8 if high <= 255 else np.uint16)
