"""Elements behind the pixels are used as if they were before them, and it is said; what is no element is left out."""

from typing import Any

import numpy as np
import pytest

from carina.radiographs.dicom.decode import decode
from make import make_grey
from make_dicom import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    JPEG_LS,
    RLE,
    data_set,
    encode_dicom,
    raw_element,
)

GREY = make_grey(1, (60, 50))
WINDOW = {"WindowCenter": 100, "WindowWidth": 60}


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, RLE, JPEG_LS])
def test_a_window_behind_the_pixels_is_used(syntax: str) -> None:
    how = {"implicit": syntax == IMPLICIT, "little": syntax != BIG_ENDIAN}
    behind = decode(encode_dicom(GREY, syntax) + data_set(WINDOW, **how))
    before = decode(encode_dicom(GREY, syntax, **WINDOW))
    np.testing.assert_array_equal(behind.pixels, before.pixels)
    assert (behind.header.shown_by, behind.header.doubts) == ("window", ("elements behind",))
    assert before.header.doubts == ()


def test_a_table_behind_the_pixels_is_used() -> None:
    lut = [{"LUTDescriptor": [256, 0, 8], "LUTData": np.arange(256, dtype="<u2")[::-1].tobytes()}]
    radiograph = decode(encode_dicom(GREY, **WINDOW) + data_set({"VOILUTSequence": lut}))
    assert (radiograph.header.shown_by, radiograph.header.doubts) == ("lookup table", ("elements behind",))


def test_what_rules_an_image_out_counts_there_too() -> None:
    said = decode(encode_dicom(GREY, ViewPosition=None, PatientAge=None) + data_set({"ViewPosition": "LL"})).header
    assert (said.view, said.age_years) == ("lateral", None)
    assert decode(encode_dicom(GREY) + data_set({"BurnedInAnnotation": "YES"})).header.burned_in_annotation is True


def test_of_two_values_the_one_before_the_pixels_is_used() -> None:
    film = encode_dicom(GREY, **WINDOW)
    twice = decode(film + data_set({"WindowCenter": 30}))
    np.testing.assert_array_equal(twice.pixels, decode(film).pixels)
    assert twice.header.doubts == ("elements twice",)
    assert decode(film + data_set(WINDOW)).header.doubts == ()


@pytest.mark.parametrize(
    ("tail", "doubts"),
    [
        (b"", ()),
        (b"\0" * 7, ()),
        (bytes(5000), ()),
        (b"\xff" * 40, ()),
        (raw_element(0xFFFCFFFC, "OB", bytes(20)), ()),
        (raw_element(0xFFFAFFFA, "SQ", b""), ()),
        (raw_element(0x7FE11010, "OB", b"private"), ()),
        # Of no interest to anybody here.
        (data_set({"PatientComments": "Secret"}), ()),
        (b"some text of a vendor, no element at all", ("bytes behind",)),
        (data_set(WINDOW)[:-3], ("window", "elements behind")),
        (raw_element(0x00281050, "DS", b"5", length=999), ("bytes behind",)),
    ],
)
def test_what_else_may_follow(tail: bytes, doubts: tuple[Any, ...]) -> None:
    radiograph = decode(encode_dicom(GREY) + tail)
    np.testing.assert_array_equal(radiograph.pixels, decode(encode_dicom(GREY)).pixels)
    assert radiograph.header.doubts == doubts


def test_sequences_behind_the_pixels_are_walked() -> None:
    deep = b""
    for _ in range(40):
        deep = raw_element(0x00540220, "SQ", b"\xfe\xff\x00\xe0" + len(deep).to_bytes(4, "little") + deep)
    assert decode(encode_dicom(GREY) + deep).header.doubts == ("bytes behind",)
