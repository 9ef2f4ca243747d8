"""Where a DICOM file's elements lie: their headers alone are walked, counted and held against the bytes that are there.

Nothing is allocated for a length that a file claims, no value is looked at but the transfer syntax, and nesting is a
list that is counted, not a function that calls itself. What passes can be given to a library that does neither.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from carina.errors import InputError
from carina.radiographs.dicom import tags
from carina.radiographs.dicom.limits import MAX_DEPTH, MAX_ELEMENTS, MAX_FRAGMENTS, MAX_LUT_BYTES, MAX_VALUE_BYTES

PREAMBLE_BYTES = 128
_UNDEFINED = 0xFFFF_FFFF
# With these a length has 32 bits, with all others 16. Source: PS3.5 7.1.2.
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_VRS = _LONG_VRS | frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_META = (tags.TRANSFER_SYNTAX_UID, tags.MEDIA_STORAGE_SOP_CLASS_UID, tags.MEDIA_STORAGE_SOP_INSTANCE_UID)
_PIXELS = frozenset({tags.FLOAT_PIXEL_DATA, tags.DOUBLE_FLOAT_PIXEL_DATA, tags.PIXEL_DATA})
_WANTED = frozenset({*tags.ALL_TAGS.values(), tags.SPECIFIC_CHARACTER_SET})

Beginning = Literal["file", "data set"]


class NotDicomError(Exception):
    """Bytes that only looked like a DICOM data set without preamble are none."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are written: with or without their type, and which byte first."""

    implicit: bool
    little: bool


@dataclass(frozen=True, slots=True)
class Meta:
    """What comes before the data set.

    Attributes
    ----------
    end
        Where it ends and the data set begins.
    transfer_syntax, sop_class, sop_instance
        As they are written there; none if they are not. The file may say anything: no message shows them.
    """

    end: int
    transfer_syntax: str | None = None
    sop_class: str | None = None
    sop_instance: str | None = None


@dataclass(frozen=True, slots=True)
class Element:
    """Where an element lies.

    Attributes
    ----------
    tag
        Group and number.
    header, start
        Where it begins, and where its value does.
    length
        In bytes; none where it ends with a delimiter, as pixels in fragments do.
    vr
        As it is written; none in implicit encoding.
    """

    tag: int
    header: int
    start: int
    length: int | None
    vr: bytes | None


def begins_as(content: bytes) -> Beginning | None:
    """Return whether bytes begin as a DICOM file, perhaps as a data set without preamble, or as neither.

    That of a data set is a guess from eight bytes: group 0002 or 0008 first, with a length that fits.
    """
    if content[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM":
        return "file"
    if len(content) < 16:
        return None
    encoding = guess_encoding(content, 0)
    group, element = struct.unpack_from("<HH" if encoding.little else ">HH", content)
    if group not in (0x0002, 0x0008) or element > 0x0100:
        return None
    if encoding.implicit:
        (length,) = struct.unpack_from("<I", content, 4)
        return "data set" if length <= min(len(content), 256) else None
    return "data set" if content[4:6] in _VRS else None


def guess_encoding(content: bytes | memoryview, start: int) -> Encoding:
    """Return how the data set is encoded by its first element, whatever the transfer syntax says."""
    first = bytes(content[start : start + 6])
    # Groups of a data set's beginning are small: the byte that is zero is the higher one.
    little = not (first[:1] == b"\0" and first[1:2] != b"\0")
    return Encoding(not (first[4:6].isalpha() and first[4:6].isupper()), little)


def read_meta(content: bytes) -> Meta:
    """Return what comes before the data set.

    Raises
    ------
    InputError
        If it is cut off.
    """
    position = PREAMBLE_BYTES + 4 if begins_as(content) == "file" else 0
    found: dict[int, str] = {}
    # Always explicit little endian. Source: PS3.10 7.1. Some writers forget it.
    encoding = Encoding(guess_encoding(content, position).implicit, little=True)
    for _ in range(MAX_ELEMENTS):
        if content[position : position + 2] != b"\x02\0":
            break
        element = _element(content, position, len(content), encoding)
        if element.length is None:
            raise _damaged(element)
        _require_room(element, len(content))
        if element.tag in _META:
            found[element.tag] = _uid(content[element.start : element.start + min(element.length, 65)])
        position = element.start + element.length
    return Meta(position, *(found.get(tag) for tag in _META))


def _uid(value: bytes) -> str:
    return value.strip(b"\0 ").decode("ascii", "replace")


def find_pixels(
    content: bytes | memoryview,
    start: int,
    encoding: Encoding,
    *,
    most: int = MAX_ELEMENTS,
    is_sequence: Callable[[int], bool] | None = None,
) -> Element | None:
    """Walk a data set up to its pixels and return where they are; none where there are none.

    Parameters
    ----------
    content, start, encoding
        The file, or what it inflates to, where the data set begins in it, and how its elements are written.
    most
        How many elements are walked.
    is_sequence
        Which tags are walked into, for whoever reads more than Carina's own attributes: with it every element of type
        SQ is, too.

    Raises
    ------
    InputError
        If an element claims more bytes than are there, there are too many, they lie too deep, or one that Carina
        reads is too long.
    """
    for element in _Walk(content, start, encoding, is_sequence).outermost(most):
        if element.tag in _PIXELS:
            return element
        if element.tag > tags.PIXEL_DATA and element.tag not in (tags.ITEM, tags.ITEM_END, tags.SEQUENCE_END):
            return None
    return None


def list_elements(
    content: bytes | memoryview, start: int, encoding: Encoding, *, is_sequence: Callable[[int], bool] | None = None
) -> list[tuple[int, int, int]]:
    """Return tag, beginning and end of each element up to the end; parameters and errors are those of `find_pixels`."""
    walk = _Walk(content, start, encoding, is_sequence)
    begun = [(element.tag, element.header) for element in walk.outermost(MAX_ELEMENTS)]
    return [(tag, start, end) for (tag, start), (_, end) in pairwise([*begun, (0, walk.position)])]


@dataclass(slots=True)
class _Level:
    """A data set, a list of items, or a list of fragments that is being walked through, and where it ends at latest."""

    holds: Literal["elements", "items", "fragments"]
    end: int
    # Ended by a delimiter and not by its length.
    open: bool
    encoding: Encoding


class _Walk:
    def __init__(
        self, content: bytes | memoryview, start: int, encoding: Encoding, is_sequence: Callable[[int], bool] | None
    ) -> None:
        self._content = content
        self._is_sequence = is_sequence
        self.position = start
        self._levels = [_Level("elements", len(content), open=False, encoding=encoding)]

    def outermost(self, most: int) -> Iterator[Element]:
        """Yield the elements of the data set itself; what lies within each is walked through before the next."""
        for _ in range(most):
            while len(self._levels) > 1 and not self._levels[-1].open and self.position >= self._levels[-1].end:
                self._levels.pop()
            level = self._levels[-1]
            if level.end - self.position < 8:
                if len(self._levels) == 1:
                    # What is left is too short for anything but padding.
                    return
                msg = "it ends within a sequence"
                raise _truncated(msg)
            element = _element(self._content, self.position, level.end, level.encoding)
            if len(self._levels) == 1:
                yield element
            self._step_over(element, level)
        msg = f"it has over {most:,} elements beside its pixels; radiographs have some hundred. Check the file."
        raise InputError(msg, "too-large")

    def _step_over(self, element: Element, level: _Level) -> None:
        if element.tag in (tags.ITEM_END, tags.SEQUENCE_END):
            # An item may end its sequence, but an element between items is none.
            wanted = tags.ITEM_END if level.holds == "elements" else tags.SEQUENCE_END
            if element.tag != wanted or not level.open:
                raise _damaged(element)
            self._levels.pop()
            self.position = element.start
        elif level.holds != "elements":
            if element.tag != tags.ITEM:
                raise _damaged(element)
            self._enter_item(element, level)
        elif element.tag == tags.ITEM:
            raise _damaged(element)
        else:
            self._enter_element(element, level)

    def _enter_item(self, element: Element, level: _Level) -> None:
        self.position = element.start
        if element.length is None:
            if level.holds == "fragments":
                raise _damaged(element)
            self._push(_Level("elements", level.end, open=True, encoding=level.encoding))
            return
        _require_room(element, level.end)
        if level.holds == "fragments":
            self.position += element.length
        else:
            self._push(_Level("elements", element.start + element.length, open=False, encoding=level.encoding))

    def _enter_element(self, element: Element, level: _Level) -> None:
        self.position = element.start
        if element.length is None:
            if element.vr in (None, b"SQ", b"UN") and element.tag != tags.PIXEL_DATA:
                # Of unknown type it is implicit little endian inside. Source: PS3.5 6.2.2.
                inner = Encoding(implicit=True, little=True) if element.vr == b"UN" else level.encoding
                self._push(_Level("items", level.end, open=True, encoding=inner))
            else:
                self._push(_Level("fragments", level.end, open=True, encoding=level.encoding))
            return
        _require_room(element, level.end)
        if self._holds_items(element):
            self._push(_Level("items", element.start + element.length, open=False, encoding=level.encoding))
            return
        longest = MAX_LUT_BYTES if element.tag == tags.LUT_DATA else MAX_VALUE_BYTES
        if element.tag in _WANTED and element.length > longest:
            msg = f"its {tags.KEYWORDS[element.tag]} has more than the {longest:,} bytes that are read. Check the file."
            raise InputError(msg, "too-large")
        self.position += element.length

    def _holds_items(self, element: Element) -> bool:
        if self._is_sequence is None:
            return element.tag in tags.SEQUENCES
        return element.vr == b"SQ" or (element.vr is None and self._is_sequence(element.tag))

    def _push(self, level: _Level) -> None:
        self._levels.append(level)
        # A sequence and its item are two levels.
        if len(self._levels) > 2 * MAX_DEPTH + 1:
            usual = "those of radiographs are two or three"
            msg = f"its sequences are nested over {MAX_DEPTH} deep; {usual}. Check the file."
            raise InputError(msg, "too-large")


def _element(content: bytes | memoryview, position: int, end: int, encoding: Encoding) -> Element:
    msg = "it ends within an element"
    if end - position < 8:
        raise _truncated(msg)
    order = "<" if encoding.little else ">"
    group, number, length = struct.unpack_from(f"{order}HHI", content, position)
    tag = group << 16 | number
    start, vr = position + 8, None
    if group != tags.ITEM >> 16 and not encoding.implicit:
        written = bytes(content[position + 4 : position + 6])
        # What is no type at all is taken for an element without one, as pydicom does: some writers mix the two.
        if written.isalpha() and written.isupper():
            vr = written
            if vr in _LONG_VRS:
                if end - start < 4:
                    raise _truncated(msg)
                (length,) = struct.unpack_from(f"{order}I", content, start)
                start += 4
            else:
                (length,) = struct.unpack_from(f"{order}H", content, position + 6)
                return Element(tag, position, start, length, vr)
    return Element(tag, position, start, None if length == _UNDEFINED else length, vr)


def _require_room(element: Element, end: int) -> None:
    if (element.length or 0) > end - element.start:
        msg = f"the element at byte {element.header:,} claims more bytes than follow"
        raise _truncated(msg)


def read_fragments(content: bytes | memoryview, pixels: Element) -> list[memoryview]:
    """Return the fragments of encapsulated pixels, the table of offsets first.

    Raises
    ------
    InputError
        If a fragment is cut off or is none, or there are too many.
    """
    return _fragments_and_end(content, pixels)[0]


def end_of_pixels(content: bytes | memoryview, pixels: Element) -> int:
    """Return where the element of the pixels ends, perhaps beyond what is there; errors as of `read_fragments`."""
    return _fragments_and_end(content, pixels)[1] if pixels.length is None else pixels.start + pixels.length


def _fragments_and_end(content: bytes | memoryview, pixels: Element) -> tuple[list[memoryview], int]:
    view, position = memoryview(content), pixels.start
    fragments: list[memoryview] = []
    # Compressed pixels are always explicit little endian. Source: PS3.5 A.4.
    encoding = Encoding(implicit=False, little=True)
    while len(content) - position >= 8:
        element = _element(content, position, len(content), encoding)
        if element.tag == tags.SEQUENCE_END:
            return fragments, element.start
        if element.tag != tags.ITEM or element.length is None:
            raise _damaged(element)
        _require_room(element, len(content))
        fragments.append(view[element.start : element.start + element.length])
        if len(fragments) > MAX_FRAGMENTS:
            msg = f"its pixels lie in over {MAX_FRAGMENTS:,} fragments; one is usual. Check the file."
            raise InputError(msg, "too-large")
        position = element.start + element.length
    # Some writers forget the last delimiter; what the fragments hold is looked at anyway.
    return fragments, len(content)


def _truncated(what: str) -> InputError:
    return InputError(f"the DICOM file is cut off: {what}. Copy it again from where it came from.", "truncated")


def _damaged(element: Element) -> InputError:
    # Neither tag nor length are told: where a walk has lost its way, they are letters of a value.
    msg = f"the DICOM file is damaged at byte {element.header:,}. Copy it again from where it came from."
    return InputError(msg, "unreadable-file")
