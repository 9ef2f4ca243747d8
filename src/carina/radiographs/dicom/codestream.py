"""What compressed pixels say of themselves, read from their headers before a decoder may allocate anything for it.

Source: ITU-T T.81 Annex B (JPEG), T.87 Annex C (JPEG-LS), T.800 Annex A and I (JPEG 2000), PS3.5 Annex G (RLE).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

from carina.errors import InputError
from carina.radiographs.dicom.limits import MAX_TILES

Colour = Literal["RGB", "YCbCr"]
Process = Literal["baseline", "extended", "lossless", "JPEG-LS", "JPEG 2000"]

# As errors call them.
_JPEG, _JPEG_LS, _JPEG_2000, _RLE = "JPEG", "JPEG-LS", "JPEG 2000", "RLE"
_RLE_HEADER = 64
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN, _END_OF_IMAGE, _JPEG_LS_PRESETS = 0xDA, 0xD9, 0xF8
# Sequential and progressive Huffman; arithmetic coding and hierarchies are not used in DICOM.
_FRAMES: dict[int, Process] = {0xC0: "baseline", 0xC1: "extended", 0xC2: "extended", 0xC3: "lossless", 0xF7: "JPEG-LS"}
_BITS = MappingProxyType({"baseline": (8,), "extended": (8, 12), "lossless": range(2, 17), "JPEG-LS": range(2, 17)})
_OTHER_FRAMES = frozenset({0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_OVERSIZE = 4
_JFIF, _APP8, _ADOBE = 0xE0, 0xE8, 0xEE
_IDS_OF_RGB = (82, 71, 66)
# Source: ISO/IEC 10918-3 (SPIFF) F.2.1.1.
_SPIFF_COLOURS: dict[int, Colour] = {1: "YCbCr", 3: "YCbCr", 4: "YCbCr", 10: "RGB"}
_CODING_STYLE, _START_OF_TILE, _END = 0xFF52, 0xFF90, b"\xff\xd9"
# Source: ITU-T T.800 I.5.3.3.
_JP2_COLOURS: dict[int, Colour] = {16: "RGB", 18: "YCbCr"}
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
    components, bits
        1 for grey, 3 for colour; and the bits of a value.
    colour
        What the three components are once they are decoded; none where the codestream does not say, or says both.
    transformed
        Whether RGB was transformed by JPEG 2000's own transform, which its decoder undoes.
    signed
        Whether values have a sign; none where codestreams of this kind do not say.
    halvings
        How many times the image can be decoded at half of its height and width instead: 0 where it cannot.
    """

    process: Process
    width: int
    height: int
    components: int
    bits: int
    colour: Colour | None = None
    transformed: bool = False
    signed: bool | None = None
    halvings: int = field(default=0, compare=False)


def read_jpeg(content: bytes) -> Codestream:
    """Return what a JPEG or JPEG-LS codestream says.

    Raises
    ------
    InputError
        If there is no such codestream, or it is coded as DICOM does not allow.
    """
    frame: tuple[Process, bytes] | None = None
    words: dict[int, Colour] = {}
    try:
        for marker, segment in _jpeg_segments(content):
            if marker in _FRAMES and frame is None:
                frame = _FRAMES[marker], segment
            elif marker in _OTHER_FRAMES:
                msg = "its pixels are JPEG of an arithmetic or hierarchical process. Export them uncompressed."
                raise InputError(msg, "unsupported-format")
            elif word := _colour_in(marker, segment):
                words[marker] = word
    except InputError:
        # Behind its frame a damaged codestream is for its decoder to refuse.
        if frame is None:
            raise
    if frame is None:
        raise damaged_pixels(_JPEG)
    process, segment = frame
    # JFIF and Adobe speak of JPEG alone: JPEG-LS of RGB may follow a head of theirs.
    said = {word for marker, word in words.items() if marker == _APP8 or process != "JPEG-LS"}
    return _jpeg_frame(process, segment, said)


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of each segment before the first scan."""
    if content[:2] != b"\xff\xd8":
        raise damaged_pixels(_JPEG)
    position = 2
    while position + 4 <= len(content):
        if content[position] != 0xFF:
            raise damaged_pixels(_JPEG)
        marker = content[position + 1]
        if marker == 0xFF or marker in _STANDALONE_MARKERS:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        segment = content[position + 4 : position + 2 + length]
        if length < 2 or len(segment) != length - 2:
            raise _truncated(_JPEG)
        yield marker, segment
        position += 2 + length


def _colour_in(marker: int, segment: bytes) -> Colour | None:
    """Return what application data say of three components, if anything.

    Source: ITU-T T.871 (JFIF) 6, T.872 (Adobe's marker) 6.5.3, T.870 (SPIFF); HP's "mrfx" as JPEG-LS decoders read it,
    which undo its transforms of RGB.
    """
    if marker == _JFIF and segment[:5] == b"JFIF\0":
        return "YCbCr"
    if marker == _ADOBE and segment[:5] == b"Adobe" and len(segment) >= 12:
        return "YCbCr" if segment[11] else "RGB"
    if marker == _APP8 and segment[:4] == b"mrfx" and len(segment) >= 5:
        return "RGB" if segment[4] else None
    if marker == _APP8 and segment[:6] == b"SPIFF\0" and len(segment) >= 19:
        return _SPIFF_COLOURS.get(segment[18])
    return None


def _jpeg_frame(process: Process, segment: bytes, words: set[Colour]) -> Codestream:
    if len(segment) < 6:
        raise _truncated(_JPEG)
    bits, height, width, components = struct.unpack_from(">BHHB", segment)
    # A height of zero would be told after the first scan, when it is too late to refuse it.
    if not height or not width or not components or len(segment) < 6 + 3 * components or bits not in _BITS[process]:
        raise damaged_pixels(_JPEG)
    parts = [(segment[place], segment[place + 1]) for place in range(6, 6 + 3 * components, 3)]
    if len({sampling for _, sampling in parts}) > 1:
        # Only chroma is stored with fewer values: nobody does that to a channel of RGB.
        words = words | {"YCbCr"}
    elif not words and process != "JPEG-LS" and tuple(name for name, _ in parts) == _IDS_OF_RGB:
        words = {"RGB"}
    colour = next(iter(words)) if components == 3 and len(words) == 1 else None
    return Codestream(process, width, height, components, bits, colour)


def require_whole_jpeg_ls(content: bytes) -> None:
    """Refuse a JPEG-LS codestream without an end, or one that gives its size a second time and overrides the first.

    Its decoder refuses what has no end, too; but of what was cut off it first takes ten seconds and more. Within a
    scan no two bytes can be taken for the end: after FF follows a bit of 0.

    Raises
    ------
    InputError
        If it is so.
    """
    if content.rfind(b"\xff\xd9") == -1:
        raise _truncated(_JPEG_LS)
    position = content.find(b"\xff\xf8")
    while position != -1:
        if content[position + 4 : position + 5] == bytes([_OVERSIZE]):
            raise damaged_pixels(_JPEG_LS)
        position = content.find(b"\xff\xf8", position + 1)


def read_jpeg_2000(content: bytes) -> Codestream:
    """Return what a JPEG 2000 codestream says, with or without the boxes of a JP2 file around it.

    Raises
    ------
    InputError
        If there is none, or its components are sampled or its tiles cut as no radiograph is.
    """
    start = read_jpeg_2000_start(content)
    if content[start : start + 4] != b"\xff\x4f\xff\x51":
        raise damaged_pixels(_JPEG_2000)
    try:
        size, _, right, lower, left, upper, tile_width, tile_height, tile_left, tile_upper, components = (
            struct.unpack_from(">HHIIIIIIIIH", content, start + 4)
        )
        parts = [struct.unpack_from("BBB", content, start + 42 + 3 * place) for place in range(min(components, 4))]
    except struct.error:
        raise _truncated(_JPEG_2000) from None
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
        # Components of different depths or signs, which no radiograph has.
        or len({depth for depth, _, _ in parts}) > 1
    ):
        raise damaged_pixels(_JPEG_2000)
    tiles = -(-(right - tile_left) // tile_width) * -(-(lower - tile_upper) // tile_height)
    if tiles > MAX_TILES:
        msg = f"its JPEG 2000 pixels claim {tiles:,} tiles; at most {MAX_TILES:,} are read. Export them uncompressed."
        raise InputError(msg, "too-large")
    is_mixed, levels = _coding_style(content, start + 2)
    boxed, transformed = _jp2_colour(content[:start]), components == 3 and is_mixed
    colour = None if components != 3 else "RGB" if transformed else boxed
    depth, is_signed = parts[0][0] & 0x7F, bool(parts[0][0] & 0x80)
    # The samples of a smaller image lie at every second place from the origin. One that ends without its end marker may
    # have lost what a smaller image does not need: only the whole one shows that.
    is_whole = content.rstrip(b"\0").endswith(_END)
    halvings = levels if components == 1 and not is_signed and is_whole and (left, upper) == (0, 0) else 0
    return Codestream("JPEG 2000", width, height, components, depth + 1, colour, transformed, is_signed, halvings)


def _coding_style(content: bytes, position: int) -> tuple[bool, int]:
    """Return whether RGB was transformed, and how often the image was halved.

    Source: ITU-T T.800 A.6.1 (COD: multiple component transformation, number of decomposition levels).
    """
    while position + 10 <= len(content):
        marker, length = struct.unpack_from(">HH", content, position)
        if marker == _CODING_STYLE:
            return content[position + 8] == 1, content[position + 9]
        if marker == _START_OF_TILE:
            break
        position += 2 + length
    return False, 0


def _jp2_colour(boxes: bytes) -> Colour | None:
    """Return what the boxes of a JP2 file before its codestream say of its colours."""
    if b"pclr" in boxes:
        msg = "its JPEG 2000 pixels are places in a palette of colours. Export it as grey image."
        raise InputError(msg, "unsupported-format")
    place = boxes.find(b"colr")
    # Method 1 is a colour space by its number.
    if place == -1 or boxes[place + 4 : place + 5] != b"\x01" or len(boxes) < place + 11:
        return None
    return _JP2_COLOURS.get(int.from_bytes(boxes[place + 7 : place + 11], "big"))


def read_jpeg_2000_start(content: bytes) -> int:
    """Return where a JPEG 2000 codestream begins: at once, or within the boxes of a JP2 file (ITU-T T.800 I.4).

    Raises
    ------
    InputError
        If there are boxes, and none in them.
    """
    if content[:12] != _JP2_BEGINNING:
        return 0
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
    raise damaged_pixels(_JPEG_2000)


def read_rle_segments(content: memoryview, count: int) -> list[memoryview]:
    """Return the segments of RLE pixels: one for each byte of each sample, the highest byte first.

    Raises
    ------
    InputError
        If the table of segments does not say `count`, or its offsets lie outside or run backwards.
    """
    if len(content) < _RLE_HEADER:
        raise _truncated(_RLE)
    said, *offsets = struct.unpack_from("<16I", content)
    if said != count or count > 15:
        raise damaged_pixels(_RLE)
    edges = [*offsets[:count], len(content)]
    if edges[0] < _RLE_HEADER or any(start > end for start, end in pairwise(edges)):
        raise damaged_pixels(_RLE)
    return [content[start:end] for start, end in pairwise(edges)]


def damaged_pixels(coding: str) -> InputError:
    """Return the error that compressed pixels cannot be decoded."""
    msg = f"its {coding} pixels are damaged and cannot be decoded. Copy the file again from where it came from."
    return InputError(msg, "unreadable-file")


def _truncated(coding: str) -> InputError:
    return InputError(
        f"its {coding} pixels end before the image does. Copy the file again from where it came from.", "truncated"
    )
