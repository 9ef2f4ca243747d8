"""Images in which every place that can hold a word has one of its own, and the search for any that is left."""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from pydicom.datadict import DicomDictionary, dictionary_VM, dictionary_VR

from carina.dicom.deidentification.profile import table
from carina.radiographs.dicom.tags import TAGS
from make_dicom import CR, EXPLICIT, IMPLICIT, data_set, element, encapsulated, full_window, layout_of, raw_element

ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")
NAME = "Zwiebelfisch"
# Structure that an image must have as it is, or that tells how the rest is to be read.
_NEEDED = {0x0008_0005, *(tag for keyword, tag in TAGS.items() if not keyword.startswith(("Patient", "Study", "Acq")))}
_TEXTS = ("AE", "LO", "LT", "SH", "ST", "UC", "UR", "UT")


@dataclass
class Planted:
    """Words by the tag that holds each; one that is nowhere else has a name for a tag."""

    words: dict[int | str, str] = field(default_factory=dict)
    count: int = 0

    def word(self, place: int | str, vr: str) -> str | None:
        """A word that fits a type, and is in no other place; none for types too short for one."""
        number = self.count = self.count + 1
        word = {
            **dict.fromkeys(_TEXTS, f"Zü{number:06d}"),
            "PN": f"{NAME}{number:05d}^Zoë",
            "CS": f"ZWQ{number:06d}",
            "DA": f"{1400 + number // 300}{1 + number // 25 % 12:02d}{1 + number % 25:02d}",
            "TM": f"0304{number % 60:02d}.{number:06d}",
            "DT": f"{1400 + number // 300}0203040506.{number:06d}",
            "DS": f"7{number:06d}.1357",
            "IS": f"97531{number:06d}",
            "UI": f"1.2.826.0.1.3680043.9.7.{number}.31415",
            **dict.fromkeys(("OB", "OW", "UN"), f"ZWQ{number:07d}"),
        }.get(vr.split(" or ", maxsplit=1)[0])
        if word is not None:
            self.words[place] = word
        return word

    def left_in(self, content: bytes, *, but: Callable[[int | str], bool] = lambda _: False) -> dict[int | str, str]:
        """Return the words that are in some bytes, in any encoding."""
        return {
            place: word
            for place, word in self.words.items()
            if not but(place) and any(form in content for form in _forms(word))
        }


def _forms(word: str) -> Iterable[bytes]:
    # The parts of a name too: it may have been cut.
    for part in {word, word.split("^", maxsplit=1)[0]}:
        for encoding in ENCODINGS:
            yield part.encode(encoding)


def planted_image(
    planted: Planted,
    *,
    charset: str = "ISO_IR 100",
    syntax: str = EXPLICIT,
    sop_class: str = CR,
    tags: Iterable[int] | None = None,
    frame: bytes | None = None,
    pixels: np.ndarray | None = None,
    depth: int = 1,
) -> bytes:
    """A file with a word in each of the tags, as deep in sequences that are kept as is asked, and all around them.

    By default the tags are those of the table.
    """
    implicit = syntax == IMPLICIT
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) % 4096 if pixels is None else pixels
    codec = "latin-1" if charset == "ISO_IR 100" else "utf-8"
    wanted = [tag for tag in sorted(table() if tags is None else tags) if _fits(tag)]
    inner: dict[int, bytes] = {}
    for tag in wanted:
        if found := _element(planted, tag, codec, implicit=implicit):
            inner[tag] = found
    elements = dict(inner) if depth == 1 else {}
    if depth > 1:
        # Both are kept, one by the table's leave and one since the table does not name it; so are their items.
        item = b"".join(inner[tag] for tag in sorted(inner))
        for level in range(depth - 1):
            outer = (0x0054_0220, 0x0008_2112)[level % 2]
            item = _sequence(outer, item, implicit=implicit)
        elements[outer] = item
    said = layout_of(pixels, 12) | full_window(12) | {"SOPClassUID": sop_class, "Modality": "CR"}
    said |= {"SpecificCharacterSet": charset, "BurnedInAnnotation": "NO", "BodyPartExamined": "CHEST"}
    for keyword, value in said.items():
        packed = data_set({keyword: value}, implicit=implicit)
        group, number = struct.unpack_from("<HH", packed)
        elements[group << 16 | number] = packed
    for tag in (0x0008_0018, 0x0020_000D, 0x0020_000E, 0x0010_0020, 0x0010_0010):
        if tag not in elements:
            elements[tag] = _element(planted, tag, codec, implicit=implicit) or b""
    elements |= _around(planted, codec, implicit=implicit)
    body = b"".join(elements[tag] for tag in sorted(elements))
    if frame is None:
        # Behind the pixels, in their own element, there is room for a word.
        raw = pixels.astype("<u2").tobytes() + _bytes(planted, "behind the pixels")
        body += raw_element(0x7FE0_0010, "OW", raw, implicit=implicit)
    else:
        body += encapsulated(frame)
    padding = _bytes(planted, "padding")
    body += raw_element(0xFFFC_FFFC, "OB", padding, implicit=implicit) + _bytes(planted, "after the end")
    return _head(planted, syntax, sop_class) + body


def every_text() -> list[int]:
    """Every tag of the standard whose values are text, names, bytes, dates or UIDs, whether in the table or not."""
    kinds = {*_TEXTS, "PN", "DA", "DT", "TM", "UI", "OB", "OW", "UN", "SQ"}
    return [tag for tag in DicomDictionary if dictionary_VR(tag).split(" or ")[0] in kinds and tag >> 16 not in (2, 4)]


def _fits(tag: int) -> bool:
    return tag not in _NEEDED and 0x0008 <= tag >> 16 < 0x7FE0 and tag in DicomDictionary


def _element(planted: Planted, tag: int, codec: str, *, implicit: bool) -> bytes | None:
    vr = dictionary_VR(tag)
    if vr == "SQ":
        words = [(0x0008_0104, "LO", tag), (0x0010_0010, "PN", f"name in {tag:08x}")]
        parts = [
            raw_element(inner, kind, (planted.word(place, kind) or "").encode(codec), implicit=implicit)
            for inner, kind, place in words
        ]
        return _sequence(tag, b"".join(parts), implicit=implicit)
    word = planted.word(tag, vr)
    if word is None:
        return None
    value = word.encode(codec)
    # As many as may be, so that the last one is looked at, too.
    if vr in ("LO", "UI") and dictionary_VM(tag) == "1-n":
        value = value + b"\\" + value
    value += (b"\0" if vr in ("UI", "OB") else b" ") * (len(value) % 2)
    return raw_element(tag, vr.split(" or ")[0], value, implicit=implicit)


def _sequence(tag: int, item: bytes, *, implicit: bool) -> bytes:
    return raw_element(tag, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item, implicit=implicit)


def _bytes(planted: Planted, place: str) -> bytes:
    word = planted.word(place, "OB") or ""
    return word.encode("ascii")


def _around(planted: Planted, codec: str, *, implicit: bool) -> dict[int, bytes]:
    """Elements of no type, of groups that repeat, of private groups, and of no edition of the standard."""
    found: dict[int, bytes] = {}

    def add(tag: int, vr: str, name: str, value: bytes | None = None) -> None:
        word = planted.word(name, "OB") or ""
        found[tag] = raw_element(tag, vr, word.encode(codec) if value is None else value, implicit=implicit)

    for group in (0x0009, 0x0011, 0x0029, 0x0019):
        add(group << 16 | 0x10, "LO", f"creator {group:04x}")
        add(group << 16 | 0x1001, "LO", f"private {group:04x}")
        word = (planted.word(f"private sequence {group:04x}", "OB") or "").encode()
        inner = raw_element(0x0010_0010, "PN", word, implicit=implicit)
        found[group << 16 | 0x1002] = _sequence(group << 16 | 0x1002, inner, implicit=implicit)
    for group in (0x5000, 0x5002, 0x6000, 0x6002):
        add(group << 16 | 0x0022, "LO", f"description {group:04x}")
        add(group << 16 | 0x3000, "OW", f"data {group:04x}")
        add(group << 16 | 0x4000, "LT", f"comments {group:04x}")
    add(0x0008_7777, "LO", "a tag of no edition")
    add(0x0018_7778, "UN", "bytes of a tag of no edition")
    add(0x0400_0520, "OB", "encrypted")
    if not implicit:
        add(0x0028_1055, "UN", "text of no type")
        word = (planted.word("a sequence of no type", "OB") or "").encode()
        inner = _sequence(0x0040_0260, raw_element(0x0008_0104, "LO", word), implicit=True)
        found[0x0040_0260] = raw_element(0x0040_0260, "UN", inner[8:])
        # Text where numbers, codes and dates belong.
        for tag, vr in ((0x0018_0060, "DS"), (0x0018_1150, "IS"), (0x0018_1164, "CS"), (0x0028_0106, "US")):
            add(tag, vr, f"text as {vr}")
        add(0x0018_1151, "LO", "text of the wrong type")
    return found


def _head(planted: Planted, syntax: str, sop_class: str) -> bytes:
    preamble = (f"{NAME} " + (planted.word("preamble", "OB") or "")).encode().ljust(128, b"\0")
    meta = element("MediaStorageSOPClassUID", sop_class)
    for tag, vr in ((0x0002_0003, "UI"),):
        meta += raw_element(tag, vr, _padded(planted.word(f"{tag:08x}", vr) or ""))
    meta += element("TransferSyntaxUID", syntax)
    for tag, vr in (
        *((0x0002_0012, "UI"), (0x0002_0013, "SH"), (0x0002_0016, "AE"), (0x0002_0017, "AE"), (0x0002_0018, "AE")),
        *((0x0002_0026, "UR"), (0x0002_0100, "UI"), (0x0002_0102, "OB")),
    ):
        meta += raw_element(tag, vr, _padded(planted.word(f"{tag:08x}", vr) or ""))
    return preamble + b"DICM" + element("FileMetaInformationGroupLength", len(meta)) + meta


def _padded(word: str) -> bytes:
    raw = word.encode("latin-1")
    return raw + b"\0" * (len(raw) % 2)
