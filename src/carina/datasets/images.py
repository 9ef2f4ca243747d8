"""The images of a data set: read again from where they lie, and only if they are those that were imported."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carina.errors import DataError, InputError
from carina.radiographs.fingerprint import pixel_sha256
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.read import read_radiograph


def read_whole(path: str, sha256: str, size: int) -> NDArray[np.uint8]:
    """Return one whole image of a data set: uint8 ``(size, size)``, range [0, 255].

    Parameters
    ----------
    path, sha256
        As the manifest has them.
    size
        Height and width in pixels; the image is stretched to the square.

    Raises
    ------
    DataError
        If the file is gone, unreadable, or not the one that was imported.
    """
    try:
        radiograph = read_radiograph(Path(path))
    except InputError as error:
        msg = f"{path}: {error} It was readable at import: put it back, or import the data set again."
        raise DataError(msg) from None
    if pixel_sha256(radiograph) != sha256:
        msg = f"{path} is not the image that was imported. Put it back, or import the data set again."
        raise DataError(msg)
    return resize_grey(radiograph, size)
