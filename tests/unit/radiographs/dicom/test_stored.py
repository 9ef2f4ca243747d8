"""Pixel data that are short, long, swapped, planar, sampled, or say two different things of themselves."""

import io
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from carina.errors import InputError
from carina.radiographs.dicom import codecs
from carina.radiographs.dicom.codestream import read_jpeg
from carina.radiographs.dicom.decode import decode
from carina.radiographs.radiograph import Radiograph
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
    padded,
    raw_element,
    with_meta,
)

GREY, DEEP = make_grey(1, (60, 50)), make_grey(1, (60, 50), 12)
COLOUR = np.stack([make_grey(seed, (60, 50)) for seed in (1, 2, 3)], axis=-1)
LUMA = COLOUR @ np.array([0.299, 0.587, 0.114])


def refusal(content: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        decode(content)
    return caught.value


def with_pixels(pixel_element: bytes, syntax: str = EXPLICIT, pixels: NDArray[Any] = DEEP, **changed: Any) -> bytes:
    said = {**layout_of(pixels), **changed}
    how = {"implicit": syntax == IMPLICIT, "little": syntax != BIG_ENDIAN}
    return with_meta(data_set(said, **how) + pixel_element, syntax)


def test_pixels_that_are_short_or_for_several_images() -> None:
    raw = DEEP.tobytes()
    error = refusal(with_pixels(raw_element(0x7FE00010, "OW", raw[:-2])))
    assert error.code == "truncated"
    assert "6,000 bytes (50 × 60), and 5,998 are there: it is cut off, or its Rows or Columns are wrong" in str(error)
    assert refusal(with_pixels(raw_element(0x7FE00010, "OW", raw[:100], length=6000))).code == "truncated"
    # Twice as many may be two images, or a wrong number of rows: nobody can tell, and both are said.
    error = refusal(with_pixels(raw_element(0x7FE00010, "OW", raw * 2)))
    assert error.code == "unreadable-file"
    assert "12,000 are there: its Rows or Columns are wrong, or it holds several images." in str(error)
    plain = decode(with_pixels(raw_element(0x7FE00010, "OW", raw)))
    padded = decode(with_pixels(raw_element(0x7FE00010, "OW", raw + bytes(500))))
    np.testing.assert_array_equal(padded.pixels, plain.pixels)


@pytest.mark.parametrize("frames", ["2", "0002", "999999999"])
def test_several_frames_are_refused(frames: str) -> None:
    assert refusal(encode_dicom(GREY, NumberOfFrames=frames)).code == "animated"


@pytest.mark.parametrize("frames", ["1", "", "0"])
def test_one_frame_may_be_said_or_not(frames: str) -> None:
    assert decode(encode_dicom(GREY, NumberOfFrames=frames)).pixels.shape == (60, 50)


def test_a_table_of_several_images_is_refused() -> None:
    frame = encode_frame(GREY, RLE)
    content = with_pixels(encapsulated(frame, frame, table=struct.pack("<II", 0, len(frame) + 8)), RLE, GREY)
    assert refusal(content).code == "animated"


def test_fragments_of_one_image_are_joined() -> None:
    frame = encode_frame(DEEP, JPEG_2000_LOSSLESS, 12)
    parts = [frame[:100], frame[100:102], frame[102:]]
    joined = decode(
        with_pixels(encapsulated(*parts, table=bytes(4)), JPEG_2000_LOSSLESS, DEEP, BitsStored=12, HighBit=11)
    )
    whole = decode(encode_dicom(DEEP, JPEG_2000_LOSSLESS, stored=12))
    np.testing.assert_array_equal(joined.pixels, whole.pixels)


def test_no_pixels_in_fragments() -> None:
    for fragments in ([], [b""]):
        assert refusal(with_pixels(encapsulated(*fragments), JPEG_LS, GREY)).code in ("truncated", "unreadable-file")


def test_bytes_of_words_are_swapped_in_big_endian() -> None:
    raw = GREY.tobytes()
    swapped = np.frombuffer(raw, np.uint16).byteswap().tobytes()
    words = with_pixels(raw_element(0x7FE00010, "OW", swapped, little=False), BIG_ENDIAN, GREY)
    plain = with_pixels(raw_element(0x7FE00010, "OB", raw, little=False), BIG_ENDIAN, GREY)
    np.testing.assert_array_equal(decode(words).pixels, decode(plain).pixels)


def test_colours_by_plane() -> None:
    raw = np.ascontiguousarray(COLOUR.transpose(2, 0, 1)).tobytes()
    content = with_pixels(raw_element(0x7FE00010, "OB", raw), EXPLICIT, COLOUR, PlanarConfiguration=1)
    np.testing.assert_array_equal(decode(content).pixels, decode(encode_dicom(COLOUR)).pixels)


def test_equal_channels_are_their_grey() -> None:
    equal = np.stack([GREY] * 3, axis=-1)
    np.testing.assert_array_equal(decode(encode_dicom(equal)).pixels, GREY.astype(np.uint16) * 257)
    deep = np.stack([make_grey(1, (60, 50), 16)] * 3, axis=-1)
    np.testing.assert_array_equal(decode(encode_dicom(deep)).pixels, deep[..., 0])


def test_of_ybr_the_luma_is_taken() -> None:
    ybr = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
    expected = GREY.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(encode_dicom(ybr, photometric="YBR_FULL")).pixels, expected)
    halved = np.empty((60, 25, 4), np.uint8)
    halved[..., :2] = GREY.reshape(60, 25, 2)
    for chroma, doubts in ((99, ("coloured",)), (128, ())):
        halved[..., 2:] = chroma
        pixel_element = raw_element(0x7FE00010, "OB", halved.tobytes())
        content = with_pixels(pixel_element, EXPLICIT, ybr, PhotometricInterpretation="YBR_FULL_422")
        np.testing.assert_array_equal(decode(content).pixels, expected)
        assert decode(content).header.doubts == doubts


def test_that_an_image_is_in_colour_is_said() -> None:
    grey = np.repeat(GREY.astype(np.uint8)[..., None], 3, axis=2)
    nearly, red = grey.copy(), grey.copy()
    nearly[..., 1] = np.clip(nearly[..., 1].astype(int) - 16, 0, 255)
    red[:5, :5] = (200, 20, 20)
    for pixels, doubts in ((grey, ()), (nearly, ()), (red, ("coloured",))):
        assert decode(encode_dicom(pixels)).header.doubts == doubts
        assert decode(encode_dicom(pixels, JPEG_LS)).header.doubts == doubts
    chroma = np.full_like(grey, 128)
    chroma[..., 0] = GREY
    assert decode(encode_dicom(chroma, photometric="YBR_FULL")).header.doubts == ()
    chroma[7, 7, 2] = 140
    assert decode(encode_dicom(chroma, photometric="YBR_FULL")).header.doubts == ("coloured",)


@pytest.mark.parametrize(("photometric", "marked"), [("YBR_FULL_422", False), ("YBR_FULL", False), ("RGB", True)])
def test_colours_of_jpeg(photometric: str, marked: bool) -> None:
    frame = encode_frame(COLOUR, JPEG_BASELINE)
    if marked:
        # Adobe's marker says that the channels were transformed, whatever the data set says.
        frame = frame[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\1" + frame[2:]
    shown = decode(encode_dicom(COLOUR, JPEG_BASELINE, photometric=photometric, frame=frame)).pixels / 257
    assert np.abs(shown - LUMA).max() < 6


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(content: Any, said: Any) -> None:
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
def test_a_codestream_of_another_coding_is_refused(syntax: str, other: str) -> None:
    error = refusal(encode_dicom(GREY, syntax, frame=encode_frame(GREY, other)))
    assert error.code == "unreadable-file"
    assert "Export it again" in str(error)


def test_fragments_and_their_syntax_must_agree() -> None:
    assert "not in fragments" in str(refusal(with_pixels(raw_element(0x7FE00010, "OB", bytes(3000)), RLE, GREY)))
    assert "are in fragments" in str(refusal(with_pixels(encapsulated(bytes(3000)), EXPLICIT, GREY)))


@pytest.mark.parametrize("syntax", [JPEG_BASELINE, JPEG_LS, JPEG_2000_LOSSLESS, JPEG_LOSSLESS])
def test_a_damaged_codestream_says_so(syntax: str) -> None:
    frame = encode_frame(GREY, syntax)
    error = refusal(encode_dicom(GREY, syntax, frame=frame[: len(frame) // 2 // 2 * 2]))
    assert error.code in ("unreadable-file", "truncated")
    # Of JPEG-LS it is seen that its end is missing.
    said = "pixels end before the image does" if syntax == JPEG_LS else "pixels are damaged and cannot be decoded"
    assert said in str(error)


def test_rle_that_ends_early_or_goes_on_for_ever() -> None:
    frame = encode_frame(GREY, RLE)
    assert refusal(encode_dicom(GREY, RLE, frame=frame[:300])).code == "truncated"
    # No more is unpacked than the image holds.
    longer = frame + b"\x81\x07" * 10_000
    np.testing.assert_array_equal(
        decode(encode_dicom(GREY, RLE, frame=longer)).pixels, decode(encode_dicom(GREY, RLE)).pixels
    )


def test_rle_is_unpacked_no_further_than_the_image_goes() -> None:
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
def test_without_gdcm_the_error_says_what_to_install(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = encode_frame(DEEP, JPEG_LOSSLESS, 12)
    if syntax == JPEG_EXTENDED:
        frame = b"\xff\xd8\xff\xc1\0\x0b\x0c" + struct.pack(">HHB", 60, 50, 1) + b"\1\x11\0\xff\xd9"
    monkeypatch.setitem(__import__("sys").modules, "gdcm", None)
    error = refusal(encode_dicom(DEEP, syntax, stored=12, frame=frame))
    assert error.code == "decoder-unavailable"
    assert "pip install 'carina-cxr[gdcm]'" in str(error)


def test_signed_values_of_lossless_codings() -> None:
    signed = (make_grey(4, (60, 50), 12).astype(np.int32) - 2048).astype(np.int16)
    plain = decode(encode_dicom(signed, stored=12))
    coded = encode_dicom(signed, JPEG_2000_LOSSLESS, stored=12)
    np.testing.assert_array_equal(decode(coded).pixels, plain.pixels)
    # As patterns of bits, which is how JPEG-LS and JPEG have to store them.
    pattern = (signed & 0xFFF).astype(np.uint16)
    for syntax in (JPEG_LS, JPEG_LOSSLESS):
        frame = encode_frame(pattern, syntax, 12)
        np.testing.assert_array_equal(decode(encode_dicom(signed, syntax, stored=12, frame=frame)).pixels, plain.pixels)


def jpeg_of(
    markers: bytes = b"", *, ids: bytes | None = None, pixels: NDArray[np.uint8] = COLOUR, **options: Any
) -> bytearray | bytes:
    """A JPEG codestream, with these segments instead of the head that Pillow gives it."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, **options)
    content = stream.getvalue()
    while content[2:4] in (b"\xff\xe0", b"\xff\xee"):
        content = content[:2] + content[4 + int.from_bytes(content[4:6], "big") :]
    if ids is not None:
        head, scan = content.index(b"\xff\xc0") + 10, content.index(b"\xff\xda") + 5
        content = bytearray(content)
        content[head : head + 9 : 3] = content[scan : scan + 6 : 2] = ids
    return padded(content[:2] + markers + bytes(content[2:]))


JFIF = b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
SMOOTH = np.stack([make_grey(seed, (60, 50)) // 3 + 60 for seed in (1, 2, 3)], axis=-1)


def adobe(transform: int) -> bytes:
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def contradicted(radiograph: Radiograph) -> tuple[Any, ...]:
    return tuple(doubt for doubt in radiograph.header.doubts if doubt != "coloured")


FULL, HALVED, RAW = {"subsampling": 0}, {"subsampling": 2}, {"keep_rgb": True}
# How it is written, what its header says, whether its channels are RGB, and whether that contradicts the header.
COLOURED = [
    (JFIF, FULL, None, "RGB", False, True),
    (JFIF, FULL, None, "YBR_FULL", False, False),
    (JFIF, HALVED, None, "RGB", False, True),
    (JFIF, HALVED, None, "YBR_FULL_422", False, False),
    (b"", HALVED, None, "RGB", False, True),
    (adobe(1), FULL, None, "RGB", False, True),
    (adobe(1), HALVED, None, "YBR_FULL_422", False, False),
    (JFIF + adobe(1), HALVED, None, "RGB", False, True),
    (adobe(0), RAW, None, "RGB", True, False),
    (adobe(0), RAW, None, "YBR_FULL_422", True, True),
    (b"", RAW, b"RGB", "RGB", True, False),
    (b"", RAW, b"RGB", "YBR_FULL", True, True),
    # Nothing is said but by the header, or both.
    (b"", RAW, b"\1\2\3", "RGB", True, False),
    (b"", FULL, None, "YBR_FULL", False, False),
    (JFIF + adobe(0), RAW, None, "RGB", True, False),
    (JFIF + adobe(0), FULL, None, "YBR_FULL", False, False),
]


@pytest.mark.parametrize(("markers", "how", "ids", "photometric", "is_rgb", "contradicts"), COLOURED)
def test_a_jpeg_says_by_itself_what_its_colours_are(
    markers: bytes, how: dict[str, Any], ids: bytes | None, photometric: str, is_rgb: bool, contradicts: bool
) -> None:
    radiograph = decode(
        encode_dicom(
            SMOOTH, JPEG_BASELINE, photometric=photometric, frame=jpeg_of(markers, ids=ids, pixels=SMOOTH, **how)
        )
    )
    luma = SMOOTH @ np.array([0.299, 0.587, 0.114])
    assert (how is RAW) == is_rgb
    assert np.abs(radiograph.pixels / 257 - luma).max() < 4
    assert contradicted(radiograph) == (("colour",) if contradicts else ())


@pytest.mark.parametrize("markers", [adobe(1), JFIF])
def test_so_does_a_lossless_one(markers: bytes) -> None:
    pytest.importorskip("gdcm")
    frame = encode_frame(SMOOTH, JPEG_LOSSLESS)
    assert frame[2:18] == adobe(0)
    plain = decode(encode_dicom(SMOOTH, JPEG_LOSSLESS, frame=frame))
    np.testing.assert_array_equal(plain.pixels, decode(encode_dicom(SMOOTH)).pixels)
    said = decode(encode_dicom(SMOOTH, JPEG_LOSSLESS, frame=padded(frame[:2] + markers + frame[18:])))
    np.testing.assert_array_equal(said.pixels, SMOOTH[..., 0].astype(np.uint16) * 257)
    assert (contradicted(plain), contradicted(said)) == ((), ("colour",))


def test_so_does_jpeg_ls() -> None:
    """By HP's transform, which its decoder undoes, and by SPIFF's head."""
    frame = encode_frame(SMOOTH, JPEG_LS)
    luma = decode(encode_dicom(SMOOTH)).pixels
    for marker, colour in ((3, "YCbCr"), (10, "RGB")):
        spiff = b"\xff\xe8\0\x20SPIFF\0\1\2\0\3" + struct.pack(">II", 60, 50) + bytes([marker, 8, 6, 0]) + bytes(8)
        for photometric in ("RGB", "YBR_FULL"):
            said = decode(encode_dicom(SMOOTH, JPEG_LS, photometric=photometric, frame=frame[:2] + spiff + frame[2:]))
            expected = luma if colour == "RGB" else SMOOTH[..., 0].astype(np.uint16) * 257
            np.testing.assert_array_equal(said.pixels, expected)
            assert contradicted(said) == (("colour",) if (colour == "RGB") != (photometric == "RGB") else ())
    assert read_jpeg(frame[:2] + b"\xff\xe8\0\x07mrfx\1" + frame[2:]).colour == "RGB"
    # JFIF does not speak of it.
    assert read_jpeg(frame[:2] + JFIF + frame[2:]).colour is None


def test_so_does_jpeg_2000() -> None:
    transformed, plain = encode_frame(SMOOTH, JPEG_2000_LOSSLESS), _jpeg_2000(use_mct=False)
    luma, first = decode(encode_dicom(SMOOTH)).pixels, SMOOTH[..., 0].astype(np.uint16) * 257
    for frame, photometric, expected, doubts in (
        (transformed, "YBR_RCT", luma, ()),
        (transformed, "RGB", luma, ()),
        (transformed, "YBR_FULL", luma, ("colour",)),
        (plain, "RGB", luma, ()),
        (plain, "YBR_FULL", first, ()),
        (_jpeg_2000(photometric_interpretation=3, codec_format=1), "RGB", first, ("colour",)),
        (_jpeg_2000(photometric_interpretation=3, codec_format=1), "YBR_FULL", first, ()),
        (_jpeg_2000(use_mct=False, codec_format=1), "YBR_FULL", luma, ("colour",)),
    ):
        said = decode(encode_dicom(SMOOTH, JPEG_2000_LOSSLESS, photometric=photometric, frame=frame))
        np.testing.assert_array_equal(said.pixels, expected)
        assert contradicted(said) == doubts
    for syntax, frame, photometric in (
        (JPEG_2000_LOSSLESS, plain, "YBR_RCT"),
        (JPEG_2000_LOSSLESS, plain, "YBR_ICT"),
        (JPEG_BASELINE, jpeg_of(), "YBR_ICT"),
        (EXPLICIT, None, "YBR_RCT"),
    ):
        error = refusal(encode_dicom(SMOOTH, syntax, photometric=photometric, frame=frame))
        assert (error.code, "Export it as grey image" in str(error)) == ("unreadable-file", True)


def _jpeg_2000(**options: Any) -> bytes:
    import openjpeg

    return padded(openjpeg.encode(SMOOTH, **{"photometric_interpretation": 1, "bits_stored": 8, **options}))


def test_a_palette_in_jpeg_2000_is_refused() -> None:
    import openjpeg

    boxed = bytearray(openjpeg.encode(GREY, photometric_interpretation=2, bits_stored=8, codec_format=1))
    place = boxed.index(b"colr")
    boxed[place : place + 4] = b"pclr"
    error = refusal(encode_dicom(GREY, JPEG_2000_LOSSLESS, frame=padded(bytes(boxed))))
    assert (error.code, "palette" in str(error)) == ("unsupported-format", True)


def test_pixels_that_are_not_subsampled_whatever_their_header_says() -> None:
    ybr = np.stack([GREY, np.full_like(GREY, 128), np.full_like(GREY, 99)], axis=-1)
    said = decode(encode_dicom(ybr, photometric="YBR_FULL_422"))
    np.testing.assert_array_equal(said.pixels, GREY.astype(np.uint16) * 257)
    assert contradicted(said) == ("colour",)
    odd = np.stack([make_grey(1, (60, 51))] * 3, axis=-1)
    half = raw_element(0x7FE00010, "OB", odd.tobytes()[: 60 * 51 * 2])
    error = refusal(with_pixels(half, EXPLICIT, odd, PhotometricInterpretation="YBR_FULL_422"))
    assert "even number of columns" in str(error)


@pytest.mark.parametrize(
    ("behind", "doubts"),
    [
        (b"", ()),
        (bytes(2), ("longer pixels",)),
        (bytes(500), ("longer pixels",)),
        (b"\xff" * 2000, ("longer pixels",)),
        # Less than a row or a column: no number of theirs can be wrong.
        (b"a vendor's words", ("longer pixels",)),
        (bytes(range(98)), ("longer pixels",)),
    ],
)
def test_what_follows_the_pixels_and_is_no_part_of_them_is_said(behind: bytes, doubts: tuple[Any, ...]) -> None:
    plain, radiograph = (
        decode(with_pixels(raw_element(0x7FE00010, "OW", DEEP.tobytes() + more))) for more in (b"", behind)
    )
    np.testing.assert_array_equal(radiograph.pixels, plain.pixels)
    assert radiograph.header.doubts == doubts


@pytest.mark.parametrize(("rows", "columns"), [(59, 50), (60, 49), (50, 50), (32, 60)])
def test_pixels_of_more_rows_or_columns_than_their_header_says_are_refused(rows: int, columns: int) -> None:
    error = refusal(with_pixels(raw_element(0x7FE00010, "OW", DEEP.tobytes()), Rows=rows, Columns=columns))
    assert error.code == "unreadable-file"
    assert f"one image of {2 * rows * columns:,} bytes ({columns} × {rows}), and 6,000 are there: its Rows or" in str(
        error
    )


def test_rle_that_holds_more_than_its_header_says_is_said() -> None:
    frame = encode_frame(GREY, RLE)
    assert decode(encode_dicom(GREY, RLE)).header.doubts == ()
    assert decode(encode_dicom(GREY, RLE, frame=frame + b"\x81\x07" * 10)).header.doubts == ("longer pixels",)
    assert decode(encode_dicom(GREY[:-2], RLE, frame=frame)).header.doubts == ("longer pixels",)


@pytest.mark.parametrize("syntax", [RLE, JPEG_BASELINE, JPEG_LS, JPEG_2000_LOSSLESS])
def test_two_images_in_two_fragments_are_not_taken_for_one(syntax: str) -> None:
    frame = encode_frame(GREY, syntax)
    assert refusal(with_pixels(encapsulated(frame, frame), syntax, GREY)).code == "animated"


@pytest.mark.parametrize("signed", [False, True])
def test_bits_beside_the_grey_values_are_said(signed: bool) -> None:
    values = make_grey(4, (60, 50), 12)
    said = {"stored": 12, "PixelRepresentation": int(signed), "WindowCenter": 0, "WindowWidth": 4096}
    clean = decode(encode_dicom(values, **said))
    assert clean.header.doubts == ()
    for bit in (0x1000, 0x8000):
        noisy = values.copy()
        noisy[3, 4] |= bit
        radiograph = decode(encode_dicom(noisy, **said))
        np.testing.assert_array_equal(radiograph.pixels, clean.pixels)
        assert radiograph.header.doubts == ("unused bits",)
    copies = values | np.where(values & 0x800, 0xF000, 0).astype(np.uint16)
    # Copies of a sign belong to it.
    assert decode(encode_dicom(copies, **said)).header.doubts == (() if signed else ("unused bits",))
    low = (values << np.uint16(4)) | np.uint16(1)
    assert decode(encode_dicom(low, HighBit=15, **said)).header.doubts == ("unused bits",)


@pytest.mark.parametrize("syntax", [JPEG_LS, JPEG_2000_LOSSLESS])
@pytest.mark.parametrize(
    ("coded", "highest", "stored", "doubts"),
    [
        (12, 4095, 12, ()),
        (16, 4095, 12, ()),
        (16, 5000, 12, ("precision",)),
        (12, 4095, 16, ("precision",)),
        (10, 1023, 12, ("precision",)),
    ],
)
def test_codestreams_that_say_another_depth(
    syntax: str, coded: int, highest: int, stored: int, doubts: tuple[Any, ...]
) -> None:
    pixels = np.linspace(0, highest, 3000).astype(np.uint16).reshape(60, 50)
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    frame = encode_frame(pixels, syntax, coded)
    radiograph = decode(encode_dicom(pixels, syntax, stored=stored, frame=frame, **window))
    np.testing.assert_array_equal(radiograph.pixels, decode(encode_dicom(pixels, stored=16, **window)).pixels)
    assert radiograph.header.doubts == doubts


def test_a_high_bit_that_codestreams_do_not_have_is_said() -> None:
    frame = encode_frame(DEEP, JPEG_LS, 12)
    assert decode(encode_dicom(DEEP, JPEG_LS, stored=12, frame=frame, HighBit=15)).header.doubts == ("precision",)


def test_codestreams_that_say_another_sign() -> None:
    signed = (make_grey(4, (60, 50), 12).astype(np.int32) - 2048).astype(np.int16)
    window = {"WindowCenter": 0, "WindowWidth": 4096}
    plain = decode(encode_dicom(signed, stored=12, **window))
    # The codestream has a sign and the header none.
    coded = encode_frame(signed, JPEG_2000_LOSSLESS, 12)
    said = decode(encode_dicom(signed, JPEG_2000_LOSSLESS, stored=12, frame=coded, PixelRepresentation=0, **window))
    np.testing.assert_array_equal(said.pixels, plain.pixels)
    assert said.header.doubts == ("sign",)
    # The header has a sign and the codestream none: older writers put two's complement into it.
    pattern = (signed & 0xFFF).astype(np.uint16)
    coded = encode_frame(pattern, JPEG_2000_LOSSLESS, 12)
    said = decode(encode_dicom(signed, JPEG_2000_LOSSLESS, stored=12, frame=coded, **window))
    np.testing.assert_array_equal(said.pixels, plain.pixels)
    assert said.header.doubts == ("sign",)
    # Where no value is negative, both mean the same.
    small = make_grey(4, (60, 50), 10)
    coded = encode_frame(small, JPEG_2000_LOSSLESS, 12)
    for sign in (0, 1):
        content = encode_dicom(small, JPEG_2000_LOSSLESS, stored=12, frame=coded, PixelRepresentation=sign)
        assert decode(content).header.doubts == ()
