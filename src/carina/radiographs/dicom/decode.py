"""A DICOM file's bytes become a radiograph. This runs in a process of its own: see `workers`."""

import zlib
from dataclasses import dataclass, replace

from carina.errors import InputError
from carina.radiographs.dicom import terms
from carina.radiographs.dicom.attributes import read_attributes, require_foreign
from carina.radiographs.dicom.behind import all_elements
from carina.radiographs.dicom.display import display_grey
from carina.radiographs.dicom.limits import MAX_INFLATED_BYTES
from carina.radiographs.dicom.outline import (
    PREAMBLE_BYTES,
    Element,
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
from carina.radiographs.dicom.values import read_values, silence
from carina.radiographs.doubts import Doubt, in_order
from carina.radiographs.radiograph import Radiograph, check_dimensions

# Windows, Unix and macOS programs, and scripts. Source: PS3.10 7.1 leaves the preamble to whoever writes the file.
_PROGRAMS = (
    *(b"MZ", b"\x7fELF", b"#!", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"),
    *(b"\xca\xfe\xba\xbe", b"<?php", b"<script", b"<html"),
)
_OF_NO_IMAGE = frozenset(
    {"no-image", "companion-object", "own-answer", "missing-attribute", "truncated", "unreadable-file"}
)


def decode(content: bytes, *, deflated: bool = False, whole: bool = False, enough: int = 0) -> Radiograph:
    """Return the radiograph in a DICOM file's bytes.

    A deflated data set is inflated only on request (`deflated`), and what lies outside the header's window is kept only
    on request (`whole`; see `carina.radiographs.dicom.display.display_grey`). Where so many pixels a side are `enough`,
    JPEG 2000 is decoded at a lower resolution, unless a shutter or padding needs every pixel.

    Raises
    ------
    InputError
        If it holds no radiograph that may be judged, and why; the message holds no value of an attribute.
    NotDicomError
        If it has no preamble and is not a data set with an image either.
    """
    if begins_as(content) == "file":
        return _decode(content, deflated=deflated, whole=whole, enough=enough)
    try:
        return _decode(content, deflated=deflated, whole=whole, enough=enough)
    except InputError as error:
        # A few bytes look like many things. Only a whole data set with an image is worth a word of its own.
        if error.code in _OF_NO_IMAGE and not _has_pixels(content):
            raise NotDicomError from None
        raise


def _has_pixels(content: bytes) -> bool:
    try:
        meta = read_meta(content)
        return find_pixels(content, meta.end, guess_encoding(content, meta.end)) is not None
    except InputError:
        return False


def _decode(content: bytes, *, deflated: bool, whole: bool, enough: int) -> Radiograph:
    walked = walk(content, deflated=deflated)
    body, encoding, pixels = walked.body, walked.encoding, walked.pixels
    attributes = read_attributes(walked.header, encoding)
    if pixels.tag != PIXEL_DATA:
        msg = "its pixels are floating-point numbers, which no radiograph's are. Export it as 16-bit grey image."
        raise InputError(msg, "unsupported-format")
    layout = attributes.layout
    check_dimensions(layout.columns, layout.rows)
    if attributes.shapes or attributes.display.padding is not None:
        enough = 0
    stored = read_stored(body, pixels, layout, walked.coding, encoding, enough=enough)
    visible = find_visible(attributes.shapes, layout.rows, layout.columns)
    grey, shown_by, window = display_grey(stored, layout, attributes.display, visible, whole=whole)
    header = replace(
        attributes.header,
        shown_by=shown_by,
        crop=visible.box,
        shutter_ignored=visible.ignored,
        doubts=in_order((*attributes.header.doubts, *walked.doubts, *stored.doubts, *visible.doubts)),
        preamble_is_program=begins_as(content) == "file" and content[:PREAMBLE_BYTES].startswith(_PROGRAMS),
    )
    return Radiograph(grey, float(WHITE), header, window=window, reduced=stored.reduced)


@dataclass(frozen=True, slots=True)
class Walked:
    """A file whose elements were walked up to its pixels.

    Attributes
    ----------
    body, header, encoding
        The file, or what its data set inflates to; the data set without the pixels; and how its elements are written.
    pixels, coding
        Where the pixels are, and how they are coded.
    doubts
        What lies behind the pixels that should lie before them.
    """

    body: memoryview
    header: bytes | memoryview
    encoding: Encoding
    pixels: Element
    coding: Coding
    doubts: frozenset[Doubt]


def walk(content: bytes, *, deflated: bool) -> Walked:
    """Return where the parts of a file with an image lie; parameters as of `decode`.

    Raises
    ------
    InputError
        If it holds no image, is damaged, or is not to be inflated.
    """
    meta = read_meta(content)
    if meta.sop_class == terms.DIRECTORY:
        msg = "this is a DICOMDIR, which lists files and holds no image. Name the files, or their folder."
        raise InputError(msg, "no-image")
    coding = _coding(meta)
    body, start = memoryview(content), meta.end
    if coding == "deflated":
        body, start = memoryview(_inflated(content, meta.end, wanted=deflated)), 0
    encoding = encoding_of(body, start, meta)
    pixels = find_pixels(body, start, encoding)
    if pixels is None:
        raise _no_image(body[start:], encoding, meta)
    elements = all_elements(body, start, pixels, encoding)
    return Walked(body, elements.content, encoding, pixels, coding, elements.doubts)


def encoding_of(body: memoryview, start: int, meta: Meta) -> Encoding:
    """Return how a data set is encoded that begins at a byte."""
    encoding = guess_encoding(body, start)
    if meta.transfer_syntax is None:
        return encoding
    # Whether types are written is told by the data set; the order of its bytes is told safely only here.
    return Encoding(encoding.implicit, little=meta.transfer_syntax != BIG_ENDIAN)


def _no_image(data_set: memoryview, encoding: Encoding, meta: Meta) -> InputError:
    """Return what is to be said of an object without pixels: what it is, where it belongs beside images."""
    with silence():
        values = read_values(data_set, encoding)
        require_foreign(values)
        companion = terms.companion_of(values.word("Modality"), values.word("SOPClassUID") or meta.sop_class)
    if companion is not None:
        msg = f"this is {companion}, which accompanies the images of a study and is not one. Leave it out."
        return InputError(msg, "companion-object")
    msg = "this DICOM object holds no image. Name the files of the radiographs themselves."
    return InputError(msg, "no-image")


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
