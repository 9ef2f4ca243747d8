"""The images of a data set: read again from where they lie, and only if they are those that were imported.

Whatever learns from a data set, or is measured on it, reads its images here. A file that was overwritten after the
import would otherwise be judged under the label, the split and the hash of the image that it replaced.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from carina.errors import DataError, InputError
from carina.radiographs.fingerprint import pixel_sha256
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.radiograph import Radiograph
from carina.radiographs.read import read_radiograph

if TYPE_CHECKING:
    # A prediction does without the table library, which takes a seventh of a second to import.
    import polars as pl


@dataclass(frozen=True, slots=True)
class DatasetImage:
    """One image of a data set."""

    path: Path  # where its file lay at import
    sha256: str  # of its decoded pixels at import; see `carina.radiographs.fingerprint.pixel_sha256`

    def read(self) -> Radiograph:
        """Return the radiograph, whose pixels are those that were imported.

        Raises
        ------
        DataError
            If the file is gone, unreadable, or not the one that was imported.
        """
        try:
            radiograph = read_radiograph(self.path)
        except InputError as error:
            msg = f"{self.path}: {error} It was readable at import: put it back, or import the data set again."
            raise DataError(msg) from None
        if pixel_sha256(radiograph) != self.sha256:
            msg = f"{self.path} is not the image that was imported. Put it back, or import the data set again."
            raise DataError(msg)
        return radiograph


def images_of(rows: "pl.DataFrame") -> list[DatasetImage]:
    """Return the images of rows of a manifest, in their order; the rows have the columns path and sha256."""
    return [DatasetImage(Path(path), sha256) for path, sha256 in rows.select("path", "sha256").iter_rows()]


def read_whole(path: str, sha256: str, size: int) -> NDArray[np.uint8]:
    """Return one whole image of a data set, stretched to a square: uint8 ``(size, size)``, range [0, 255].

    Raises
    ------
    DataError
        See `DatasetImage.read`.
    """
    return resize_grey(DatasetImage(Path(path), sha256).read(), size)


def read_mask(path: str, sha256: str | None = None) -> bytes:
    """Return the bytes of a lung mask's file, of which a manifest has path and hash; without a hash, as it is.

    Raises
    ------
    DataError
        If the file is gone, unreadable, or not the one that was imported.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        msg = f"{path}: the lung mask cannot be read ({error.strerror}). Put it back, or import the data set again."
        raise DataError(msg) from None
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        msg = f"{path} is not the lung mask that was imported. Put it back, or import the data set again."
        raise DataError(msg)
    return content
