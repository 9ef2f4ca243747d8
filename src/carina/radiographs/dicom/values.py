"""Values of a data set, whatever it holds in their place. What cannot be one is none, and none is ever quoted."""

import io
import logging
import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.errors import InputError
from carina.radiographs.dicom.outline import Encoding
from carina.radiographs.dicom.tags import ALL_TAGS, PIXEL_DATA, TAGS

_LARGEST_LUT = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Lut:
    """A lookup table. Source: PS3.3 C.11.1.1.1.

    Attributes
    ----------
    first
        The stored value that is given the first entry, 16 bits as they stand: signed if the values are.
    bits
        Of an entry.
    entries
        uint16 ``(n,)``.
    """

    first: int
    bits: int
    entries: NDArray[np.uint16]


@contextmanager
def silence() -> Iterator[None]:
    """Keep pydicom's warnings and log lines, which quote values, from everybody."""
    logger = logging.getLogger("pydicom")
    disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled


def read_values(data_set: bytes | memoryview, encoding: Encoding, tags: Iterable[int] = ()) -> "Values":
    """Return the values of a data set that `carina.radiographs.dicom.outline.find_pixels` has walked.

    Parameters
    ----------
    data_set
        Its elements up to the pixels.
    encoding
        Of its elements.
    tags
        Which to read beside those of `carina.radiographs.dicom.tags.TAGS`.
    """
    from pydicom import config  # noqa: PLC0415  # a quarter of a second, which only a process for DICOM pays
    from pydicom.filereader import read_dataset  # noqa: PLC0415

    config.settings.reading_validation_mode = config.IGNORE
    stream = io.BytesIO(data_set)
    wanted = [*TAGS.values(), *tags]
    found = read_dataset(stream, encoding.implicit, encoding.little, stop_when=_is_behind, specific_tags=wanted)
    return Values(found, encoding)


def _is_behind(tag: int, _vr: str | None, _length: int) -> bool:
    """Return whether an element stands where nothing was walked any more."""
    return tag > PIXEL_DATA


def missing(keyword: str) -> InputError:
    """Return the error that an attribute is missing without which there is no radiograph."""
    msg = f"the DICOM file has no {keyword}, without which no radiograph can be shown. Export it again."
    return InputError(msg, "missing-attribute")


class Values:
    """Values of a data set, whatever it holds in their place; what cannot be one is none."""

    def __init__(self, data_set: Any, encoding: Encoding) -> None:
        self._data_set = data_set
        self._order = "<" if encoding.little else ">"

    def _values(self, keyword: str) -> list[Any]:
        try:
            value = self._data_set[ALL_TAGS[keyword]].value
        except Exception:  # noqa: BLE001  # a value that is not of its type raises anything, and its text quotes it
            return []
        if value is None:
            return []
        several = not isinstance(value, str | bytes) and hasattr(value, "__iter__")
        return list(value) if several else [value]

    def word(self, keyword: str, place: int = 0) -> str | None:
        """Return one of its values that is text, without what fills it up."""
        values = self._values(keyword)
        value = values[place] if place < len(values) else None
        return value.strip(" \0") or None if isinstance(value, str) else None

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return its values that are numbers."""
        return tuple(number for value in self._values(keyword) if (number := _finite(value)) is not None)

    def number(self, keyword: str, place: int = 0) -> float | None:
        """Return one of its values that is a number."""
        values = self._values(keyword)
        return _finite(values[place]) if place < len(values) else None

    def whole(self, keyword: str) -> int | None:
        """Return its first value if that is a whole number."""
        number = self.number(keyword)
        return None if number is None or number != int(number) else int(number)

    def needed(self, keyword: str, low: int, high: int) -> int:
        """Return a whole number that must be there and within its bounds.

        Raises
        ------
        InputError
            If it is not.
        """
        if not self._values(keyword):
            raise missing(keyword)
        number = self.whole(keyword)
        if number is None or not low <= number <= high:
            msg = f"its {keyword} is not a whole number from {low:,} to {high:,}. Export it again."
            raise InputError(msg, "unreadable-file")
        return number

    def codes(self, keyword: str) -> tuple[str, ...]:
        """Return the code values in the items of a sequence, the first eight."""
        items = self.items(keyword)[:8]
        return tuple(code for code in (item.word("CodeValue") for item in items) if code is not None)

    def items(self, keyword: str) -> list["Values"]:
        """Return the items of a sequence."""
        return [Values(item, Encoding(implicit=False, little=self._order == "<")) for item in self._values(keyword)]

    def text(self, keyword: str) -> str | None:
        """Return all its values as the one text that they are written as."""
        values = [value for value in self._values(keyword) if isinstance(value, str)]
        return "\\".join(values).strip(" \0") or None

    def words(self, keyword: str) -> tuple[str, ...]:
        """Return its values that are text, as they stand."""
        return tuple(value for value in self._values(keyword) if isinstance(value, str))

    def _sixteen_bits(self, keyword: str) -> NDArray[np.uint16] | None:
        """Return an element's bytes as 16-bit values, whatever type they were given; none where there are none."""
        try:
            element = self._data_set.get_item(ALL_TAGS[keyword])
            value = element.value
        except Exception:  # noqa: BLE001  # as above
            return None
        if isinstance(value, bytes) and value and len(value) % 2 == 0:
            return np.frombuffer(value, f"{self._order}u2").astype(np.uint16)
        return None

    def pattern(self, keyword: str) -> int | None:
        """Return its first value as the 16 bits that it is."""
        values = self._sixteen_bits(keyword)
        return None if values is None else int(values[0])

    def lut(self, keyword: str) -> Lut | None:
        """Return the table in a sequence's first item.

        Raises
        ------
        InputError
            If there is one that makes no sense: what it was to show, nobody knows.
        """
        items = self._values(keyword)
        if not items:
            return None
        item = Values(items[0], Encoding(implicit=False, little=self._order == "<"))
        descriptor = item._sixteen_bits("LUTDescriptor")
        entries = item._sixteen_bits("LUTData")
        if descriptor is None or len(descriptor) != 3 or entries is None:
            raise _no_table(keyword)
        count, first, bits = (int(value) for value in descriptor)
        count = count or _LARGEST_LUT
        if bits == 8 and len(entries) == (count + 1) // 2:
            # Two entries in a word. Source: PS3.3 C.11.1.1.1.
            packed = entries.astype("<u2").view(np.uint8)
            entries = packed[:count].astype(np.uint16)
        if len(entries) != count or not 8 <= bits <= 16:
            raise _no_table(keyword)
        return Lut(first, bits, entries)


def _no_table(keyword: str) -> InputError:
    msg = f"its {keyword} is no table that could be applied, so nobody knows how it is to be shown. Export it again."
    return InputError(msg, "no-display-range")


def _finite(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
