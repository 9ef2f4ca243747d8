"""One radiograph is the same whatever the container, depth, channels and orientation it is kept in."""

import io
import os
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from amount import sampled
from carina.errors import InputError
from carina.radiographs.fingerprint import pixel_sha256
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.radiograph import Radiograph
from carina.radiographs.raster import decode_raster
from carina.radiographs.read import sniff_format
from make import (
    LOSSLESS,
    ORIENTATIONS,
    as_mode,
    claimed_png,
    encode,
    encode_deep_colour,
    encode_frames,
    encode_png,
    encode_tiff,
    make_grey,
    store_as_orientation,
    wide_png,
)

GREY = make_grey()
DEEP = GREY.astype(np.uint16) * 257
TWELVE = make_grey(depth=12)


def decode(content: bytes) -> Radiograph:
    return decode_raster(content, sniff_format(content))


def refusal(content: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        decode(content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    return caught.value


CONTAINERS = {
    f"{image_format} {mode}": encode(as_mode(GREY, mode), image_format)
    for image_format in LOSSLESS
    for mode in ("L", "RGB", "RGBA", "P", "LA")
    if (image_format, mode) != ("BMP", "LA")
}
CONTAINERS |= {
    f"TIFF {name}": encode(as_mode(GREY, "L"), "TIFF", compression=name)
    for name in ("tiff_lzw", "tiff_deflate", "packbits")
}
CONTAINERS |= {
    "TIFF white is zero": encode_tiff(255 - GREY, photometric=0),
    "TIFF CMYK": encode(as_mode(GREY, "CMYK"), "TIFF"),
    "TIFF by hand": encode_tiff(GREY),
    "BigTIFF": encode_tiff(GREY, big=True),
    "PNG by OpenCV": cv2.imencode(".png", GREY)[1].tobytes(),
    "PNG RGB by hand": encode_png(np.dstack([GREY] * 3), 8, 2),
}
DEEP_CONTAINERS = {
    "PNG": lambda a: encode(a, "PNG"),
    "TIFF": lambda a: encode(a, "TIFF"),
    "TIFF big endian": lambda a: encode(Image.fromarray(a.astype(">u2")), "TIFF"),
    "TIFF deflate": lambda a: encode(a, "TIFF", compression="tiff_deflate"),
    "TIFF white is zero": lambda a: encode_tiff(_white_of(a) - a, photometric=0),
    "TIFF signed": lambda a: encode_tiff(a.astype(np.int32)),
    "BigTIFF": lambda a: encode_tiff(a, big=True),
    "PNG RGB": lambda a: encode_deep_colour(a, "PNG", 3),
    "PNG RGBA": lambda a: encode_deep_colour(a, "PNG", 4),
    "PNG LA": lambda a: encode_png(np.dstack([a, np.full_like(a, 65535)]), 16, 4),
    "TIFF RGB": lambda a: encode_deep_colour(a, "TIFF", 3),
    "TIFF RGBA": lambda a: encode_deep_colour(a, "TIFF", 4),
    "TIFF RGB by hand": lambda a: encode_tiff(np.dstack([a] * 3), photometric=2),
}


def _white_of(pixels: np.ndarray) -> np.uint16:
    return np.uint16(65535 if pixels.max() > 4095 else 4095)


@pytest.mark.parametrize("name", CONTAINERS)
def test_eight_bit_containers_agree_to_the_bit(name: str) -> None:
    radiograph = decode(CONTAINERS[name])
    assert radiograph.pixels.dtype == np.uint8
    assert radiograph.white == 255
    np.testing.assert_array_equal(radiograph.pixels, GREY)
    reference = Radiograph(GREY, 255)
    assert pixel_sha256(radiograph) == pixel_sha256(reference)
    np.testing.assert_array_equal(resize_grey(radiograph, 32), resize_grey(reference, 32))


@pytest.mark.parametrize("pixels", [DEEP, TWELVE], ids=["16 bit", "12 bit in 16"])
@pytest.mark.parametrize("name", DEEP_CONTAINERS)
def test_deep_containers_agree_to_the_bit(name: str, pixels: NDArray[np.uint16]) -> None:
    radiograph = decode(DEEP_CONTAINERS[name](pixels))
    assert radiograph.pixels.dtype == np.uint16
    assert radiograph.white == _white_of(pixels)
    np.testing.assert_array_equal(radiograph.pixels, pixels)
    assert pixel_sha256(radiograph) == pixel_sha256(decode(encode(pixels, "PNG")))


@pytest.mark.parametrize("size", [32, 50, 224])
def test_depths_give_the_same_tensor_within_a_grey_level(size: int) -> None:
    large = make_grey(3, (300, 280))
    eight = resize_grey(decode(encode(large, "PNG")), size).astype(int)
    for deep in (
        encode(large.astype(np.uint16) * 257, "PNG"),
        encode(np.rint(large / 255 * 4095).astype(np.uint16), "TIFF"),
        encode_tiff(large.astype(np.float32) / 255),
        encode_tiff(large.astype(np.float32)),
        encode_tiff(large.astype(np.int16)),
    ):
        assert np.abs(resize_grey(decode(deep), size).astype(int) - eight).max() <= 1


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_orientation_of_lossless_files(image_format: str, mode: str, orientation: int) -> None:
    stored = store_as_orientation(GREY, orientation)
    content = encode(as_mode(stored, mode), image_format, orientation)
    np.testing.assert_array_equal(decode(content).pixels, GREY)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_of_deep_files(orientation: int) -> None:
    stored = store_as_orientation(DEEP, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    colour_png = encode_png(np.dstack([stored] * 3), 16, 2, eXIf=exif.tobytes()[6:])
    for content in (
        encode(stored, "PNG", orientation),
        encode(stored, "TIFF", orientation),
        encode_tiff(stored, orientation=orientation),
        encode_tiff(65535 - stored, orientation=orientation, photometric=0),
        encode_tiff(np.dstack([stored] * 3), orientation=orientation, photometric=2),
        colour_png,
    ):
        np.testing.assert_array_equal(decode(content).pixels, DEEP)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_of_jpeg(orientation: int) -> None:
    stored = store_as_orientation(GREY, orientation)
    pixels = decode(encode(stored, "JPEG", orientation, quality=100)).pixels
    assert np.abs(pixels.astype(int) - GREY).max() <= 6


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_is_near(mode: str) -> None:
    pixels = decode(encode(as_mode(GREY, mode), "JPEG", quality=100, subsampling=0)).pixels
    assert pixels.shape == GREY.shape
    assert np.abs(pixels.astype(int) - GREY).max() <= 6


def test_one_bit_images_are_black_and_white() -> None:
    bitmap = as_mode(GREY, "L").point(lambda level: 255 * (level > 127)).convert("1", dither=Image.Dither.NONE)
    for image_format in ("PNG", "TIFF", "BMP"):
        np.testing.assert_array_equal(decode(encode(bitmap, image_format)).pixels, np.where(GREY > 127, 255, 0))


def test_colour_becomes_luma_at_both_depths() -> None:
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    luma = np.rint(colour @ [0.299, 0.587, 0.114])
    assert np.abs(decode(encode(Image.fromarray(colour), "PNG")).pixels - luma).max() <= 1
    deep = decode(encode_png(colour.astype(np.uint16) * 257, 16, 2)).pixels
    assert np.abs(deep / 257 - luma).max() <= 1


def test_transparent_pixels_are_black_at_both_depths() -> None:
    alpha = np.where(np.arange(50) < 10, 0, 255).astype(np.uint8) * np.ones((60, 1), np.uint8)
    wanted = np.where(alpha == 0, 0, GREY)
    for content in (
        encode(Image.fromarray(np.dstack([GREY, GREY, GREY, alpha])), "PNG"),
        encode(Image.fromarray(np.dstack([GREY, alpha])), "PNG"),
        encode(Image.fromarray(np.dstack([GREY, GREY, GREY, alpha])), "WEBP", exact=True),
    ):
        np.testing.assert_array_equal(decode(content).pixels, wanted)
    deep = encode_png(np.dstack([DEEP, DEEP, DEEP, alpha.astype(np.uint16) * 257]), 16, 6)
    np.testing.assert_array_equal(decode(deep).pixels, wanted.astype(np.uint16) * 257)


def test_a_transparent_grey_value_is_black_in_every_png() -> None:
    level = int(GREY[0, 0])
    wanted = np.where(level == GREY, 0, GREY)
    two = level.to_bytes(2, "big")
    np.testing.assert_array_equal(decode(encode_png(GREY, 8, 0, tRNS=two)).pixels, wanted)
    np.testing.assert_array_equal(decode(encode_png(np.dstack([GREY] * 3), 8, 2, tRNS=two * 3)).pixels, wanted)
    deep = (level * 257).to_bytes(2, "big")
    wanted_deep = wanted.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(encode_png(DEEP, 16, 0, tRNS=deep)).pixels, wanted_deep)
    np.testing.assert_array_equal(decode(encode_png(np.dstack([DEEP] * 3), 16, 2, tRNS=deep * 3)).pixels, wanted_deep)


def test_float_tiff_keeps_its_values_and_polarity() -> None:
    unit = GREY.astype(np.float32) / 255
    np.testing.assert_array_equal(decode(encode_tiff(unit)).pixels, unit)
    inverted = decode(encode_tiff(1 - unit, photometric=0))
    np.testing.assert_allclose(inverted.pixels, unit, atol=1e-6)
    assert inverted.pixels.dtype == np.float32


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        (np.nan, "not-finite", "NaN or infinite"),
        (np.inf, "not-finite", "NaN or infinite"),
        (-np.inf, "not-finite", "NaN or infinite"),
        (-0.5, "no-display-range", "from -0.5 to 1"),
        (70_000, "no-display-range", "to 70000"),
    ],
)
def test_float_tiff_that_cannot_be_shown(value: float, code: str, says: str) -> None:
    unit = GREY.astype(np.float32) / 255
    unit[7, 7] = value
    error = refusal(encode_tiff(unit))
    assert error.code == code
    assert says in str(error)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "WEBP", "JPEG"])
@pytest.mark.parametrize("level", [0, 90, 255])
def test_constant_image(image_format: str, level: int) -> None:
    error = refusal(encode(Image.new("L", (64, 64), level), image_format))
    assert error.code == "constant-image"
    assert f"({level})" in str(error)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
def test_several_frames_or_pages(image_format: str) -> None:
    error = refusal(encode_frames(image_format))
    assert error.code == "animated"
    assert "2 frames or pages" in str(error)


def test_unknown_layouts() -> None:
    for content in (encode_tiff(GREY.astype(np.float64)), encode(as_mode(GREY, "RGB").convert("LAB"), "TIFF")):
        error = refusal(content)
        assert error.code == "unsupported-format"
        assert "pixel layout" in str(error)
        assert "grey PNG" in str(error)


@pytest.mark.parametrize("size", [(31, 200), (200, 31), (2, 2)])
def test_thumbnails_are_refused(size: tuple[int, int]) -> None:
    error = refusal(encode(Image.fromarray(make_grey(size=size)), "PNG"))
    assert error.code == "too-small"
    assert f"{size[1]} × {size[0]}" in str(error)


BOMBS = {
    "PNG claim": lambda: claimed_png(60_000, 60_000),
    "PNG wide": lambda: claimed_png(60_000, 100),
    "PNG area": lambda: claimed_png(16_000, 4_001),
    "PNG with rows": wide_png,
    "WebP": lambda: _claimed_webp(16_383, 16_383),
    "WebP area": lambda: _claimed_webp(9_000, 9_000),
    "BMP": lambda: _patched(encode(GREY, "BMP"), 18, (60_000).to_bytes(4, "little") * 2),
    "TIFF": lambda: encode_tiff(np.broadcast_to(GREY[:1, :1], (40, 20_000))),
    "JPEG": lambda: _claimed_jpeg(60_000),
}


def _patched(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def _claimed_jpeg(side: int) -> bytes:
    content = encode(GREY, "JPEG")
    return _patched(content, content.index(b"\xff\xc0") + 5, side.to_bytes(2, "big") * 2)


def _claimed_webp(width: int, height: int) -> bytes:
    """A lossless WebP whose header claims another size: 14 bits each after the signature 0x2F."""
    content = encode(as_mode(GREY, "RGB"), "WEBP")
    place = content.index(b"VP8L") + 9
    packed = int.from_bytes(content[place : place + 4], "little") & ~(2**28 - 1)
    return _patched(content, place, (packed | (width - 1) | (height - 1) << 14).to_bytes(4, "little"))


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_memory_is_taken(name: str) -> None:
    content = BOMBS[name]()
    assert len(content) < 4_000_000
    before = _resident_bytes()
    tracemalloc.start()
    try:
        error = refusal(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.code == "too-large"
    assert "64 million" in str(error)
    assert peak < len(content) + 2_000_000
    # Where a training ran before in this process, the C library grows its heap 64 MiB at a time.
    assert _resident_bytes() - before < 100_000_000


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")


SMALL = make_grey(5, (36, 34))
SMALL_DEEP = make_grey(5, (36, 34), 16)
BREAKABLE = {
    "PNG": encode(SMALL, "PNG", 6),
    "PNG palette": encode(as_mode(SMALL, "P"), "PNG"),
    "PNG 16": encode(SMALL_DEEP, "PNG"),
    "PNG RGB 16": encode_deep_colour(SMALL_DEEP, "PNG", 3),
    "APNG": encode_frames("PNG"),
    "JPEG": encode(SMALL, "JPEG", 6),
    "JPEG progressive": encode(as_mode(SMALL, "RGB"), "JPEG", progressive=True),
    "TIFF": encode(SMALL, "TIFF", 6),
    "TIFF by hand": encode_tiff(SMALL),
    "TIFF deflate": encode(SMALL, "TIFF", compression="tiff_deflate"),
    "TIFF LZW": encode(as_mode(SMALL, "RGB"), "TIFF", compression="tiff_lzw"),
    "TIFF JPEG": encode(SMALL, "TIFF", compression="jpeg"),
    "TIFF RGB 16": encode_deep_colour(SMALL_DEEP, "TIFF", 3),
    "TIFF float": encode(SMALL / np.float32(255), "TIFF"),
    "BMP": encode(SMALL, "BMP"),
    "WebP": encode(as_mode(SMALL, "RGB"), "WEBP", 6),
    "WebP lossy": encode(as_mode(SMALL, "RGB"), "WEBP", lossless=False),
}


@pytest.mark.parametrize("name", BREAKABLE)
def test_a_file_cut_anywhere_is_refused_or_whole(name: str) -> None:
    content = BREAKABLE[name]
    whole = None if name == "APNG" else decode(content).pixels
    codes = set()
    # Every cut near the ends, where headers and trailers stand, and a prime step through the pixels.
    for cut in sorted({*range(1, 150), *range(150, len(content), 37), *range(len(content) - 60, len(content))}):
        try:
            pixels = decode(content[:cut]).pixels
        except InputError as error:
            codes.add(error.code)
            assert "\n" not in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(pixels, whole, err_msg=f"cut at {cut} of {len(content)}")
    assert codes <= {"truncated", "unreadable-file", "unsupported-format", "animated"}
    assert codes & {"truncated", "unreadable-file"}


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
def test_a_file_cut_in_its_pixels_is_called_truncated(image_format: str) -> None:
    content = encode(make_grey(1, (200, 200)), image_format)
    error = refusal(content[: len(content) // 2])
    assert error.code == "truncated"
    assert "ends before its image does" in str(error)


@settings(deadline=None, database=None, max_examples=sampled(400), derandomize=True)
@given(st.sampled_from(sorted(BREAKABLE)), st.integers(0, 2**32 - 1))
def test_mutated_files_raise_nothing_but_input_errors(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(BREAKABLE[name])
    for _ in range(rng.integers(1, 8)):
        near_the_start = rng.random() < 0.7
        place = rng.integers(0, min(200, len(content)) if near_the_start else len(content))
        content[place] = rng.integers(0, 256)
    try:
        radiograph = decode(bytes(content))
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert radiograph.pixels.ndim == 2
        assert 0 <= radiograph.pixels.min() < radiograph.pixels.max() <= radiograph.white


@settings(deadline=None, database=None, max_examples=sampled(200), derandomize=True)
@given(st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "WebP"]), st.binary(max_size=300))
def test_noise_after_a_signature_is_refused(image_format: Any, noise: Any) -> None:
    begin = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "TIFF": b"II*\0", "BMP": b"BM"}
    content = begin.get(image_format, b"RIFF\x40\0\0\0WEBP") + noise
    assert sniff_format(content) == image_format
    assert refusal(content).code in {"unreadable-file", "truncated", "too-large", "too-small", "unsupported-format"}


def test_damaged_files_print_nothing_and_leave_the_warnings_as_they_were(capfd: pytest.CaptureFixture[str]) -> None:
    too_many_entries = _patched(encode(SMALL, "TIFF"), 0, b"II*\0")
    cut = [BREAKABLE["TIFF RGB 16"][:-20], BREAKABLE["TIFF"][:60], BREAKABLE["PNG RGB 16"][:-9], too_many_entries]
    cut.append(encode_deep_colour(SMALL_DEEP, "TIFF", 4))  # whole, but OpenCV has its doubts about the fourth channel
    filters = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(_decode_or_refuse, cut * 20))
    assert warnings.filters == filters
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for content in cut:
            _decode_or_refuse(content)
        assert not caught
        warnings.warn("other warnings still come through", stacklevel=1)
        assert len(caught) == 1
    assert capfd.readouterr().err == ""


def _decode_or_refuse(content: bytes) -> None:
    with suppress(InputError):
        decode(content)


def test_odd_side_chunks_of_a_deep_colour_png_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    colour = np.dstack([DEEP] * 3)
    for chunk in ({"gAMA": b"\0"}, {"sBIT": b"\xff"}, {"iCCP": b"x\0\0nonsense"}, {"cHRM": bytes(32)}):
        _decode_or_refuse(encode_png(colour, 16, 2, **chunk))
    np.testing.assert_array_equal(decode(encode_png(colour, 16, 2, tEXt=b"a\0b")).pixels, DEEP)
    assert capfd.readouterr().err == ""


def test_pillow_is_asked_for_listed_formats_only() -> None:
    stream = io.BytesIO()
    as_mode(GREY, "RGB").save(stream, "PPM")
    with pytest.raises(InputError, match=r"this is a PPM file\. Carina reads DICOM, PNG"):
        decode(stream.getvalue())
