"""Pixels keep every value and lose all else."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from carina.dicom.deidentification.codestreams import bare_jpeg, bare_jpeg_2000
from carina.dicom.deidentification.deidentify import deidentify
from carina.dicom.deidentification.profile import Options
from carina.dicom.deidentification.pseudonyms import Pseudonyms
from carina.errors import InputError
from carina.radiographs.read import read_radiograph
from make_dicom import (
    EXPLICIT,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS,
    JPEG_LS_NEAR,
    RLE,
    encode_dicom,
    encode_frame,
    raw_element,
)

WORD = b"Zwiebelfisch"
UIDS = {"StudyInstanceUID": "1.2.3.1", "SeriesInstanceUID": "1.2.3.2", "SOPInstanceUID": "1.2.3.3"}


def _pixels(bits: int, *, colour: bool = False) -> np.ndarray:
    rng = np.random.default_rng(1)
    smooth = np.cumsum(rng.integers(-3, 4, (48, 80)), axis=1) + 2 ** (bits - 1)
    grey = np.clip(smooth, 0, 2**bits - 1).astype(np.uint8 if bits == 8 else np.uint16)
    return np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1) if colour else grey


def _done(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "in.dcm"
    path.write_bytes(content)
    return tmp_path / "out" / deidentify(path.read_bytes(), tmp_path / "out", Pseudonyms(b"k" * 32), Options()).path


SYNTAXES = {
    "native 8": (EXPLICIT, 8), "native 12": (EXPLICIT, 12), "native 16": (EXPLICIT, 16), "RLE 8": (RLE, 8),
    "RLE 12": (RLE, 12), "JPEG": (JPEG_BASELINE, 8), "JPEG lossless": (JPEG_LOSSLESS, 12),
    "JPEG lossless SV1": (JPEG_LOSSLESS_SV1, 16), "JPEG-LS": (JPEG_LS, 12), "JPEG-LS near": (JPEG_LS_NEAR, 12),
    "JPEG 2000 lossless": (JPEG_2000_LOSSLESS, 12), "JPEG 2000": (JPEG_2000, 12),
}  # fmt: skip


@pytest.mark.parametrize("name", SYNTAXES)
def test_every_syntax_shows_the_same_picture(tmp_path: Path, name: str) -> None:
    syntax, bits = SYNTAXES[name]
    content = encode_dicom(_pixels(bits), syntax, stored=bits, BurnedInAnnotation="NO", **UIDS)
    written = _done(tmp_path, content)
    before, after = read_radiograph(tmp_path / "in.dcm"), read_radiograph(written)
    np.testing.assert_array_equal(after.pixels, before.pixels)
    # What is compressed stays so; run lengths do not.
    kept = EXPLICIT if syntax == RLE else syntax
    assert dcmread(written).file_meta.TransferSyntaxUID == kept


@pytest.mark.parametrize("syntax", [EXPLICIT, RLE, JPEG_BASELINE, JPEG_LS, JPEG_2000_LOSSLESS])
def test_colour_stays(tmp_path: Path, syntax: str) -> None:
    content = encode_dicom(_pixels(8, colour=True), syntax, BurnedInAnnotation="NO", **UIDS)
    written = _done(tmp_path, content)
    before, after = read_radiograph(tmp_path / "in.dcm"), read_radiograph(written)
    np.testing.assert_array_equal(after.pixels, before.pixels)
    if syntax == EXPLICIT:
        np.testing.assert_array_equal(dcmread(written).pixel_array, _pixels(8, colour=True))


def test_colours_by_plane_are_laid_together(tmp_path: Path) -> None:
    colour = _pixels(8, colour=True)
    plain = encode_dicom(colour, BurnedInAnnotation="NO", PlanarConfiguration=1, **UIDS)
    at = plain.index(b"\xe0\x7f\x10\x00")
    by_plane = plain[:at] + raw_element(0x7FE0_0010, "OB", np.ascontiguousarray(colour.transpose(2, 0, 1)).tobytes())
    written = dcmread(_done(tmp_path, by_plane))
    assert written.PlanarConfiguration == 0
    np.testing.assert_array_equal(written.pixel_array, colour)


@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (10, 11)])
@pytest.mark.parametrize("signed", [False, True])
def test_bits_that_are_no_pixel_are_cleared(tmp_path: Path, stored: int, high: int, *, signed: bool) -> None:
    """Older objects keep overlays there, and so can anybody."""
    rng = np.random.default_rng(2)
    values = rng.integers(0, 2**stored, (32, 32)).astype(np.uint16)
    low = high - stored + 1
    mask = np.uint16(((1 << stored) - 1) << low)
    noise = rng.integers(0, 2**16, values.shape).astype(np.uint16) & ~mask
    laid = (values << low) | noise
    content = encode_dicom(
        laid, stored=stored, HighBit=high, PixelRepresentation=int(signed), BurnedInAnnotation="NO", **UIDS
    )
    written = dcmread(_done(tmp_path, content))
    raw = np.frombuffer(written.PixelData, "<u2").reshape(32, 32)
    np.testing.assert_array_equal((raw & mask) >> low, values)
    above = np.uint16(0xFFFF ^ ((1 << (high + 1)) - 1))
    negative = (values >> (stored - 1)).astype(bool) & signed
    np.testing.assert_array_equal(raw & ~mask, np.where(negative, above, 0))


def test_an_overlay_in_compressed_pixels_is_refused(tmp_path: Path) -> None:
    content = encode_dicom(_pixels(12), JPEG_LS, stored=12, BurnedInAnnotation="NO", **UIDS)
    at = content.index(b"\xe0\x7f\x10\x00")
    overlay = raw_element(0x6000_0100, "US", struct.pack("<H", 16)) + raw_element(0x6000_0102, "US", b"\x0f\0")
    with pytest.raises(InputError, match="overlay in unused bits") as error:
        _done(tmp_path, content[:at] + overlay + content[at:])
    assert error.value.code == "identity-in-pixels"
    plain = encode_dicom(_pixels(12), stored=12, BurnedInAnnotation="NO", **UIDS)
    at = plain.index(b"\xe0\x7f\x10\x00")
    written = dcmread(_done(tmp_path, plain[:at] + overlay + plain[at:]))
    assert not any(element.tag.group == 0x6000 for element in written)


def _comment(marker: int, word: bytes = WORD) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(word) + 2) + word


@pytest.mark.parametrize("syntax", [JPEG_BASELINE, JPEG_LOSSLESS, JPEG_LS])
def test_jpeg_loses_comments_application_data_and_what_follows(syntax: str) -> None:
    plain = encode_frame(_pixels(8 if syntax == JPEG_BASELINE else 12), syntax, None if syntax == JPEG_BASELINE else 12)
    scan = plain.index(b"\xff\xda")
    adobe = b"Adobe" + WORD[:6] + b"\1" + WORD
    dirty = b"".join(
        [
            *(plain[:2], _comment(0xFE), _comment(0xE1), _comment(0xE2, b"ICC_PROFILE" + WORD), _comment(0xEE, adobe)),
            *(plain[2:scan], b"\xff\xff", _comment(0xFE), plain[scan:], b"\0\0", WORD),
        ]
    )
    bare = bare_jpeg(dirty, jpeg_ls=syntax == JPEG_LS)
    assert WORD not in bare
    assert WORD[:6] not in bare
    clean = bare_jpeg(plain, jpeg_ls=syntax == JPEG_LS)
    # Of Adobe's words only the number that tells colours is left.
    assert bare.replace(b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\1", b"") == clean
    assert bare_jpeg(clean, jpeg_ls=syntax == JPEG_LS) == clean
    assert clean[clean.index(b"\xff\xda") :] == plain[scan:].rstrip(b"\0")


def test_a_thumbnail_in_jfif_is_lost() -> None:
    plain = encode_frame(_pixels(8), JPEG_BASELINE)
    assert plain[2:4] == b"\xff\xe0"
    with_picture = plain[:2] + _comment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\2\2" + WORD) + plain[20:]
    bare = bare_jpeg(with_picture, jpeg_ls=False)
    assert WORD not in bare
    assert bare[2:20] == b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


def test_jpeg_2000_loses_comments_boxes_and_what_follows() -> None:
    from PIL import Image

    plain = encode_frame(_pixels(12), JPEG_2000_LOSSLESS, 12).rstrip(b"\0")
    at, tile = plain.index(b"\xff\x52"), plain.index(b"\xff\x90")
    data = plain.index(b"\xff\x93")
    length = struct.unpack_from(">I", plain, tile + 6)[0]
    comment = b"\xff\x64" + struct.pack(">HH", len(WORD) + 4, 1) + WORD
    longer = plain[: tile + 6] + struct.pack(">I", length + len(comment) if length else 0) + plain[tile + 10 :]
    dirty = longer[:at] + comment + longer[at:data] + comment + longer[data:] + WORD
    bare = bare_jpeg_2000(dirty)
    assert WORD not in bare
    assert bare == bare_jpeg_2000(plain) == bare_jpeg_2000(bare)
    stream = io.BytesIO()
    Image.fromarray(_pixels(8)).save(stream, "JPEG2000", irreversible=False)
    boxed = stream.getvalue()
    info = struct.pack(">I4s", 8 + len(WORD), b"xml ") + WORD
    start = boxed.index(b"jp2c") - 4
    bare = bare_jpeg_2000(boxed[:start] + info + boxed[start:])
    assert bare[:4] == b"\xff\x4f\xff\x51"
    assert WORD not in bare
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(bare))), _pixels(8))


@pytest.mark.parametrize("syntax", [JPEG_BASELINE, JPEG_LS, JPEG_2000_LOSSLESS])
def test_cut_and_mangled_codestreams_are_refused_or_end(syntax: str) -> None:
    plain = encode_frame(_pixels(8), syntax)
    rng = np.random.default_rng(3)
    outcomes, is_2000 = set(), syntax == JPEG_2000_LOSSLESS
    for number in range(400):
        broken = bytearray(plain[: int(rng.integers(1, len(plain) - 4))] if number % 2 else plain)
        for place in rng.integers(0, len(broken), 3):
            broken[place] = int(rng.integers(0, 256))
        try:
            bare = bare_jpeg_2000(bytes(broken)) if is_2000 else bare_jpeg(bytes(broken), jpeg_ls=syntax == JPEG_LS)
        except InputError as error:
            outcomes.add(error.code)
        else:
            outcomes.add("made")
            assert len(bare) <= len(broken) + 2
    assert "unreadable-file" in outcomes
    assert outcomes <= {"made", "unreadable-file"}
