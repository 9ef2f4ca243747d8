"""The pixels of an image, with nothing beside them: no bits that are not theirs, no bytes behind them, no comments."""

from dataclasses import dataclass

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian

from carina.dicom.deidentification.codestreams import bare_jpeg, bare_jpeg_2000
from carina.errors import InputError
from carina.radiographs.dicom.attributes import Layout
from carina.radiographs.dicom.codecs import Patterns
from carina.radiographs.dicom.codestream import read_jpeg, read_jpeg_2000, read_jpeg_2000_start
from carina.radiographs.dicom.outline import Element, Encoding, read_fragments
from carina.radiographs.dicom.stored import colours_of, only_frame, read_native, read_run_lengths, require_agreement
from carina.radiographs.dicom.syntaxes import Coding


@dataclass(frozen=True, slots=True, eq=False)
class BarePixels:
    """Pixels as they are written: the value of PixelData, and the UID of the transfer syntax that it has.

    `by_pixel` tells whether the colours of a pixel lie together; none where that is the codestream's.
    """

    content: bytes
    transfer_syntax: str
    by_pixel: bool | None


def bare_pixels(
    content: memoryview, pixels: Element, layout: Layout, coding: Coding, encoding: Encoding, transfer_syntax: str
) -> BarePixels:
    """Return the pixels of a file's only image.

    Uncompressed and run-length coded ones are written again, uncompressed and little endian, with every bit that is not
    part of a value cleared: older objects keep overlays there. A compressed picture stays the same to the last bit.

    Raises
    ------
    InputError
        If they are cut off or damaged, or say something else of themselves than the data set.
    """
    if coding == "native":
        if layout.photometric == "YBR_FULL_422":
            msg = "its pixels are uncompressed YBR_FULL_422, which is not written. Export it as grey image."
            raise InputError(msg, "unsupported-format")
        return _uncompressed(read_native(content, pixels, layout, encoding)[0], layout)
    if pixels.length is not None:
        msg = "its transfer syntax is a compressed one, and its pixels are not in fragments. Export it again."
        raise InputError(msg, "unreadable-file")
    frame = only_frame(read_fragments(content, pixels))
    if coding == "RLE":
        return _uncompressed(read_run_lengths(frame, layout)[0], layout)
    whole = bytes(frame)
    said = read_jpeg_2000(whole) if coding == "JPEG 2000" else read_jpeg(whole)
    require_agreement(said, layout, coding)
    if coding == "JPEG 2000" and read_jpeg_2000_start(whole) and colours_of(said, layout)[1]:
        msg = "the boxes around its JPEG 2000 pixels say other colours than its header. Export it as grey image."
        raise InputError(msg, "unsupported-format")
    jpeg_ls = coding == "JPEG-LS"
    bare = bare_jpeg_2000(whole) if coding == "JPEG 2000" else bare_jpeg(whole, jpeg_ls=jpeg_ls)
    return BarePixels(encapsulate([bare], has_bot=False), transfer_syntax, by_pixel=None)


def _uncompressed(patterns: Patterns, layout: Layout) -> BarePixels:
    low = layout.high - layout.stored + 1
    values = patterns & patterns.dtype.type(((1 << layout.stored) - 1) << low)
    if layout.signed:
        # The bits above a sign are its copies, for readers that take the whole room for the value.
        above = (1 << layout.allocated) - (1 << (layout.high + 1))
        negative = (values >> patterns.dtype.type(layout.high)) & patterns.dtype.type(1)
        values = np.where(negative == 1, values | patterns.dtype.type(above), values)
    raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return BarePixels(raw + b"\0" * (len(raw) % 2), str(ExplicitVRLittleEndian), by_pixel=True)
