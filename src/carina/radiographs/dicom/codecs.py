"""A codestream whose header says what the data set says is decoded by the library for its coding.

Each is imported when its first file comes. None is trusted: they run in a process that may be killed.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.errors import InputError
from carina.radiographs.dicom.codestream import Codestream, Process, damaged_pixels, read_jpeg_2000_start

Patterns = NDArray[np.unsignedinteger[Any]]
"""Unsigned patterns of bits: uint8 or uint16."""


def decode_codestream(content: bytes, said: Codestream) -> Patterns:
    """Return what a codestream with such a header holds: ``(height, width)`` or ``(height, width, 3)``.

    Colours are as they are stored, but for transforms that belong to the coding (JPEG 2000's, HP's of JPEG-LS).

    Raises
    ------
    InputError
        If its decoder is not installed, or gives up.
    """
    decoder = _decode_with_gdcm if said.process == "extended" and said.bits > 8 else _DECODERS[said.process]
    try:
        decoded = decoder(content, said)
    except (InputError, MemoryError):
        raise
    except Exception:  # noqa: BLE001  # each library has errors of its own, whose texts may quote the file
        raise _damaged(said.process) from None
    shape = (said.height, said.width) + ((said.components,) if said.components > 1 else ())
    if decoded.shape != shape:
        raise _damaged(said.process)
    return decoded


def decode_halved(content: bytes, said: Codestream, halvings: int) -> Patterns | None:
    """Return a grey JPEG 2000 image at half of its height and width, so many times; none if that cannot be done.

    What a wavelet leaves of a row lies at its first, third, fifth … pixel, and not between two, and may reach beyond
    the image's end: as it is, the image would lie nearly half of its pixels too far to the right and below.
    """
    from PIL import Jpeg2KImagePlugin  # noqa: PLC0415

    start, side = read_jpeg_2000_start(content), 1 << halvings
    shape = -(-said.height // side), -(-said.width // side)
    try:
        with Jpeg2KImagePlugin.Jpeg2KImageFile(io.BytesIO(content[start:])) as image:
            image.reduce = halvings
            # Pillow rounds a side that is no multiple to the nearest, where OpenJPEG rounds up.
            image._size = (shape[1] * side, shape[0] * side)  # it has no other way
            image.load()
            values = np.asarray(image)
    except Exception:  # noqa: BLE001  # the decoder of the whole image says what is wrong with it
        return None
    if values.shape != shape or values.dtype not in (np.uint8, np.uint16):
        return None
    # Pillow fills 8 or 16 bits from above.
    greys = (values >> values.dtype.type(8 * values.dtype.itemsize - said.bits)).astype(np.float32)
    for axis, pixels in enumerate((said.height, said.width)):
        count = greys.shape[axis]
        places = ((np.arange(count) + 0.5) * pixels / count - 0.5) / side
        before = places.astype(int)
        after = np.minimum(before + 1, count - 1)
        share = (places - before).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        greys = greys.take(before, axis) * (1 - share) + greys.take(after, axis) * share
    halved: Patterns = np.rint(greys).astype(values.dtype)
    return halved


def _decode_with_pillow(content: bytes, said: Codestream) -> Patterns:
    if said.bits != 8:
        raise _damaged(said.process)
    if said.components != 3:
        return _decoded_by_pillow(content, as_ycbcr=False)
    try:
        return _decoded_by_pillow(content, as_ycbcr=True)
    except OSError:
        # libjpeg takes these channels for RGB, and RGB is turned into nothing else.
        return _decoded_by_pillow(content, as_ycbcr=False)


def _decoded_by_pillow(content: bytes, *, as_ycbcr: bool) -> Patterns:
    """Return what Pillow decodes. Whoever asks for what libjpeg takes the channels for gets them as they are stored."""
    from PIL import JpegImagePlugin  # noqa: PLC0415

    with JpegImagePlugin.JpegImageFile(io.BytesIO(content)) as image:
        if as_ycbcr:
            image.draft("YCbCr", image.size)
        image.load()
        return np.asarray(image, np.uint8)


def _decode_with_openjpeg(content: bytes, said: Codestream) -> Patterns:
    import openjpeg  # noqa: PLC0415

    # Without the boxes of a JP2 file, by whose words OpenJPEG would turn one kind of colours into another.
    return _as_patterns(openjpeg.decode(content[read_jpeg_2000_start(content) :]), said.bits)


def _decode_with_charls(content: bytes, said: Codestream) -> Patterns:
    try:
        import jpeg_ls  # noqa: PLC0415
    except ImportError:
        raise _decoder_missing(said.process) from None
    decoded, info = jpeg_ls.decode_pixel_data(content)
    values = _as_patterns(np.frombuffer(decoded, np.uint8 if said.bits <= 8 else "<u2"), said.bits)
    if said.components == 1:
        return values.reshape(said.height, said.width)
    if info["interleave_mode"] == 0:
        return values.reshape(said.components, said.height, said.width).transpose(1, 2, 0)
    return values.reshape(said.height, said.width, said.components)


def _decode_with_gdcm(content: bytes, said: Codestream) -> Patterns:
    try:
        import gdcm  # noqa: PLC0415
    except ImportError:
        raise _decoder_missing(said.process) from None
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(content)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((said.width, said.height, 1))
    image.SetDataElement(element)
    grey = said.components == 1
    meaning = gdcm.PhotometricInterpretation.MONOCHROME2 if grey else gdcm.PhotometricInterpretation.RGB
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(meaning))
    if not grey:
        image.SetPlanarConfiguration(0)
    lossless = said.process == "lossless"
    syntax = gdcm.TransferSyntax.JPEGLosslessProcess14 if lossless else gdcm.TransferSyntax.JPEGExtendedProcess2_4
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    room = 8 if said.bits <= 8 else 16
    image.SetPixelFormat(gdcm.PixelFormat(said.components, room, said.bits, said.bits - 1, 0))
    # GDCM hands bytes over as text.
    decoded = image.GetBuffer().encode("utf-8", "surrogateescape")
    shape = (said.height, said.width) + (() if grey else (said.components,))
    return _as_patterns(np.frombuffer(decoded, np.uint8 if room == 8 else "<u2").reshape(shape), said.bits)


def _as_patterns(values: NDArray[np.integer[Any]], bits: int) -> Patterns:
    """Return values of at most 16 bits, signed or not, as unsigned patterns of as many bits."""
    unsigned: Patterns = values.astype(np.uint8 if bits <= 8 else np.uint16, copy=False)
    if values.dtype.kind == "i" and bits not in (8, 16):
        unsigned &= unsigned.dtype.type((1 << bits) - 1)
    return unsigned


_DECODERS: dict[Process, Callable[[bytes, Codestream], Patterns]] = {
    "baseline": _decode_with_pillow,
    "extended": _decode_with_pillow,
    "lossless": _decode_with_gdcm,
    "JPEG-LS": _decode_with_charls,
    "JPEG 2000": _decode_with_openjpeg,
}


def _decoder_missing(process: Process) -> InputError:
    coding, library, extra = "JPEG lossless or 12-bit JPEG", "GDCM", "gdcm"
    if process == "JPEG-LS":
        coding, library, extra = process, "CharLS", "dicom"
    msg = (
        f"its pixels are {coding}, for which {library} is needed. "
        f"Install it (pip install 'carina-cxr[{extra}]'), or export the image uncompressed."
    )
    return InputError(msg, "decoder-unavailable")


def _damaged(process: Process) -> InputError:
    return damaged_pixels(process if process.startswith("JPEG") else f"JPEG ({process})")
