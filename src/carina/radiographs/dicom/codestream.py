"""What compressed pixels say of themselves, read from their headers before a decoder may allocate anything for it.

Source: ITU-T T.81 Annex B (JPEG), T.87 Annex C (JPEG-LS), T.800 Annex A and I (JPEG 2000), PS3.5 Annex G (RLE).
"""

import struct
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

from carina.errors import InputError
from carina.radiographs.dicom.limits import MAX_TILES

Process = Literal["baseline", "extended", "lossless", "JPEG-LS", "JPEG 2000"]

_RLE_HEADER = 64
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN, _END_OF_IMAGE, _JPEG_LS_PRESETS = 0xDA, 0xD9, 0xF8
# Sequential and progressive Huffman; arithmetic coding and hierarchies are not used in DICOM.
_FRAMES: dict[int, Process] = {0xC0: "baseline", 0xC1: "extended", 0xC2: "extended", 0xC3: "lossless", 0xF7: "JPEG-LS"}
_BITS = MappingProxyType(
    {"baseline": (8,), "extended": (8, 12), "lossless": range(2, 17), "JPEG-LS": range(2, 17)},
)
_OTHER_FRAMES = frozenset({0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_OVERSIZE = 4
_JP2_BEGINNING = b"\0\0\0\x0cjP  \r\n\x87\n"


@dataclass(frozen=True, slots=True)
class Codestream:
    """What a codestream says.

    Attributes
    ----------
    process
        How it is coded.
    width, height
        In pixels.
    components
        1 for grey, 3 for colour.
    bits
        Of a value.
    """

    process: Process
    width: int
    height: int
    components: int
    bits: int


def read_jpeg(content: bytes) -> Codestream:
    """Return what a JPEG or JPEG-LS codestream says.

    Raises
    ------
    InputError
        If there is no such codestream, or it is coded as DICOM does not allow.
    """
    if content[:2] != b"\xff\xd8":
        raise _damaged("JPEG")
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            raise _damaged("JPEG")
        marker = content[position + 1]
        if marker == 0xFF or marker in _STANDALONE_MARKERS:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            break
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        segment = content[position + 4 : position + 2 + length]
        if length < 2 or len(segment) != length - 2:
            raise _truncated("JPEG")
        if marker in _FRAMES:
            return _jpeg_frame(_FRAMES[marker], segment)
        if marker in _OTHER_FRAMES:
            raise InputError(
                "its pixels are JPEG of an arithmetic or hierarchical process. Export them uncompressed.",
                "unsupported-format",
            )
        position += 2 + length
    raise _damaged("JPEG")


def _jpeg_frame(process: Process, segment: bytes) -> Codestream:
    if len(segment) < 6:
        raise _truncated("JPEG")
    bits, height, width, components = struct.unpack_from(">BHHB", segment)
    # A height of zero would be told after the first scan, when it is too late to refuse it.
    if not height or not width or not components or len(segment) < 6 + 3 * components or bits not in _BITS[process]:
        raise _damaged("JPEG")
    return Codestream(process, width, height, components, bits)


def require_no_oversize(content: bytes) -> None:
    """Refuse a JPEG-LS codestream that gives its size a second time, in a segment that overrides the first.

    Raises
    ------
    InputError
        If it does.
    """
    position = content.find(b"\xff\xf8")
    while position != -1:
        if content[position + 4 : position + 5] == bytes([_OVERSIZE]):
            raise _damaged("JPEG-LS")
        position = content.find(b"\xff\xf8", position + 1)


def read_jpeg_2000(content: bytes) -> Codestream:
    """Return what a JPEG 2000 codestream says, with or without the boxes of a JP2 file around it.

    Raises
    ------
    InputError
        If there is none, or its components are sampled or its tiles cut as no radiograph is.
    """
    start = _codestream_in_boxes(content) if content[:12] == _JP2_BEGINNING else 0
    if content[start : start + 4] != b"\xff\x4f\xff\x51":
        raise _damaged("JPEG 2000")
    try:
        size, _, right, lower, left, upper, tile_width, tile_height, tile_left, tile_upper, components = (
            struct.unpack_from(">HHIIIIIIIIH", content, start + 4)
        )
        parts = [struct.unpack_from("BBB", content, start + 42 + 3 * place) for place in range(min(components, 4))]
    except struct.error:
        raise _truncated("JPEG 2000") from None
    width, height = right - left, lower - upper
    if (
        size != 38 + 3 * components
        or min(width, height) <= 0
        or not (tile_width and tile_height)
        or tile_left > left
        or tile_upper > upper
        or components not in (1, 3)
        or any((depth & 0x7F) >= 16 for depth, _, _ in parts)
        or any((across, down) != (1, 1) for _, across, down in parts)
    ):
        raise _damaged("JPEG 2000")
    tiles = -(-(right - tile_left) // tile_width) * -(-(lower - tile_upper) // tile_height)
    if tiles > MAX_TILES:
        msg = f"its JPEG 2000 pixels claim {tiles:,} tiles; at most {MAX_TILES:,} are read. Export them uncompressed."
        raise InputError(msg, "too-large")
    return Codestream("JPEG 2000", width, height, components, max(depth & 0x7F for depth, _, _ in parts) + 1)


def _codestream_in_boxes(content: bytes) -> int:
    """Return where the codestream of a JP2 file begins. Source: ITU-T T.800 I.4."""
    position = 0
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        header = 8
        if length == 1 and position + 16 <= len(content):
            (length,) = struct.unpack_from(">Q", content, position + 8)
            header = 16
        if kind == b"jp2c":
            return position + header
        if length < header:
            break
        position += length
    raise _damaged("JPEG 2000")


def read_rle_segments(content: memoryview, count: int) -> list[memoryview]:
    """Return the segments of RLE pixels: one for each byte of each sample, the highest byte first.

    Raises
    ------
    InputError
        If the table of segments does not say `count`, or its offsets lie outside or run backwards.
    """
    if len(content) < _RLE_HEADER:
        raise _truncated("RLE")
    said, *offsets = struct.unpack_from("<16I", content)
    if said != count or count > 15:
        raise _damaged("RLE")
    edges = [*offsets[:count], len(content)]
    if edges[0] < _RLE_HEADER or any(start > end for start, end in pairwise(edges)):
        raise _damaged("RLE")
    return [content[start:end] for start, end in pairwise(edges)]


def _damaged(coding: str) -> InputError:
    msg = f"its {coding} pixels are damaged and cannot be decoded. Copy the file again from where it came from."
    return InputError(msg, "unreadable-file")


def _truncated(coding: str) -> InputError:
    return InputError(
        f"its {coding} pixels end before the image does. Copy the file again from where it came from.", "truncated"
    )
