"""What the tests of de-identification share: images that were made, refused, and items of sequences."""

from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from carina.dicom.deidentification.deidentify import deidentify
from carina.dicom.deidentification.profile import Options
from carina.dicom.deidentification.pseudonyms import Pseudonyms
from carina.errors import InputError
from carina.radiographs.read import read_bytes
from unit.dicom.sources import IDENTIFIERS

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def done(path: Path, options: Options | None = None, key: bytes = KEY, **settings: Any) -> Dataset:
    out = path.parent / "out"
    made = deidentify(path.read_bytes(), out, Pseudonyms(key), options or Options(), **settings)
    return dcmread(out / made.path)


def refused(path: Path, **settings: Any) -> InputError:
    with pytest.raises(InputError) as error:
        deidentify(read_bytes(path), path.parent / "out", Pseudonyms(KEY), Options(), **settings)
    # No value of the file and no path.
    assert not any(value in str(error.value) for value in (*IDENTIFIERS.values(), str(path.parent), "1.2.826"))
    assert not list((path.parent / "out").rglob("*.dcm"))
    return error.value


def item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made
