"""Values of a data set, whatever it holds in their place. What cannot be one is none, and none is ever quoted."""

import io
import logging
import math
import re
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
from carina.radiographs.doubts import SingleValued

_LARGEST_LUT = 65_536
_NUMBERS_AS_TEXT = frozenset({"DS", "IS"})
_BINARY = frozenset({"US", "SS", "US or SS", "OW", "SQ"})
# A comma that can only be a decimal one. "1,234" may be one and a bit, or over a thousand.
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")


@dataclass(frozen=True, slots=True, eq=False)
class Lut:
    """A lookup table. Source: PS3.3 C.11.1.1.1.

    Attributes
    ----------
    first
        The stored value that is given the first entry, 16 bits as stored: signed if the values are.
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

    Its elements up to the pixels are to be handed over, and which `tags` to read beside those of
    `carina.radiographs.dicom.tags.TAGS`.
    """
    from pydicom import config  # noqa: PLC0415  # a quarter of a second, which only a process for DICOM pays
    from pydicom.filereader import read_dataset  # noqa: PLC0415

    config.settings.reading_validation_mode = config.IGNORE
    stream = io.BytesIO(data_set)
    wanted = [*TAGS.values(), *tags]
    found = read_dataset(stream, encoding.implicit, encoding.little, stop_when=_is_behind, specific_tags=wanted)
    return Values(found, encoding)


def _is_behind(tag: int, _vr: str | None, _length: int) -> bool:
    # Nothing was walked any more.
    return tag > PIXEL_DATA


def missing(keyword: str) -> InputError:
    """Return the error that an attribute is missing without which there is no radiograph."""
    msg = f"the DICOM file has no {keyword}, without which no radiograph can be shown. Export it again."
    return InputError(msg, "missing-attribute")


class Values:
    """Values of a data set, whatever it holds in their place; what cannot be one is none."""

    def __init__(self, data_set: Any, encoding: Encoding, commas: set[str] | None = None) -> None:
        self._data_set = data_set
        self._order = "<" if encoding.little else ">"
        self._several: list[SingleValued] = []
        # Whose numbers were read with a decimal comma: those of items, too.
        self._commas = set[str]() if commas is None else commas

    @property
    def has_decimal_comma(self) -> bool:
        """Return whether a number that was asked for was written with a decimal comma."""
        return bool(self._commas)

    @property
    def several(self) -> tuple[SingleValued, ...]:
        """Return the attributes of which one value was asked for by `single` and several different ones were there."""
        return tuple(self._several)

    def _values(self, keyword: str) -> list[Any]:
        try:
            value = self._data_set[ALL_TAGS[keyword]].value
        except Exception:  # noqa: BLE001  # a value that is not of its type raises anything, and its text quotes it
            return self._texts_of_numbers(keyword)
        if value is None:
            return []
        several = not isinstance(value, str | bytes) and hasattr(value, "__iter__")
        return list(value) if several else [value]

    def _raw(self, keyword: str) -> Any:
        """Return an element's value as it is written, whatever type it was given; none where there is no element."""
        try:
            element = self._data_set.get_item(ALL_TAGS[keyword])
            return None if element is None else element.value
        except Exception:  # noqa: BLE001  # as above
            return None

    def _texts_of_numbers(self, keyword: str) -> list[str]:
        """Return numbers that are written as text, as they are: one that is none would take all others with it."""
        raw = self._raw(keyword)
        is_text = isinstance(raw, bytes) and _type_of(keyword) in _NUMBERS_AS_TEXT
        return raw.decode("latin-1").split("\\") if is_text else []

    def holds(self, keyword: str) -> bool:
        """Return whether there is a value, be it one that means nothing."""
        raw = self._raw(keyword)
        if isinstance(raw, bytes) and _type_of(keyword) not in _BINARY:
            return bool(raw.strip(b" \0\\"))
        return bool(raw.strip(" \0\\")) if isinstance(raw, str) else raw is not None and raw != b""

    def word(self, keyword: str, place: int = 0) -> str | None:
        """Return one of its values that is text, without what fills it up."""
        values = self._values(keyword)
        value = values[place] if place < len(values) else None
        return value.strip(" \0") or None if isinstance(value, str) else None

    def single(self, keyword: SingleValued) -> str | None:
        """Return its first value that is text, and note where there are others."""
        words = self.distinct(keyword)
        return words[0] if words else None

    def distinct(self, keyword: SingleValued) -> tuple[str, ...]:
        """Return its values that are text, each once and without what fills it up, and note where there are several."""
        words = tuple(dict.fromkeys(word for value in self.words(keyword) if (word := value.strip(" \0"))))
        self._note(keyword, len(words))
        return words

    def _note(self, keyword: SingleValued, count: int) -> None:
        if count > 1 and keyword not in self._several:
            self._several.append(keyword)

    def numbers(self, keyword: str) -> tuple[float | None, ...]:
        """Return its values: numbers, and none for each that is no number."""
        values = self._values(keyword)
        numbers = tuple(number_in(value) for value in values)
        if any(n is not None and isinstance(v, str) and "," in v for n, v in zip(numbers, values, strict=True)):
            self._commas.add(keyword)
        return numbers

    def number(self, keyword: str, place: int = 0) -> float | None:
        """Return one of its values that is a number."""
        numbers = self.numbers(keyword)
        return numbers[place] if place < len(numbers) else None

    def single_number(self, keyword: SingleValued) -> float | None:
        """Return its first value if that is a number, and note where there are others."""
        numbers = self.numbers(keyword)
        self._note(keyword, len(set(numbers)))
        return numbers[0] if numbers else None

    def whole(self, keyword: str, low: int, high: int) -> int | None:
        """Return a whole number within its bounds, or none where there is nothing in its place.

        Raises
        ------
        InputError
            If something else is written there, or several numbers.
        """
        values = [value for value in self._values(keyword) if not isinstance(value, str) or value.strip(" \0")]
        if not values:
            return None
        numbers = {number_in(value) for value in values}
        number = next(iter(numbers))
        if len(numbers) > 1 or number is None or number != int(number) or not low <= number <= high:
            msg = f"its {keyword} is not a whole number from {low:,} to {high:,}. Export it again."
            raise InputError(msg, "unreadable-file")
        return int(number)

    def needed(self, keyword: str, low: int, high: int) -> int:
        """Return a whole number; InputError if it is not there and within its bounds."""
        number = self.whole(keyword, low, high)
        if number is None:
            raise missing(keyword)
        return number

    def codes(self, keyword: str) -> tuple[str, ...]:
        """Return the code values in the items of a sequence, the first eight."""
        items = self.items(keyword)[:8]
        return tuple(code for code in (item.word("CodeValue") for item in items) if code is not None)

    def items(self, keyword: str) -> list["Values"]:
        """Return the items of a sequence."""
        encoding = Encoding(implicit=False, little=self._order == "<")
        return [Values(item, encoding, self._commas) for item in self._values(keyword)]

    def text(self, keyword: str) -> str | None:
        """Return all its values as the one text that they are written as."""
        values = [value for value in self._values(keyword) if isinstance(value, str)]
        return "\\".join(values).strip(" \0") or None

    def name(self, keyword: str) -> str | None:
        """Return a person's name, the first where there are several, as it is written."""
        try:
            value = self._data_set[ALL_TAGS[keyword]].value
            # pydicom's type for one name can be walked through too, letter by letter.
            first = value if isinstance(value, str) or hasattr(value, "family_name") else next(iter(value))
            return str(first).strip(" \0") or None
        except Exception:  # noqa: BLE001  # as in `_values`
            return None

    def words(self, keyword: str) -> tuple[str, ...]:
        """Return its values that are text, as they are written."""
        return tuple(value for value in self._values(keyword) if isinstance(value, str))

    def _sixteen_bits(self, keyword: str) -> NDArray[np.uint16] | None:
        """Return an element's bytes as 16-bit values, whatever type they were given; none where there are none."""
        value = self._raw(keyword)
        if isinstance(value, bytes) and value and len(value) % 2 == 0:
            return np.frombuffer(value, f"{self._order}u2").astype(np.uint16)
        return None

    def pattern(self, keyword: str) -> int | None:
        """Return its only value as the 16 bits that it is."""
        values = self._sixteen_bits(keyword)
        return int(values[0]) if values is not None and len(values) == 1 else None

    def luts(self, keyword: str) -> tuple[Lut | None, ...]:
        """Return the tables in the items of a sequence, and none for each item that has none that makes sense."""
        return tuple(item._lut() for item in self.items(keyword))

    def _lut(self) -> Lut | None:
        descriptor, entries = self._sixteen_bits("LUTDescriptor"), self._sixteen_bits("LUTData")
        if descriptor is None or len(descriptor) != 3 or entries is None:
            return None
        count, first, bits = (int(value) for value in descriptor)
        count = count or _LARGEST_LUT
        if bits == 8 and len(entries) == (count + 1) // 2:
            # Two entries in a word. Source: PS3.3 C.11.1.1.1.
            packed = entries.astype("<u2").view(np.uint8)
            entries = packed[:count].astype(np.uint16)
        return Lut(first, bits, entries) if len(entries) == count and 8 <= bits <= 16 else None


def _type_of(keyword: str) -> str:
    """Return the type that the standard gives an attribute."""
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415  # as in `read_values`

    return str(dictionary_VR(ALL_TAGS[keyword]))


def no_table(keyword: str) -> InputError:
    """Return the error that a table cannot be applied without which nobody knows how an image is to be shown."""
    msg = f"its {keyword} is no table that could be applied, so nobody knows how it is to be shown. Export it again."
    return InputError(msg, "no-display-range")


def number_in(value: Any) -> float | None:
    """Return a finite number, which text may hold with a decimal comma, or nothing."""
    if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value.strip(" \0")):
        value = value.strip(" \0")
        if _THOUSANDS.fullmatch(value):
            return None
        value = value.replace(",", ".")
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
