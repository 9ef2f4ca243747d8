"""Pixel data that are short, long, swapped, planar, sampled, or say two different things of themselves."""

import struct
import tracemalloc

import numpy as np
import pytest

from carina.errors import InputError
from carina.radiographs.dicom import codecs
from carina.radiographs.dicom.decode import decode
from make import make_grey
from make_dicom import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    data_set,
    encapsulated,
    encode_dicom,
    encode_frame,
    layout_of,
    raw_element,
    with_meta,
)

GREY, DEEP = make_grey(1, (60, 50)), make_grey(1, (60, 50), 12)
COLOUR = np.stack([make_grey(seed, (60, 50)) for seed in (1, 2, 3)], axis=-1)
LUMA = COLOUR @ np.array([0.299, 0.587, 0.114])


def refusal(content):
    with pytest.raises(InputError) as caught:
        decode(content)
    return caught.value


def with_pixels(pixel_element, syntax=EXPLICIT, pixels=DEEP, **changed):
    said = {**layout_of(pixels), **changed}
    how = {"implicit": syntax == IMPLICIT, "little": syntax != BIG_ENDIAN}
    return with_meta(data_set(said, **how) + pixel_element, syntax)


def test_pixels_that_are_short_or_for_several_images():
    raw = DEEP.tobytes()
    error = refusal(with_pixels(raw_element(0x7FE00010, "OW", raw[:-2])))
    assert error.code == "truncated"
    assert "should take 6,000 bytes, and 5,998 are there" in str(error)
    assert refusal(with_pixels(raw_element(0x7FE00010, "OW", raw[:100], length=6000))).code == "truncated"
    assert refusal(with_pixels(raw_element(0x7FE00010, "OW", raw * 2))).code == "animated"
    plain = decode(with_pixels(raw_element(0x7FE00010, "OW", raw)))
    padded = decode(with_pixels(raw_element(0x7FE00010, "OW", raw + bytes(500))))
    np.testing.assert_array_equal(padded.pixels, plain.pixels)


@pytest.mark.parametrize("frames", ["2", "0002", "999999999"])
def test_several_frames_are_refused(frames):
    assert refusal(encode_dicom(GREY, NumberOfFrames=frames)).code == "animated"


@pytest.mark.parametrize("frames", ["1", "", "0"])
def test_one_frame_may_be_said_or_not(frames):
    assert decode(encode_dicom(GREY, NumberOfFrames=frames)).pixels.shape == (60, 50)


def test_a_table_of_several_images_is_refused():
    frame = encode_frame(GREY, RLE)
    content = with_pixels(encapsulated(frame, frame, table=struct.pack("<II", 0, len(frame) + 8)), RLE, GREY)
    assert refusal(content).code == "animated"


def test_fragments_of_one_image_are_joined():
    frame = encode_frame(DEEP, JPEG_2000_LOSSLESS, 12)
    parts = [frame[:100], frame[100:102], frame[102:]]
    joined = decode(
        with_pixels(encapsulated(*parts, table=bytes(4)), JPEG_2000_LOSSLESS, DEEP, BitsStored=12, HighBit=11)
    )
    whole = decode(encode_dicom(DEEP, JPEG_2000_LOSSLESS, stored=12))
    np.testing.assert_array_equal(joined.pixels, whole.pixels)


def test_no_pixels_in_fragments():
    for fragments in ([], [b""]):
        assert refusal(with_pixels(encapsulated(*fragments), JPEG_LS, GREY)).code in ("truncated", "unreadable-file")


def test_bytes_of_words_are_swapped_in_big_endian():
    raw = GREY.tobytes()
    swapped = np.frombuffer(raw, np.uint16).byteswap().tobytes()
    words = with_pixels(raw_element(0x7FE00010, "OW", swapped, little=False), BIG_ENDIAN, GREY)
    plain = with_pixels(raw_element(0x7FE00010, "OB", raw, little=False), BIG_ENDIAN, GREY)
    np.testing.assert_array_equal(decode(words).pixels, decode(plain).pixels)


def test_colours_by_plane():
    raw = np.ascontiguousarray(COLOUR.transpose(2, 0, 1)).tobytes()
    content = with_pixels(raw_element(0x7FE00010, "OB", raw), EXPLICIT, COLOUR, PlanarConfiguration=1)
    np.testing.assert_array_equal(decode(content).pixels, decode(encode_dicom(COLOUR)).pixels)


def test_equal_channels_are_their_grey():
    equal = np.stack([GREY] * 3, axis=-1)
    np.testing.assert_array_equal(decode(encode_dicom(equal)).pixels, GREY.astype(np.uint16) * 257)
    deep = np.stack([make_grey(1, (60, 50), 16)] * 3, axis=-1)
    np.testing.assert_array_equal(decode(encode_dicom(deep)).pixels, deep[..., 0])


def test_of_ybr_the_luma_is_taken():
    ybr = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
    expected = GREY.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(encode_dicom(ybr, photometric="YBR_FULL")).pixels, expected)
    halved = np.empty((60, 25, 4), np.uint8)
    halved[..., :2] = GREY.reshape(60, 25, 2)
    halved[..., 2:] = 99
    pixel_element = raw_element(0x7FE00010, "OB", halved.tobytes())
    content = with_pixels(pixel_element, EXPLICIT, ybr, PhotometricInterpretation="YBR_FULL_422")
    np.testing.assert_array_equal(decode(content).pixels, expected)


@pytest.mark.parametrize(("photometric", "marked"), [("YBR_FULL_422", False), ("YBR_FULL", False), ("RGB", True)])
def test_colours_of_jpeg(photometric, marked):
    frame = encode_frame(COLOUR, JPEG_BASELINE)
    if marked:
        # Adobe's marker says that the channels were transformed, whatever the data set says.
        frame = frame[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\1" + frame[2:]
    shown = decode(encode_dicom(COLOUR, JPEG_BASELINE, photometric=photometric, frame=frame)).pixels / 257
    assert np.abs(shown - LUMA).max() < 6


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(monkeypatch):
    def never(content, said):
        pytest.fail("a decoder was called")

    monkeypatch.setattr(codecs, "_DECODERS", dict.fromkeys(codecs._DECODERS, never))
    for syntax in (JPEG_BASELINE, JPEG_LS, JPEG_2000_LOSSLESS):
        frame = encode_frame(GREY, syntax)
        for rows, columns in ((50, 60), (600, 500), (60, 49)):
            error = refusal(encode_dicom(GREY, syntax, frame=frame, Rows=rows, Columns=columns))
            assert error.code == "unreadable-file"
            assert f"says {columns} × {rows} pixels and its" in str(error)
        error = refusal(encode_dicom(COLOUR, syntax, frame=frame))
        assert "3 channels in 8 bits" in str(error)
        deep = encode_frame(DEEP, JPEG_LS, 12)
        assert "1 of 12 bits" in str(refusal(encode_dicom(GREY, JPEG_LS, frame=deep)))


@pytest.mark.parametrize(("syntax", "other"), [(JPEG_BASELINE, JPEG_LS), (JPEG_LS, JPEG_BASELINE)])
def test_a_codestream_of_another_coding_is_refused(syntax, other):
    error = refusal(encode_dicom(GREY, syntax, frame=encode_frame(GREY, other)))
    assert error.code == "unreadable-file"
    assert "Export it again" in str(error)


def test_fragments_and_their_syntax_must_agree():
    assert "not in fragments" in str(refusal(with_pixels(raw_element(0x7FE00010, "OB", bytes(3000)), RLE, GREY)))
    assert "are in fragments" in str(refusal(with_pixels(encapsulated(bytes(3000)), EXPLICIT, GREY)))


@pytest.mark.parametrize("syntax", [JPEG_BASELINE, JPEG_LS, JPEG_2000_LOSSLESS, JPEG_LOSSLESS])
def test_a_damaged_codestream_says_so(syntax):
    frame = encode_frame(GREY, syntax)
    error = refusal(encode_dicom(GREY, syntax, frame=frame[: len(frame) // 2 // 2 * 2]))
    assert error.code in ("unreadable-file", "truncated")
    assert "pixels are damaged and cannot be decoded" in str(error)


def test_rle_that_ends_early_or_goes_on_for_ever():
    frame = encode_frame(GREY, RLE)
    assert refusal(encode_dicom(GREY, RLE, frame=frame[:300])).code == "truncated"
    # No more is unpacked than the image holds.
    longer = frame + b"\x81\x07" * 10_000
    np.testing.assert_array_equal(
        decode(encode_dicom(GREY, RLE, frame=longer)).pixels, decode(encode_dicom(GREY, RLE)).pixels
    )


def test_rle_is_unpacked_no_further_than_the_image_goes():
    """Two bytes stand for up to 128: what is not asked for must never be there."""
    frame = bytearray(encode_frame(GREY, RLE))
    content = encode_dicom(GREY, RLE, frame=bytes(frame) + b"\x81\x07" * 200_000)
    decode(content)
    tracemalloc.start()
    try:
        decode(content)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_EXTENDED])
def test_without_gdcm_the_error_says_what_to_install(syntax, monkeypatch):
    frame = encode_frame(DEEP, JPEG_LOSSLESS, 12)
    if syntax == JPEG_EXTENDED:
        frame = b"\xff\xd8\xff\xc1\0\x0b\x0c" + struct.pack(">HHB", 60, 50, 1) + b"\1\x11\0\xff\xd9"
    monkeypatch.setitem(__import__("sys").modules, "gdcm", None)
    error = refusal(encode_dicom(DEEP, syntax, stored=12, frame=frame))
    assert error.code == "decoder-unavailable"
    assert "pip install 'carina-cxr[gdcm]'" in str(error)


def test_signed_values_of_lossless_codings():
    signed = (make_grey(4, (60, 50), 12).astype(np.int32) - 2048).astype(np.int16)
    plain = decode(encode_dicom(signed, stored=12))
    coded = encode_dicom(signed, JPEG_2000_LOSSLESS, stored=12)
    np.testing.assert_array_equal(decode(coded).pixels, plain.pixels)
    # As patterns of bits, which is how JPEG-LS and JPEG have to store them.
    pattern = (signed & 0xFFF).astype(np.uint16)
    for syntax in (JPEG_LS, JPEG_LOSSLESS):
        frame = encode_frame(pattern, syntax, 12)
        np.testing.assert_array_equal(decode(encode_dicom(signed, syntax, stored=12, frame=frame)).pixels, plain.pixels)
