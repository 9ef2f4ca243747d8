"""No word that was planted in an image is left in what is written, wherever it was."""

import io
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag

from carina.dicom.deidentification.deidentify import deidentify
from carina.dicom.deidentification.profile import Options, table
from carina.dicom.deidentification.pseudonyms import Pseudonyms
from make_dicom import EXPLICIT, IMPLICIT, JPEG_2000_LOSSLESS, JPEG_BASELINE, JPEG_LS, RLE, encode_frame
from unit.dicom.deidentification.planting import NAME, Planted, every_text, planted_image

KEY = b"k" * 32


def _written(tmp_path: Path, content: bytes, options: Options | None = None) -> bytes:
    source = tmp_path / f"{NAME}.dcm"
    source.write_bytes(content)
    made = deidentify(source.read_bytes(), tmp_path / "out", Pseudonyms(KEY), options or Options())
    assert NAME not in str(made.path)
    return (tmp_path / "out" / made.path).read_bytes()


def test_words_are_planted_in_nearly_all_of_the_table() -> None:
    planted = Planted()
    content = planted_image(planted)
    places = {place for place in planted.words if isinstance(place, int)} & set(table())
    # The others: file meta information, commands, and types too short for a word.
    assert len(places) > 560
    assert len(table()) > 640
    assert len(set(planted.words.values())) == len(planted.words)
    # All of them can be found, so that their absence says something.
    assert planted.left_in(content) == planted.words


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT], ids=["explicit", "implicit"])
@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192"])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_nothing_of_the_table_is_left(tmp_path: Path, syntax: str, charset: str, depth: int) -> None:
    planted = Planted()
    content = planted_image(planted, syntax=syntax, charset=charset, depth=depth)
    written = _written(tmp_path, content)
    assert planted.left_in(written) == {}
    assert NAME.encode() not in written
    assert dcmread(io.BytesIO(written)).pixel_array.shape == (64, 64)


def test_nothing_of_any_text_of_the_standard_is_left(tmp_path: Path) -> None:
    planted = Planted()
    content = planted_image(planted, tags=every_text())
    assert len(planted.words) > 3000
    assert planted.left_in(_written(tmp_path, content)) == {}


OPTIONS = {
    "patient": Options(patient_characteristics=True),
    "device": Options(device=True),
    "uids": Options(uids=True),
    "dates": Options(shifted_dates=True),
}
_DEVICE_WORDS = ("Device", "Detector", "Station", "Plate", "Cassette", "Gantry", "Generator", "Lens", "UDI", "XRay")


def _is_kept(name: str, place: int | str) -> bool:
    """Whether an option is there to keep what a place holds."""
    if isinstance(place, str):
        return name == "device" and place.startswith("name in ") and _is_kept(name, int(place[8:], 16))
    vr, keyword = dictionary_VR(place), keyword_for_tag(place)
    if name == "device":
        located = ("ScheduledProcedureStepLocation", "ScheduledStudyLocation", "ScheduledStudyLocationAETitle")
        return vr != "PN" and (any(word in keyword for word in _DEVICE_WORDS) or keyword in located)
    if name == "patient":
        return keyword in ("PatientSize", "PatientWeight")
    # Times of day stay as they are; UIDs are what is kept.
    return (name == "uids" and vr == "UI") or (name == "dates" and vr == "TM")


@pytest.mark.parametrize("name", OPTIONS)
def test_options_keep_what_they_say_and_no_more(tmp_path: Path, name: str) -> None:
    planted = Planted()
    content = planted_image(planted)
    written = _written(tmp_path, content, OPTIONS[name])
    left = planted.left_in(written, but=lambda place: _is_kept(name, place))
    assert left == {}
    assert planted.left_in(written) != {}


@pytest.mark.parametrize("syntax", [JPEG_BASELINE, JPEG_LS, JPEG_2000_LOSSLESS, RLE], ids=["JPEG", "LS", "2000", "RLE"])
def test_nothing_is_left_in_compressed_pixels(tmp_path: Path, syntax: str) -> None:
    bits = 8 if syntax == JPEG_BASELINE else 16
    pixels = (np.arange(64 * 64).reshape(64, 64) % 251).astype(np.uint8 if bits == 8 else np.uint16)
    frame = _with_comments(encode_frame(pixels, syntax, 8 if bits == 8 else 12), syntax)
    planted = Planted()
    content = planted_image(planted, syntax=syntax, frame=frame, pixels=pixels)
    if bits == 8:
        content = content.replace(b"\x28\0\x01\x01US\x02\0\x0c\0", b"\x28\0\x01\x01US\x02\0\x08\0")
        content = content.replace(b"\x28\0\x02\x01US\x02\0\x0b\0", b"\x28\0\x02\x01US\x02\0\x07\0")
    assert content.count(NAME.encode()) > 3
    written = _written(tmp_path, content)
    assert planted.left_in(written) == {}
    assert NAME.encode() not in written
    assert np.abs(dcmread(io.BytesIO(written)).pixel_array.astype(int) - pixels).max() <= (8 if bits == 8 else 0)


def _with_comments(frame: bytes, syntax: str) -> bytes:
    """A codestream with a name as comment, in application data, and behind its end."""
    word = NAME.encode()
    comment = (len(word) + 2).to_bytes(2, "big") + word
    if syntax == RLE:
        return frame + word
    if syntax == JPEG_2000_LOSSLESS:
        at = frame.index(b"\xff\x52")
        return frame[:at] + b"\xff\x64" + comment + frame[at:] + word
    return frame[:2] + b"\xff\xfe" + comment + b"\xff\xe1" + comment + frame[2:] + word
