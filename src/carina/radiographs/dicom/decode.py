"""A DICOM file's bytes become a radiograph. This runs in a process of its own: see `workers`."""

import zlib
from dataclasses import replace

from carina.errors import InputError
from carina.radiographs.dicom import terms
from carina.radiographs.dicom.attributes import read_attributes
from carina.radiographs.dicom.display import display_grey
from carina.radiographs.dicom.limits import MAX_INFLATED_BYTES
from carina.radiographs.dicom.outline import (
    PREAMBLE_BYTES,
    Encoding,
    Meta,
    NotDicomError,
    begins_as,
    find_pixels,
    guess_encoding,
    read_meta,
)
from carina.radiographs.dicom.protocol import WHITE
from carina.radiographs.dicom.shutter import find_visible
from carina.radiographs.dicom.stored import read_stored
from carina.radiographs.dicom.syntaxes import BIG_ENDIAN, CODINGS, READ, Coding
from carina.radiographs.dicom.tags import PIXEL_DATA
from carina.radiographs.radiograph import Radiograph, check_dimensions

# Windows, Unix and macOS programs, and scripts. Source: PS3.10 7.1 leaves the preamble to whoever writes the file.
_PROGRAMS = (
    *(b"MZ", b"\x7fELF", b"#!", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"),
    *(b"\xca\xfe\xba\xbe", b"<?php", b"<script", b"<html"),
)


def decode(content: bytes, *, deflated: bool = False) -> Radiograph:
    """Return the radiograph in a DICOM file's bytes.

    Parameters
    ----------
    content
        All of them.
    deflated
        Whether a deflated data set is to be inflated.

    Raises
    ------
    InputError
        If it holds no radiograph that may be judged, and why; the message holds no value of an attribute.
    NotDicomError
        If it has no preamble and is not a data set with an image either.
    """
    if begins_as(content) == "file":
        return _decode(content, deflated=deflated)
    try:
        return _decode(content, deflated=deflated)
    except InputError as error:
        # A few bytes look like many things. Only a whole data set with an image is worth a word of its own.
        if error.code in ("no-image", "missing-attribute", "truncated", "unreadable-file") and not _has_pixels(content):
            raise NotDicomError from None
        raise


def _has_pixels(content: bytes) -> bool:
    try:
        meta = read_meta(content)
        return find_pixels(content, meta.end, guess_encoding(content, meta.end)) is not None
    except InputError:
        return False


def _decode(content: bytes, *, deflated: bool) -> Radiograph:
    meta = read_meta(content)
    if meta.sop_class == terms.DIRECTORY:
        msg = "this is a DICOMDIR, which lists files and holds no image. Name the files, or their folder."
        raise InputError(msg, "no-image")
    coding = _coding(meta)
    body, start = memoryview(content), meta.end
    if coding == "deflated":
        body, start = memoryview(_inflated(content, meta.end, wanted=deflated)), 0
    encoding = guess_encoding(body, start)
    if meta.transfer_syntax is not None:
        # Whether types are written is told by the data set; the order of its bytes is told safely only here.
        encoding = Encoding(encoding.implicit, little=meta.transfer_syntax != BIG_ENDIAN)
    pixels = find_pixels(body, start, encoding)
    if pixels is None:
        msg = "this DICOM object holds no image. Name the files of the radiographs themselves."
        raise InputError(msg, "no-image")
    attributes = read_attributes(body[start : pixels.header], encoding)
    if pixels.tag != PIXEL_DATA:
        msg = "its pixels are floating-point numbers, which no radiograph's are. Export it as 16-bit grey image."
        raise InputError(msg, "unsupported-format")
    layout = attributes.layout
    check_dimensions(layout.columns, layout.rows)
    stored = read_stored(body, pixels, layout, coding, encoding)
    visible = find_visible(attributes.shapes, layout.rows, layout.columns)
    grey, shown_by = display_grey(stored, layout, attributes.display, visible)
    header = replace(
        attributes.header,
        shown_by=shown_by,
        crop=visible.box,
        shutter_ignored=visible.ignored,
        preamble_is_program=begins_as(content) == "file" and content[:PREAMBLE_BYTES].startswith(_PROGRAMS),
    )
    return Radiograph(grey, float(WHITE), header)


def _coding(meta: Meta) -> Coding:
    # A data set without a word on its transfer syntax is uncompressed, or nobody could read it.
    if meta.transfer_syntax is None:
        return "native"
    if meta.transfer_syntax not in CODINGS:
        msg = f"its transfer syntax is none that Carina reads ({READ}). Export it uncompressed."
        raise InputError(msg, "unsupported-format")
    return CODINGS[meta.transfer_syntax]


def _inflated(content: bytes, start: int, *, wanted: bool) -> bytes:
    if not wanted:
        msg = (
            "its data set is deflated, which is read only on request (--deflated), since a few bytes may grow to many. "
            "Say so, or export it uncompressed."
        )
        raise InputError(msg, "unsupported-format")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(memoryview(content)[start:], MAX_INFLATED_BYTES)
    except zlib.error:
        msg = "its deflated data set is damaged. Copy the file again from where it came from."
        raise InputError(msg, "unreadable-file") from None
    if not inflater.eof:
        if len(inflated) < MAX_INFLATED_BYTES:
            msg = "its deflated data set is cut off. Copy the file again from where it came from."
            raise InputError(msg, "truncated")
        msg = f"its deflated data set grows to over {MAX_INFLATED_BYTES:,} bytes. Check the file."
        raise InputError(msg, "too-large")
    return inflated
