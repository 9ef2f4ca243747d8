"""Pixel data become the patterns of bits that were stored: one unsigned integer a pixel, not yet a grey value."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carina.errors import InputError
from carina.radiographs.dicom.attributes import Layout
from carina.radiographs.dicom.codecs import Patterns, decode_codestream
from carina.radiographs.dicom.codestream import (
    Codestream,
    read_jpeg,
    read_jpeg_2000,
    read_rle_segments,
    require_no_oversize,
)
from carina.radiographs.dicom.outline import Encoding, Pixels, read_fragments
from carina.radiographs.dicom.syntaxes import Coding


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """The pixels as they were stored.

    Attributes
    ----------
    patterns
        uint8 or uint16 ``(height, width)``; of colour its luma.
    bits, shift
        How many bits of a pattern are its value, and how many below them are not.
    """

    patterns: Patterns
    bits: int
    shift: int


def read_stored(content: memoryview, pixels: Pixels, layout: Layout, coding: Coding, encoding: Encoding) -> Stored:
    """Return the pixels of a file's only image.

    Parameters
    ----------
    content
        The file, or what it inflates to.
    pixels
        Where they are.
    layout
        How they are stored.
    coding
        How they are compressed, if at all.
    encoding
        Of the data set, whose order of bytes uncompressed pixels have.

    Raises
    ------
    InputError
        If they are cut off or damaged, are more than one image, or say something else of themselves than the data set.
    """
    if coding in ("native", "deflated"):
        samples = _native(content, pixels, layout, encoding)
    elif pixels.length is not None:
        msg = "its transfer syntax is a compressed one, and its pixels are not in fragments. Export it again."
        raise InputError(msg, "unreadable-file")
    else:
        frame = _only_frame(read_fragments(content, pixels))
        if coding == "RLE":
            samples = _run_lengths(frame, layout)
        else:
            return _decoded(bytes(frame), layout, coding)
    shift = layout.high - layout.stored + 1
    if layout.samples == 1:
        return Stored(samples, layout.stored, shift)
    return Stored(_grey_of_colour(samples, is_rgb=layout.photometric == "RGB"), layout.stored, shift)


def _native(content: memoryview, pixels: Pixels, layout: Layout, encoding: Encoding) -> Patterns:
    if pixels.length is None:
        msg = "its transfer syntax is an uncompressed one, and its pixels are in fragments. Export it again."
        raise InputError(msg, "unreadable-file")
    halved = layout.photometric == "YBR_FULL_422"
    values = layout.rows * layout.columns * (2 if halved else layout.samples)
    needed, there = values * layout.allocated // 8, min(pixels.length, len(content) - pixels.start)
    if there < needed:
        msg = f"its pixels should take {needed:,} bytes, and {there:,} are there. Copy the file again."
        raise InputError(msg, "truncated")
    if there >= 2 * needed:
        raise _several_frames()
    raw = content[pixels.start : pixels.start + needed + needed % 2]
    order = "<" if encoding.little else ">"
    if layout.allocated == 16:
        stored: Patterns = np.frombuffer(raw[:needed], f"{order}u2").astype(np.uint16, copy=False)
    elif pixels.vr == b"OW" and not encoding.little and len(raw) % 2 == 0:
        # Bytes in pairs, each swapped. Source: PS3.5 8.2.
        stored = np.frombuffer(raw, np.uint16).byteswap().view(np.uint8)[:values]
    else:
        stored = np.frombuffer(raw[:needed], np.uint8)
    if halved:
        # Y1 Y2 B R, of which the luma is all that is asked for. Source: PS3.3 C.7.6.3.1.2.
        return _repeated(stored.reshape(-1, 4)[:, :2].reshape(layout.rows, layout.columns))
    if layout.samples == 1:
        return stored.reshape(layout.rows, layout.columns)
    if layout.by_plane:
        return stored.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)
    return stored.reshape(layout.rows, layout.columns, layout.samples)


def _repeated(grey: Patterns) -> Patterns:
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


def _several_frames() -> InputError:
    return InputError(
        "its pixels are enough for several images. Export the one radiograph as a file of its own.", "animated"
    )


def _only_frame(fragments: list[memoryview]) -> memoryview:
    """Return the fragments of the one image as one; the first one is the table of offsets, an entry an image."""
    if len(fragments) < 2:
        msg = "its pixels are empty. Copy the file again from where it came from."
        raise InputError(msg, "truncated")
    table, *rest = fragments
    if len(table) > 4:
        raise _several_frames()
    return rest[0] if len(rest) == 1 else memoryview(b"".join(rest))


def _run_lengths(frame: memoryview, layout: Layout) -> Patterns:
    size, bytes_each = layout.rows * layout.columns, layout.allocated // 8
    segments = read_rle_segments(frame, layout.samples * bytes_each)
    planes = np.stack([np.frombuffer(_unpacked(segment, size), np.uint8) for segment in segments])
    # Of each sample the higher byte first.
    stored = planes.reshape(layout.samples, bytes_each, layout.rows, layout.columns)
    if bytes_each == 2:
        joined = stored[:, 0].astype(np.uint16) << np.uint16(8) | stored[:, 1]
        return joined[0] if layout.samples == 1 else joined.transpose(1, 2, 0)
    return stored[0, 0] if layout.samples == 1 else stored[:, 0].transpose(1, 2, 0)


def _unpacked(segment: memoryview, size: int) -> bytes:
    """Return a segment's bytes, `size` of them and no more, however long it says to go on. Source: PS3.5 G.3.2."""
    packed, position, unpacked = bytes(segment), 0, bytearray()
    while len(unpacked) < size and position < len(packed):
        head = packed[position]
        if head < 128:
            unpacked += packed[position + 1 : position + head + 2]
            position += head + 2
        else:
            # 128 stands for nothing.
            if head > 128:
                unpacked += packed[position + 1 : position + 2] * (257 - head)
            position += 1 if head == 128 else 2
    if len(unpacked) < size:
        msg = "its RLE pixels end before the image does. Copy the file again from where it came from."
        raise InputError(msg, "truncated")
    return bytes(unpacked[:size])


def _decoded(frame: bytes, layout: Layout, coding: Coding) -> Stored:
    said = read_jpeg_2000(frame) if coding == "JPEG 2000" else read_jpeg(frame)
    if (said.process == "JPEG-LS") != (coding == "JPEG-LS"):
        msg = f"its transfer syntax says {coding} and its pixels are {said.process}. Export it again."
        raise InputError(msg, "unreadable-file")
    if coding == "JPEG-LS":
        require_no_oversize(frame)
    _require_agreement(said, layout, coding)
    decoded = decode_codestream(frame, said)
    if layout.samples == 1:
        # Lossy values may overshoot the bits that are said to be used, so that all bits count. Only a sign lies where
        # the data set says.
        return Stored(decoded.patterns, min(said.bits, layout.stored) if layout.signed else said.bits, 0)
    # Decoders of JPEG 2000 undo its own transform of colours.
    is_rgb = decoded.is_rgb or layout.photometric in ("RGB", "YBR_ICT", "YBR_RCT")
    return Stored(_grey_of_colour(decoded.patterns, is_rgb=is_rgb), said.bits, 0)


def _require_agreement(said: Codestream, layout: Layout, coding: Coding) -> None:
    """Refuse a codestream whose size is not the one that the data set says, before a decoder takes memory for it."""
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
    summed: NDArray[np.uint32] = colour.astype(np.uint32) @ weights
    grey: Patterns = ((summed + np.uint32(0x8000)) >> np.uint32(16)).astype(colour.dtype)
    return grey
