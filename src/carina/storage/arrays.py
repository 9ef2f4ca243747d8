"""Named arrays in one file, written whole and read without trust."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from carina.errors import BundleError
from carina.storage.atomic import whole_file


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as ``.npz``, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the named arrays in an ``.npz`` file; pickled objects are refused.

    Raises
    ------
    BundleError
        If the file is damaged or holds anything but arrays.
    """
    try:
        # NumPy leaves the file open when it is no archive, so it is opened here.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, AttributeError, BadZipFile) as error:
        msg = f"{path} is damaged ({type(error).__name__})."
        raise BundleError(msg) from None
