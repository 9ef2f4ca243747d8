"""Makers of synthetic DICOM files, written byte by byte, so that they can be wrong in every way that a file can."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from pydicom.datadict import dictionary_VR, tag_for_keyword

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
CR = "1.2.840.10008.5.1.4.1.1.1"

_LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UC", "UN", "UR", "UT")
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
Value = str | int | float | bytes | Sequence[Any]

# What a chest radiograph of an adult says, and nothing that would keep it from being read.
CHEST: dict[str, Value] = {
    "SOPClassUID": CR,
    "Modality": "CR",
    "StudyDate": "20200202",
    "PatientName": "Secret^Patient",
    "PatientID": "SECRET-ID",
    "PatientAge": "045Y",
    "BodyPartExamined": "CHEST",
    "ViewPosition": "PA",
}


def element(keyword: str, value: Value, *, vr: str = "", implicit: bool = False, little: bool = True) -> bytes:
    """The bytes of an element; a sequence is a list of dictionaries, of defined length."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    vr = vr or dictionary_VR(tag)
    if " or " in vr:
        vr = "OW" if isinstance(value, bytes) else "US"
    return raw_element(tag, vr, _bytes_of(vr, value, implicit, little), implicit=implicit, little=little)


def raw_element(
    tag: int, vr: str, value: bytes, *, length: int | None = None, implicit: bool = False, little: bool = True
) -> bytes:
    """The bytes of an element that may claim any length."""
    order = "<" if little else ">"
    count = len(value) if length is None else length
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if implicit:
        return head + struct.pack(f"{order}I", count) + value
    if vr in _LONG:
        return head + vr.encode() + b"\0\0" + struct.pack(f"{order}I", count) + value
    return head + vr.encode() + struct.pack(f"{order}H", count) + value


def _bytes_of(vr: str, value: Value, implicit: bool, little: bool) -> bytes:
    order = "<" if little else ">"
    if vr == "SQ":
        assert not isinstance(value, str | bytes | int | float)
        items = (data_set(item, implicit=implicit, little=little) for item in value)
        return b"".join(struct.pack(f"{order}HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    if isinstance(value, bytes):
        packed = value
    elif vr in _NUMBERS:
        values = value if isinstance(value, list | tuple) else [value]
        packed = struct.pack(f"{order}{len(values)}{_NUMBERS[vr]}", *values)
    else:
        parts = value if isinstance(value, list | tuple) else [value]
        packed = "\\".join(str(part) for part in parts).encode()
    return packed + (b"\0" if vr in ("UI", "OB") else b" ") * (len(packed) % 2)


def data_set(attributes: Mapping[str, Value], *, implicit: bool = False, little: bool = True) -> bytes:
    """The bytes of a data set, its elements in the order of their tags; a value of none leaves its element out."""
    keywords = sorted((k for k in attributes if attributes[k] is not None), key=lambda k: tag_for_keyword(k) or 0)
    return b"".join(element(k, attributes[k], implicit=implicit, little=little) for k in keywords)


def encapsulated(*fragments: bytes, table: bytes = b"") -> bytes:
    """Pixel data in fragments, with their table of offsets and their end."""
    items = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in (table, *fragments))
    pixels = items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return raw_element(0x7FE00010, "OB", pixels, length=0xFFFFFFFF)


def layout_of(pixels: np.ndarray, stored: int | None = None, photometric: str | None = None) -> dict[str, Value]:
    """What an image says of how its pixels are stored."""
    bits = 8 * pixels.dtype.itemsize
    colour = pixels.ndim == 3
    return {
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": photometric or ("RGB" if colour else "MONOCHROME2"),
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": bits,
        "BitsStored": stored or bits,
        "HighBit": (stored or bits) - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        **({"PlanarConfiguration": 0} if colour else {}),
    }


def full_window(stored: int, *, signed: bool = False) -> dict[str, Value]:
    """The window that shows the lowest value of as many bits black and the highest white."""
    return {"WindowCenter": 0.0 if signed else 2.0 ** (stored - 1), "WindowWidth": 2.0**stored}


def encode_dicom(
    pixels: np.ndarray,
    syntax: str = EXPLICIT,
    *,
    stored: int | None = None,
    photometric: str | None = None,
    frame: bytes | None = None,
    preamble: bytes | None = bytes(128),
    **attributes: Value | None,
) -> bytes:
    """A DICOM file of grey (height, width) or colour (height, width, 3).

    `frame` replaces the codestream of the pixels; a `preamble` of none leaves everything before the data set out.
    """
    implicit, little = syntax == IMPLICIT, syntax != BIG_ENDIAN
    said = {**CHEST, **layout_of(pixels, stored, photometric), **attributes}
    body = data_set({k: v for k, v in said.items() if v is not None}, implicit=implicit, little=little)
    if frame is None and syntax in (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN):
        raw = pixels.astype(pixels.dtype.newbyteorder("<" if little else ">")).tobytes()
        vr = "OW" if pixels.dtype.itemsize == 2 else "OB"
        body += raw_element(0x7FE00010, vr, raw + b"\0" * (len(raw) % 2), implicit=implicit, little=little)
    else:
        body += encapsulated(encode_frame(pixels, syntax, stored) if frame is None else frame)
    return with_meta(body, syntax, preamble)


def encode_directory(*names: Value, syntax: str = EXPLICIT) -> bytes:
    """A DICOMDIR that names files, each as a list of folders and a name."""
    records: list[dict[str, Value]] = [{"DirectoryRecordType": "PATIENT", "PatientID": "SECRET-ID"}]
    records += [{"DirectoryRecordType": "IMAGE", "ReferencedFileID": name} for name in names]
    implicit, little = syntax == IMPLICIT, syntax != BIG_ENDIAN
    body = data_set({"DirectoryRecordSequence": records}, implicit=implicit, little=little)
    return with_meta(body, syntax, sop_class="1.2.840.10008.1.3.10")


def encode_object(sop_class: str, modality: str, **attributes: Value) -> bytes:
    """A DICOM object without an image."""
    said = {**CHEST, "SOPClassUID": sop_class, "Modality": modality, **attributes}
    return with_meta(data_set(said), sop_class=sop_class)


def with_meta(
    body: bytes, syntax: str | None = EXPLICIT, preamble: bytes | None = bytes(128), sop_class: str = CR
) -> bytes:
    """A data set with what stands before it in a file."""
    if syntax == DEFLATED:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = packer.compress(body) + packer.flush()
    if preamble is None:
        return body
    meta = element("MediaStorageSOPClassUID", sop_class) + (element("TransferSyntaxUID", syntax) if syntax else b"")
    return preamble.ljust(128, b"\0") + b"DICM" + element("FileMetaInformationGroupLength", len(meta)) + meta + body


def encode_frame(pixels: np.ndarray, syntax: str, stored: int | None = None) -> bytes:
    """The codestream of an image."""
    bits = stored or 8 * pixels.dtype.itemsize
    if syntax == RLE:
        return encode_rle(pixels)
    if syntax == JPEG_BASELINE:
        stream = io.BytesIO()
        # With keep_rgb colours are coded as they are, and with them there is Adobe's marker.
        Image.fromarray(pixels).save(stream, "JPEG", quality=95)
        return padded(stream.getvalue())
    if syntax in (JPEG_2000_LOSSLESS, JPEG_2000):
        import openjpeg

        options = {} if syntax == JPEG_2000_LOSSLESS else {"compression_ratios": [4]}
        meaning = 1 if pixels.ndim == 3 else 2
        return padded(openjpeg.encode(pixels, photometric_interpretation=meaning, bits_stored=bits, **options))
    if syntax in (JPEG_LS, JPEG_LS_NEAR):
        import jpeg_ls

        coded = jpeg_ls.encode_pixel_data(
            pixels.tobytes(),
            lossy_error=0 if syntax == JPEG_LS else 2,
            interleave_mode=2 if pixels.ndim == 3 else 0,
            rows=pixels.shape[0],
            columns=pixels.shape[1],
            samples_per_pixel=pixels.ndim // 3 * 2 + 1,
            bits_stored=bits,
            bits_allocated=8 * pixels.dtype.itemsize,
            pixel_representation=0,
            photometric_interpretation="RGB" if pixels.ndim == 3 else "MONOCHROME2",
            planar_configuration=0,
        )
        return padded(bytes(coded))
    if syntax in (JPEG_LOSSLESS, JPEG_LOSSLESS_SV1):
        return _encode_with_gdcm(pixels, syntax, bits)
    message = f"no encoder for {syntax}"
    raise ValueError(message)


def padded(content: bytes) -> bytes:
    return content + b"\0" * (len(content) % 2)


def encode_rle(pixels: np.ndarray) -> bytes:
    """RLE pixels: of each sample a segment a byte, the highest first."""
    planes = pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    segments = [
        padded(_packed(plane.astype(plane.dtype.newbyteorder(">")).tobytes()[byte :: plane.dtype.itemsize]))
        for plane in planes
        for byte in range(plane.dtype.itemsize)
    ]
    offsets = [64 + sum(map(len, segments[:place])) for place in range(len(segments))]
    header = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments)))
    return header + b"".join(segments)


def _packed(raw: bytes) -> bytes:
    """Runs where bytes repeat, literals elsewhere; at every hundredth byte the head that means nothing."""
    out, place = bytearray(), 0
    while place < len(raw):
        run = 1
        while run < 128 and raw[place + run : place + run + 1] == raw[place : place + 1]:
            run += 1
        if run > 2:
            out += bytes([257 - run, raw[place]])
        else:
            run = min(100, len(raw) - place)
            out += bytes([run - 1]) + raw[place : place + run] + b"\x80"
        place += run
    return bytes(out)


def _encode_with_gdcm(pixels: np.ndarray, syntax: str, bits: int) -> bytes:
    import gdcm
    from pydicom import dcmread
    from pydicom.encaps import get_frame

    plain = {"SOPInstanceUID": "1.2.3", "StudyInstanceUID": "1.2.4", "SeriesInstanceUID": "1.2.5"}
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "a.dcm"), Path(folder, "b.dcm")
        source.write_bytes(encode_dicom(pixels, stored=bits, **plain))
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(source))
        assert reader.Read()
        kind = {JPEG_LOSSLESS: "JPEGLosslessProcess14", JPEG_LOSSLESS_SV1: "JPEGLosslessProcess14_1"}[syntax]
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kind)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(target))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return get_frame(dcmread(target).PixelData, 0, number_of_frames=1)
