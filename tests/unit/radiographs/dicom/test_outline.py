"""The walk over element headers finds the pixels, and ends at every lie about lengths, counts and depth."""

import struct
from typing import Any

import pytest

from carina.errors import InputError
from carina.radiographs.dicom import outline
from carina.radiographs.dicom.limits import MAX_DEPTH, MAX_ELEMENTS, MAX_VALUE_BYTES
from carina.radiographs.dicom.outline import (
    Element,
    Encoding,
    begins_as,
    find_pixels,
    guess_encoding,
    read_fragments,
    read_meta,
)
from make import make_grey
from make_dicom import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    data_set,
    element,
    encapsulated,
    encode_dicom,
    raw_element,
    with_meta,
)

EXPLICIT_LITTLE = Encoding(implicit=False, little=True)
ENCODINGS = [EXPLICIT_LITTLE, Encoding(implicit=True, little=True), Encoding(implicit=False, little=False)]
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
PIXELS = raw_element(0x7FE00010, "OW", bytes(8))


def delimiter(tag: int, length: int = 0, little: bool = True) -> bytes:
    return struct.pack("<HHI" if little else ">HHI", tag >> 16, tag & 0xFFFF, length)


def walk(body: bytes, encoding: Encoding = EXPLICIT_LITTLE) -> Element | None:
    return find_pixels(body, 0, encoding)


def refusal(body: bytes, encoding: Any = EXPLICIT_LITTLE) -> InputError:
    with pytest.raises(InputError) as caught:
        walk(body, encoding)
    return caught.value


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pixels_are_found_behind_sequences_of_every_kind(encoding: Encoding) -> None:
    how = {"implicit": encoding.implicit, "little": encoding.little}
    inner = element("Rows", 5, **how)
    open_item = delimiter(ITEM, UNDEFINED, encoding.little) + inner + delimiter(ITEM_END, 0, encoding.little)
    closed_item = delimiter(ITEM, len(inner), encoding.little) + inner
    end = delimiter(SEQUENCE_END, 0, encoding.little)
    body = element("Modality", "CR", **how)
    body += raw_element(0x00081115, "SQ", open_item + closed_item + end, length=UNDEFINED, **how)
    body += raw_element(0x00082218, "SQ", open_item + closed_item, **how)
    body += raw_element(0x00091010, "SQ", closed_item, **how)
    before = len(body)
    found = walk(body + raw_element(0x7FE00010, "OW", bytes(8), **how), encoding)
    assert found is not None
    assert (found.tag, found.header, found.length) == (0x7FE00010, before, 8)
    assert found.vr == (None if encoding.implicit else b"OW")
    assert walk(body, encoding) is None


def test_pixels_of_an_icon_are_not_the_pixels() -> None:
    icon = data_set({"Rows": 4}) + encapsulated(b"1234")
    item = delimiter(ITEM, UNDEFINED) + icon + delimiter(ITEM_END)
    body = raw_element(0x00880200, "SQ", item + delimiter(SEQUENCE_END), length=UNDEFINED)
    assert walk(body) is None
    found = walk(body + PIXELS)
    assert found is not None
    assert found.header == len(body)


def test_an_element_of_unknown_type_may_be_a_sequence_in_implicit_encoding() -> None:
    inner = raw_element(0x00080060, "", b"CR", implicit=True)
    unknown = delimiter(ITEM, UNDEFINED) + inner + delimiter(ITEM_END) + delimiter(SEQUENCE_END)
    found = walk(raw_element(0x00091010, "UN", unknown, length=UNDEFINED) + PIXELS)
    assert found is not None
    assert found.length == 8


def test_what_follows_the_pixels_is_not_looked_at() -> None:
    assert walk(PIXELS + b"\xff" * 50) is not None
    assert walk(element("Modality", "CR") + raw_element(0xFFFCFFFC, "OB", bytes(2)) + b"\xff" * 50) is None


@pytest.mark.parametrize("length", [9, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE])
@pytest.mark.parametrize("vr", ["OB", "UT", "UN", "SQ"])
def test_a_length_beyond_the_end_is_said(length: int, vr: str) -> None:
    error = refusal(raw_element(0x00091010, vr, bytes(8), length=length))
    assert error.code == "truncated"
    assert "the element at byte 0 claims more bytes than follow" in str(error)
    # What was taken for tag and length may be letters of a name.
    assert "1010" not in str(error)
    assert f"{length:,}" not in str(error)


def test_an_item_may_not_be_longer_than_its_sequence() -> None:
    inner = element("CodeValue", "T-D3000")
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner) + 8) + inner
    assert refusal(raw_element(0x00082218, "SQ", item) + PIXELS).code == "truncated"


@pytest.mark.parametrize("cut", range(1, 25))
def test_a_header_that_is_cut_off(cut: int) -> None:
    item = delimiter(ITEM, UNDEFINED) + element("CodeValue", "T-D3000")
    body = raw_element(0x00082218, "SQ", item, length=UNDEFINED)
    assert len(body) == 36
    assert refusal(body[:-cut]).code == "truncated"


def test_depth_is_counted() -> None:
    def nested(depth: Any) -> Any:
        item = delimiter(ITEM, UNDEFINED) + struct.pack("<HH2sHI", 0x0009, 0x1010, b"SQ", 0, UNDEFINED)
        ends = delimiter(ITEM_END) + delimiter(SEQUENCE_END)
        start = struct.pack("<HH2sHI", 0x0009, 0x1010, b"SQ", 0, UNDEFINED)
        return start + item * (depth - 1) + delimiter(SEQUENCE_END) + ends * (depth - 1) + PIXELS

    assert walk(nested(MAX_DEPTH)) is not None
    error = refusal(nested(MAX_DEPTH + 1))
    assert error.code == "too-large"
    assert "nested over 16 deep" in str(error)
    assert refusal(nested(100_000)).code == "too-large"


def test_elements_are_counted() -> None:
    one = element("ImageComments", "")
    assert walk(one * (MAX_ELEMENTS - 1) + PIXELS) is not None
    error = refusal(one * (MAX_ELEMENTS + 1) + PIXELS)
    assert error.code == "too-large"
    assert "over 50,000 elements" in str(error)


def test_an_element_that_is_read_may_not_be_long() -> None:
    body = raw_element(0x00281050, "UT", bytes(MAX_VALUE_BYTES + 1)) + PIXELS
    error = refusal(body)
    assert error.code == "too-large"
    assert "WindowCenter has more than the 65,536 bytes" in str(error)
    # One that is not read may be as long as it likes.
    assert walk(raw_element(0x00091050, "UT", bytes(MAX_VALUE_BYTES + 1)) + PIXELS) is not None


@pytest.mark.parametrize(
    "body",
    [
        delimiter(ITEM_END) + PIXELS,
        delimiter(SEQUENCE_END) + PIXELS,
        delimiter(ITEM, 4) + bytes(4) + PIXELS,
        raw_element(0x00082218, "SQ", element("Modality", "CR"), length=UNDEFINED) + PIXELS,
        raw_element(0x00082218, "SQ", delimiter(ITEM, UNDEFINED) + delimiter(SEQUENCE_END), length=UNDEFINED) + PIXELS,
        raw_element(0x00091010, "OB", delimiter(ITEM, UNDEFINED), length=UNDEFINED) + PIXELS,
    ],
)
def test_delimiters_out_of_place_are_damage(body: bytes) -> None:
    error = refusal(body)
    assert error.code == "unreadable-file"
    assert "is damaged at byte " in str(error)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_beginnings(syntax: str) -> None:
    content = encode_dicom(make_grey(), syntax)
    assert begins_as(content) == "file"
    bare = encode_dicom(make_grey(), syntax, preamble=None)
    assert begins_as(bare) == "data set"
    assert guess_encoding(bare, 0) == Encoding(syntax == IMPLICIT, syntax != BIG_ENDIAN)
    # Without a preamble, but with what stands before the data set.
    assert begins_as(content[132:]) == "data set"
    assert read_meta(content[132:]).transfer_syntax == syntax


@pytest.mark.parametrize(
    "content",
    [b"", b"DICM", bytes(200), b"\x08\0", b"\x08\0\0\0" + b"\xff" * 20, b"\x08\0\x05\0XX" + bytes(20), b"a text" * 9],
)
def test_other_beginnings(content: bytes) -> None:
    assert begins_as(content) is None


def test_what_stands_before_the_data_set() -> None:
    content = encode_dicom(make_grey())
    meta = read_meta(content)
    assert content[meta.end : meta.end + 4] == b"\x08\0\x16\0"
    assert meta.transfer_syntax == EXPLICIT
    # Written without types, as some do.
    body = data_set({"Modality": "CR"})
    implicit = raw_element(0x00020010, "", DEFLATED.encode(), implicit=True)
    assert read_meta(bytes(128) + b"DICM" + implicit + body).transfer_syntax == DEFLATED
    assert read_meta(with_meta(body, None)).transfer_syntax is None


@pytest.mark.parametrize("length", [0x7FFFFFFF, UNDEFINED])
def test_a_beginning_that_lies_about_its_length(length: int) -> None:
    content = bytes(128) + b"DICM" + raw_element(0x00020001, "OB", bytes(2), length=length)
    with pytest.raises(InputError):
        read_meta(content)


def fragments_of(value: bytes) -> list[bytes]:
    pixels = walk(value)
    assert pixels is not None
    return [bytes(part) for part in read_fragments(value, pixels)]


def test_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fragments_of(encapsulated(b"1234", b"56", table=bytes(4))) == [bytes(4), b"1234", b"56"]
    # Without the last delimiter.
    assert fragments_of(encapsulated(b"1234")[:-8]) == [b"", b"1234"]
    with pytest.raises(InputError, match=r"claims more bytes than follow"):
        fragments_of(encapsulated(b"1234")[:-9])
    with pytest.raises(InputError, match=r"damaged at byte 32"):
        fragments_of(encapsulated(b"1234")[:-8] + element("Rows", 5))
    monkeypatch.setattr(outline, "MAX_FRAGMENTS", 3)
    with pytest.raises(InputError, match=r"in over 3 fragments") as caught:
        fragments_of(encapsulated(*[b"12"] * 5))
    assert caught.value.code == "too-large"
