"""Pixel data become the patterns of bits that were stored: one unsigned integer a pixel, not yet a grey value."""

from dataclasses import dataclass, replace

import numpy as np

from carina.errors import InputError
from carina.radiographs.dicom.attributes import Layout
from carina.radiographs.dicom.codecs import Patterns, decode_codestream, decode_halved
from carina.radiographs.dicom.codestream import (
    Codestream,
    Colour,
    read_jpeg,
    read_jpeg_2000,
    read_rle_segments,
    require_whole_jpeg_ls,
)
from carina.radiographs.dicom.outline import Element, Encoding, read_fragments
from carina.radiographs.dicom.syntaxes import Coding
from carina.radiographs.doubts import Doubt
from carina.radiographs.radiograph import GREY_TOLERANCE

# Of JPEG and JPEG-LS, JPEG 2000, and JPEG 2000 in the boxes of a file: where a codestream begins.
_RLE_FIRST_OFFSET = (64).to_bytes(4, "little")
_BEGINNINGS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP")


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """The pixels as they were stored.

    Attributes
    ----------
    patterns
        uint8 or uint16 ``(height, width)``; of colour its luma.
    bits, shift
        How many bits of a pattern are its value, and how many below them are not.
    signed
        Whether a value has a sign, its highest bit.
    doubts
        Where the pixels say something else of themselves than the header.
    reduced
        How many of the image's rows one row of `patterns` has.
    """

    patterns: Patterns
    bits: int
    shift: int
    signed: bool
    doubts: frozenset[Doubt] = frozenset()
    reduced: int = 1


def read_stored(
    content: memoryview, pixels: Element, layout: Layout, coding: Coding, encoding: Encoding, *, enough: int = 0
) -> Stored:
    """Return the pixels of a file's only image.

    Parameters
    ----------
    content, pixels
        The file, or what it inflates to, and where they are in it.
    layout, coding
        How they are stored, and compressed, if at all.
    encoding
        Of the data set, whose order of bytes uncompressed pixels have.
    enough
        Pixels of the shorter side that are enough: JPEG 2000 is then decoded at the lowest of its resolutions that has
        as many. 0 for all pixels.

    Raises
    ------
    InputError
        If they are cut off or damaged, are more than one image, or say something else of themselves than the data set.
    """
    if coding in ("native", "deflated"):
        samples, doubts = read_native(content, pixels, layout, encoding)
    elif pixels.length is not None:
        msg = "its transfer syntax is a compressed one, and its pixels are not in fragments. Export it again."
        raise InputError(msg, "unreadable-file")
    else:
        frame = only_frame(read_fragments(content, pixels))
        if coding == "RLE":
            samples, doubts = read_run_lengths(frame, layout)
        else:
            return _decoded(bytes(frame), layout, coding, enough)
    shift = layout.high - layout.stored + 1
    if layout.samples == 1:
        if _has_other_bits(samples, layout):
            doubts |= {"unused bits"}
        return Stored(samples, layout.stored, shift, layout.signed, doubts)
    if layout.photometric in ("YBR_ICT", "YBR_RCT"):
        msg = "its PhotometricInterpretation is one of JPEG 2000, which its pixels are not. Export it as grey image."
        raise InputError(msg, "unreadable-file")
    is_rgb = layout.photometric == "RGB"
    doubts |= _of_colours(samples, layout.stored, is_rgb=is_rgb)
    return Stored(_grey_of_colour(samples, is_rgb=is_rgb), layout.stored, shift, layout.signed, doubts)


def read_native(
    content: memoryview, pixels: Element, layout: Layout, encoding: Encoding
) -> tuple[Patterns, frozenset[Doubt]]:
    """Return uncompressed pixels: uint8 or uint16 ``(height, width)``, of colour ``(height, width, 3)``.

    Also: whether padding follows them, beyond the one byte that makes their number even, and whether their colours
    are stored otherwise than the header says.

    Raises
    ------
    InputError
        If they are cut off, enough for several images, or longer than the header says and the rest is no padding.
    """
    if pixels.length is None:
        msg = "its transfer syntax is an uncompressed one, and its pixels are in fragments. Export it again."
        raise InputError(msg, "unreadable-file")
    there = min(pixels.length, len(content) - pixels.start)
    whole = layout.rows * layout.columns * layout.samples * layout.allocated // 8
    # Two pixels share their colours. Some writers say so of pixels that each have their own.
    halved = layout.photometric == "YBR_FULL_422" and there not in (whole, whole + 1)
    values = layout.rows * layout.columns * (2 if halved else layout.samples)
    needed = values * layout.allocated // 8
    size = f"{needed:,} bytes ({layout.columns:,} × {layout.rows:,})"
    if there < needed:
        msg = (
            f"its pixels should take {size}, and {there:,} are there: it is cut off, or its Rows or Columns are wrong. "
            "Copy or export it again."
        )
        raise InputError(msg, "truncated")
    too_long = InputError(
        f"its header says one image of {size}, and {there:,} are there: its Rows or Columns are wrong"
        f"{', or it holds several images' if there >= 2 * needed else ''}. Export the one radiograph again.",
        "unreadable-file",
    )
    if there >= 2 * needed:
        raise too_long
    behind = bytes(content[pixels.start + needed : pixels.start + there])
    shortest = needed // max(layout.rows, layout.columns)
    if len(behind) >= shortest and behind.count(behind[:1]) < len(behind):
        # As many as a row or a column has, and no padding.
        raise too_long
    if halved and layout.columns % 2:
        msg = "its pixels are YBR_FULL_422, which needs an even number of columns. Export it again."
        raise InputError(msg, "unreadable-file")
    raw = content[pixels.start : pixels.start + needed + needed % 2]
    doubts: set[Doubt] = {"longer pixels"} if len(behind) > 1 else set()
    doubts |= {"colour"} if layout.photometric == "YBR_FULL_422" and not halved else set()
    return _values_of(raw, values, layout, pixels, encoding, halved=halved), frozenset(doubts)


def _values_of(
    raw: memoryview, values: int, layout: Layout, pixels: Element, encoding: Encoding, *, halved: bool
) -> Patterns:
    """Return so many values of uncompressed pixels in the order of rows, columns and colours."""
    order = "<" if encoding.little else ">"
    if layout.allocated == 16:
        stored: Patterns = np.frombuffer(raw[: 2 * values], f"{order}u2").astype(np.uint16, copy=False)
    elif pixels.vr == b"OW" and not encoding.little and len(raw) % 2 == 0:
        # Bytes in pairs, each swapped. Source: PS3.5 8.2.
        stored = np.frombuffer(raw, np.uint16).byteswap().view(np.uint8)[:values]
    else:
        stored = np.frombuffer(raw[:values], np.uint8)
    if halved:
        # Y1 Y2 B R: two pixels share their chroma. Source: PS3.3 C.7.6.3.1.2.
        pairs = stored.reshape(-1, 4)
        luma = pairs[:, :2].reshape(layout.rows, layout.columns, 1)
        chroma = np.repeat(pairs[:, 2:], 2, axis=0).reshape(layout.rows, layout.columns, 2)
        return np.concatenate([luma, chroma], axis=-1)
    if layout.samples == 1:
        return stored.reshape(layout.rows, layout.columns)
    if layout.by_plane:
        return stored.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)
    return stored.reshape(layout.rows, layout.columns, layout.samples)


def _has_other_bits(patterns: Patterns, layout: Layout) -> bool:
    """Return whether bits are set that are no part of a value, and no copies of its sign either."""
    low = layout.high - layout.stored + 1
    if layout.stored == layout.allocated:
        return False
    room, one = (1 << layout.allocated) - 1, patterns.dtype.type(1)
    below, above = (1 << low) - 1, room - ((1 << (layout.high + 1)) - 1)
    used = int(np.bitwise_or.reduce(patterns, axis=None))
    if not layout.signed or used & below:
        return bool(used & (below | above))
    if not used & above:
        return False
    negative = (patterns >> patterns.dtype.type(layout.high)) & one
    beside = patterns & patterns.dtype.type(above)
    return bool(((beside != 0) & ((beside != above) | (negative == 0))).any())


def only_frame(fragments: list[memoryview]) -> memoryview:
    """Return the fragments of the one image as one; the first one is the table of offsets, an entry an image.

    Raises
    ------
    InputError
        If there are none, or several images.
    """
    if len(fragments) < 2:
        msg = "its pixels are empty. Copy the file again from where it came from."
        raise InputError(msg, "truncated")
    table, *rest = fragments
    beginning = _beginning(rest[0])
    if len(table) > 4 or (beginning and any(part[: len(beginning)] == beginning for part in rest[1:])):
        msg = "its pixels are enough for several images. Export the one radiograph as a file of its own."
        raise InputError(msg, "animated")
    return rest[0] if len(rest) == 1 else memoryview(b"".join(rest))


def _beginning(fragment: memoryview) -> bytes:
    """Return how a fragment begins if that is how pixels of its coding always begin, or nothing."""
    if fragment[4:8] == _RLE_FIRST_OFFSET and fragment[0] <= 15:
        return bytes(fragment[:8])
    return next((beginning for beginning in _BEGINNINGS if fragment[: len(beginning)] == beginning), b"")


def read_run_lengths(frame: memoryview, layout: Layout) -> tuple[Patterns, frozenset[Doubt]]:
    """Return RLE pixels: uint8 or uint16 ``(height, width)``, of colour ``(height, width, 3)``.

    Also: whether more follows them than padding.

    Raises
    ------
    InputError
        If they are damaged or cut off.
    """
    size, bytes_each = layout.rows * layout.columns, layout.allocated // 8
    segments = read_rle_segments(frame, layout.samples * bytes_each)
    unpacked = [_unpacked(segment, size) for segment in segments]
    doubts: frozenset[Doubt] = frozenset({"longer pixels"} if any(longer for _, longer in unpacked) else ())
    planes = np.stack([np.frombuffer(plane, np.uint8) for plane, _ in unpacked])
    # Of each sample the higher byte first.
    stored = planes.reshape(layout.samples, bytes_each, layout.rows, layout.columns)
    if bytes_each == 2:
        joined = stored[:, 0].astype(np.uint16) << np.uint16(8) | stored[:, 1]
        return joined[0] if layout.samples == 1 else joined.transpose(1, 2, 0), doubts
    return stored[0, 0] if layout.samples == 1 else stored[:, 0].transpose(1, 2, 0), doubts


def _unpacked(segment: memoryview, size: int) -> tuple[bytes, bool]:
    """Return a segment's bytes, `size` of them and no more, however long it says to go on, and whether it does so.

    Source: PS3.5 G.3.2.
    """
    packed, position, unpacked = bytes(segment), 0, bytearray()
    while len(unpacked) < size and position < len(packed):
        head = packed[position]
        if head < 128:
            unpacked += packed[position + 1 : position + head + 2]
            position += head + 2
        else:
            # 128 means nothing.
            if head > 128:
                unpacked += packed[position + 1 : position + 2] * (257 - head)
            position += 1 if head == 128 else 2
    if len(unpacked) < size:
        msg = "its RLE pixels end before the image does. Copy the file again from where it came from."
        raise InputError(msg, "truncated")
    return bytes(unpacked[:size]), len(unpacked) > size or bool(packed[position:].strip(b"\0\x80"))


def _decoded(frame: bytes, layout: Layout, coding: Coding, enough: int) -> Stored:
    said = read_jpeg_2000(frame) if coding == "JPEG 2000" else read_jpeg(frame)
    if (said.process == "JPEG-LS") != (coding == "JPEG-LS"):
        msg = f"its transfer syntax says {coding} and its pixels are {said.process}. Export it again."
        raise InputError(msg, "unreadable-file")
    if coding == "JPEG-LS":
        require_whole_jpeg_ls(frame)
    require_agreement(said, layout, coding)
    is_rgb, doubts = colours_of(said, layout)
    halvings = next((n for n in range(said.halvings, 0, -1) if min(said.height, said.width) >> n >= enough > 0), 0)
    if halvings and not layout.signed and (smaller := decode_halved(frame, said, halvings)) is not None:
        return replace(_decoded_grey(smaller, said, layout), reduced=1 << halvings)
    patterns = decode_codestream(frame, said)
    if layout.samples == 1:
        return _decoded_grey(patterns, said, layout)
    found = frozenset(doubts) | _of_colours(patterns, said.bits, is_rgb=is_rgb)
    return Stored(_grey_of_colour(patterns, is_rgb=is_rgb), said.bits, 0, signed=False, doubts=found)


def _decoded_grey(patterns: Patterns, said: Codestream, layout: Layout) -> Stored:
    """Return grey values as their codestream says that they are, with what the header says otherwise.

    Lossy values may overshoot the bits that are said to be used, so that all bits count. Only a sign lies where the
    header says, in codings that know none.
    """
    doubts: set[Doubt] = set()
    signed = layout.signed or bool(said.signed)
    bits = layout.stored if signed and not said.signed else said.bits
    highest = int(patterns.max())
    if said.signed is not None and said.signed != layout.signed and highest >> (bits - 1):
        # Read without a sign, the values would be others.
        doubts.add("sign")
    if said.bits < layout.stored or layout.high >= layout.stored or (not signed and highest >> layout.stored):
        doubts.add("precision")
    return Stored(patterns, bits, 0, signed, frozenset(doubts))


def colours_of(said: Codestream, layout: Layout) -> tuple[bool, set[Doubt]]:
    """Return whether three channels are RGB, by the codestream's own word or else the header's; and any doubt.

    Raises
    ------
    InputError
        If they contradict each other so that nobody can tell.
    """
    header: Colour = "RGB" if layout.photometric in ("RGB", "YBR_ICT", "YBR_RCT") else "YCbCr"
    if layout.photometric in ("YBR_ICT", "YBR_RCT") and not said.transformed:
        msg = (
            "its PhotometricInterpretation says that JPEG 2000 transformed its colours, and its codestream that they "
            "were not. Export it as grey image."
        )
        raise InputError(msg, "unreadable-file")
    colour = said.colour or header
    return colour == "RGB", {"colour"} if layout.samples == 3 and colour != header else set()


def require_agreement(said: Codestream, layout: Layout, coding: Coding) -> None:
    """Refuse (InputError) a codestream of another size than the data set says, before a decoder takes memory for it."""
    if (said.width, said.height) != (layout.columns, layout.rows):
        msg = (
            f"its header says {layout.columns:,} × {layout.rows:,} pixels and its {coding} codestream "
            f"{said.width:,} × {said.height:,}. Export it again."
        )
        raise InputError(msg, "unreadable-file")
    if said.components != layout.samples or said.bits > layout.allocated:
        msg = (
            f"its header says {layout.samples} channels in {layout.allocated} bits and its {coding} codestream "
            f"{said.components} of {said.bits} bits. Export it again."
        )
        raise InputError(msg, "unreadable-file")


def _grey_of_colour(colour: Patterns, *, is_rgb: bool) -> Patterns:
    """Return the luma (ITU-R BT.601) of ``(height, width, 3)``; equal channels give exactly their grey value."""
    if not is_rgb:
        return np.ascontiguousarray(colour[..., 0])
    weights = np.array([19595, 38470, 7471], np.uint32)
    grey: Patterns = ((colour.astype(np.uint32) @ weights + np.uint32(0x8000)) >> np.uint32(16)).astype(colour.dtype)
    return grey


def _of_colours(colour: Patterns, bits: int, *, is_rgb: bool) -> frozenset[Doubt]:
    """Return whether a pixel is of a colour: channels of RGB that differ, or chroma that is not its middle value."""
    full = (1 << bits) - 1
    if is_rgb:
        strongest = float(np.ptp(colour, axis=2).max())
    else:
        # By BT.601, blue differs from the luma by 1.772 times its chroma.
        strongest = 1.772 * float(np.abs(colour[..., 1:].astype(np.float32) - (full + 1) / 2).max())
    return frozenset({"coloured"} if strongest > GREY_TOLERANCE * full else ())
