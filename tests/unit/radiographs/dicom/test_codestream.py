"""What a codestream claims is read before anything is decoded, and what no radiograph is, is refused."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from carina.errors import InputError
from carina.radiographs.dicom.codestream import (
    Codestream,
    read_jpeg,
    read_jpeg_2000,
    read_rle_segments,
    require_whole_jpeg_ls,
)
from make import make_grey
from make_dicom import (
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    encode_frame,
)

GREY, DEEP = make_grey(1, (60, 50)), make_grey(1, (60, 50), 12)
COLOUR = np.stack([GREY] * 3, axis=-1)


def refusal(reader: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        reader(*arguments)
    return caught.value.code


@pytest.mark.parametrize(
    ("pixels", "syntax", "said"),
    [
        (GREY, JPEG_BASELINE, Codestream("baseline", 50, 60, 1, 8)),
        (COLOUR, JPEG_BASELINE, Codestream("baseline", 50, 60, 3, 8, "YCbCr")),
        (GREY, JPEG_LOSSLESS, Codestream("lossless", 50, 60, 1, 8)),
        (GREY, JPEG_LS, Codestream("JPEG-LS", 50, 60, 1, 8)),
        (DEEP, JPEG_LS, Codestream("JPEG-LS", 50, 60, 1, 12)),
    ],
)
def test_jpeg(pixels: NDArray[Any], syntax: str, said: Codestream) -> None:
    frame = encode_frame(pixels, syntax, 12 if pixels is DEEP else None)
    assert read_jpeg(frame) == said
    # Bytes that fill up before a marker are allowed.
    assert read_jpeg(frame[:2] + b"\xff\xff" + frame[2:]) == said


def jpeg(
    marker: int = 0xC0, bits: int = 8, height: int = 60, width: int = 50, components: int = 1, length: Any = None
) -> Any:
    segment = struct.pack(">BHHB", bits, height, width, components) + bytes(3 * components)
    head = struct.pack(">BBH", 0xFF, marker, len(segment) + 2 if length is None else length)
    return b"\xff\xd8" + head + segment + b"\xff\xd9"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unreadable-file"),
        (b"\xff\xd8", "unreadable-file"),
        (b"\xff\xd8\xff\xd9\0\0", "unreadable-file"),
        (b"\xff\xd8\x00\xe0\0\x02", "unreadable-file"),
        (b"\xff\xd8\xff\xda\0\x02", "unreadable-file"),
        (jpeg(height=0), "unreadable-file"),
        (jpeg(width=0), "unreadable-file"),
        (jpeg(components=0), "unreadable-file"),
        (jpeg(bits=12), "unreadable-file"),
        (jpeg(0xC1, bits=16), "unreadable-file"),
        (jpeg(0xC3, bits=17), "unreadable-file"),
        (jpeg(length=0), "truncated"),
        (jpeg(length=500), "truncated"),
        (jpeg(length=6), "truncated"),
        (jpeg(0xC9), "unsupported-format"),
        (jpeg(0xC5), "unsupported-format"),
    ],
)
def test_jpeg_that_is_none_or_none_of_ours(content: bytes, code: str) -> None:
    assert refusal(read_jpeg, content) == code


def test_a_size_that_overrides_another_is_refused() -> None:
    frame = encode_frame(GREY, JPEG_LS)
    require_whole_jpeg_ls(frame)
    require_whole_jpeg_ls(frame[:2] + b"\xff\xf8\0\x0d\x01" + bytes(10) + frame[2:])
    overridden = frame[:2] + b"\xff\xf8\0\x08\x04\x02" + bytes(4) + frame[2:]
    assert refusal(require_whole_jpeg_ls, overridden) == "unreadable-file"


def test_jpeg_ls_without_an_end_is_refused_before_it_is_decoded() -> None:
    """Its decoder would take ten seconds for the same, and reads what has an end with padding behind it."""
    frame = encode_frame(DEEP, JPEG_LS, 12).rstrip(b"\0")
    assert frame.endswith(b"\xff\xd9")
    for padding in (b"", b"\0", b"\0\0", b"\xff"):
        require_whole_jpeg_ls(frame + padding)
    for cut in (frame[:-2], frame[:-1], frame[:-12], frame[: len(frame) // 2], frame[:-2] + b"\0\0"):
        assert refusal(require_whole_jpeg_ls, cut) == "truncated"


@pytest.mark.parametrize(("pixels", "bits"), [(GREY, 8), (DEEP, 12), (COLOUR, 8), (DEEP.astype(np.int16), 13)])
def test_jpeg_2000(pixels: NDArray[Any], bits: int) -> None:
    said = read_jpeg_2000(encode_frame(pixels, JPEG_2000_LOSSLESS, bits))
    colours = (3, bits, "RGB", True) if pixels.ndim == 3 else (1, bits, None, False)
    assert said == Codestream("JPEG 2000", 50, 60, *colours, signed=pixels.dtype.kind == "i")


def siz(
    size: int = 41,
    right: int = 50,
    lower: int = 60,
    left: int = 0,
    upper: int = 0,
    tile: tuple[int, int, int, int] = (50, 60, 0, 0),
    parts: Any = ((7, 1, 1),),
) -> bytes:
    marker = struct.pack(">HHHIIIIIIIIH", 0xFF51, size, 0, right, lower, left, upper, *tile, len(parts))
    return b"\xff\x4f" + marker + b"".join(bytes(part) for part in parts)


def box(kind: bytes, content: bytes, long: bool = False) -> bytes:
    head = struct.pack(">I4sQ", 1, kind, len(content) + 16) if long else struct.pack(">I4s", len(content) + 8, kind)
    return head + content


@pytest.mark.parametrize("long", [False, True])
def test_the_boxes_of_a_file_around_it(long: bool) -> None:
    start = b"\0\0\0\x0cjP  \r\n\x87\n"
    # A second header in a box that is none is not taken for the one.
    boxes = box(b"free", siz(right=30_000)) + box(b"jp2c", siz(), long)
    assert read_jpeg_2000(start + boxes) == Codestream("JPEG 2000", 50, 60, 1, 8, signed=False)
    assert refusal(read_jpeg_2000, start + box(b"free", siz())) == "unreadable-file"
    assert refusal(read_jpeg_2000, start + struct.pack(">I4s", 3, b"free") + bytes(40)) == "unreadable-file"


def test_jpeg_2000_says_the_size_that_it_would_take() -> None:
    assert read_jpeg_2000(siz(right=30_000, lower=30_000, tile=(30_000, 30_000, 0, 0))).width == 30_000
    assert read_jpeg_2000(siz(left=10, upper=20)) == Codestream("JPEG 2000", 40, 40, 1, 8, signed=False)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unreadable-file"),
        (siz()[:30], "truncated"),
        (siz()[:-1], "truncated"),
        (siz(right=0), "unreadable-file"),
        (siz(left=60), "unreadable-file"),
        (siz(tile=(0, 60, 0, 0)), "unreadable-file"),
        (siz(tile=(50, 60, 5, 0)), "unreadable-file"),
        (siz(size=44), "unreadable-file"),
        (siz(44, parts=((7, 1, 1),) * 2), "unreadable-file"),
        (siz(47, parts=((7, 1, 1), (7, 2, 1), (7, 1, 1))), "unreadable-file"),
        (siz(parts=((30, 1, 1),)), "unreadable-file"),
        (siz(tile=(1, 1, 0, 0), right=200), "too-large"),
    ],
)
def test_jpeg_2000_that_is_none_or_none_of_ours(content: bytes, code: str) -> None:
    assert refusal(read_jpeg_2000, content) == code


def test_rle_segments() -> None:
    frame = memoryview(encode_frame(DEEP, RLE))
    first, second = read_rle_segments(frame, 2)
    assert 64 + len(first) + len(second) == len(frame)
    assert refusal(read_rle_segments, frame, 1) == "unreadable-file"
    assert refusal(read_rle_segments, frame[:63], 2) == "truncated"


@pytest.mark.parametrize(
    "header",
    [
        (2, 64, 0xFFFFFFFF),
        (2, 63, 70),
        (2, 70, 65),
        (2, 0xFFFFFFF0, 0xFFFFFFF8),
        (0, 64, 64),
        (15, 64, 70),
        (99, 64, 70),
    ],
)
def test_rle_offsets_that_lie(header: tuple[int, int, int]) -> None:
    frame = struct.pack("<16I", *header, *[0] * 13) + bytes(40)
    assert refusal(read_rle_segments, memoryview(frame), header[0] if header[0] > 15 else 2) == "unreadable-file"
