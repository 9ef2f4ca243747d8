"""Which images are refused, and by which words; and that files which mean harm do none."""

from pathlib import Path
from typing import Any

import numpy as np
import openjpeg
import pytest
from pydicom import dcmread

from carina.dicom.answers.source import read_source
from carina.dicom.deidentification.deidentify import Deidentified, deidentify
from carina.dicom.deidentification.profile import Options
from carina.dicom.deidentification.pseudonyms import Pseudonyms
from carina.errors import InputError
from make_dicom import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_2000_LOSSLESS,
    JPEG_LS,
    data_set,
    encode_dicom,
    padded,
    raw_element,
    with_meta,
)
from unit.dicom.deidentification.made import KEY, UIDS, done, item, refused
from unit.dicom.sources import write_source


@pytest.mark.parametrize("uid", ["../../x", "..", ".", "1..2", "Zwiebel", "1.2." + "3" * 70])
@pytest.mark.parametrize("keyword", UIDS)
def test_what_is_no_uid_leads_nowhere(tmp_path: Path, keyword: str, uid: str) -> None:
    path = write_source(tmp_path / "in" / "image.dcm", **{keyword: uid})
    with pytest.raises(InputError) as error:
        deidentify(path.read_bytes(), tmp_path / "out", Pseudonyms(KEY), Options(uids=True))
    assert error.value.code == "missing-attribute"
    assert keyword in str(error.value)
    assert not (tmp_path / "out").exists()


def test_writing_in_the_picture_is_refused(tmp_path: Path) -> None:
    error = refused(write_source(tmp_path / "1.dcm", BurnedInAnnotation="YES"))
    assert error.code == "identity-in-pixels"
    # Looking at it does not take it away.
    assert refused(write_source(tmp_path / "2.dcm", BurnedInAnnotation="YES"), pixels_looked_at=True).code == error.code


def test_secondary_captures_must_say_so_or_be_looked_at(tmp_path: Path) -> None:
    path = write_source(tmp_path / "1.dcm", "SC", bits=8, BurnedInAnnotation=...)
    error = refused(path)
    assert error.code == "identity-in-pixels"
    assert "--pixels-looked-at" in str(error)
    assert done(path, pixels_looked_at=True).PatientIdentityRemoved == "YES"


CAPTURED = "its header says that it was captured, digitised or converted"


@pytest.mark.parametrize("modality", ["CR", "DX"])
@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"ImageType": ["DERIVED", "SECONDARY"]}, CAPTURED),
        ({"ImageType": ["DERIVED", "PRIMARY", "SCREEN SAVE"]}, CAPTURED),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "Screenshot"]}, CAPTURED),
        ({"ConversionType": "DF"}, CAPTURED),
        ({"SecondaryCaptureDeviceID": "scanner 1"}, CAPTURED),
        ({"DateOfSecondaryCapture": "20240101"}, CAPTURED),
        ({"BurnedInAnnotation": "Y"}, "its BurnedInAnnotation is neither YES nor NO"),
        ({"BurnedInAnnotation": "UNKNOWN"}, "its BurnedInAnnotation is neither"),
        ({"BurnedInAnnotation": ["NO", "N"]}, "its BurnedInAnnotation is neither"),
        ({"bits": 8, "colour": True}, "it is in colour"),
    ],
)
def test_what_may_be_a_capture_is_treated_like_one(
    tmp_path: Path, modality: str, attributes: dict[str, Any], why: str
) -> None:
    settings = {"BurnedInAnnotation": ..., **attributes}
    path = write_source(tmp_path / "image.dcm", modality, **settings)
    error = refused(path)
    assert error.code == "identity-in-pixels"
    assert str(error).startswith(why)
    assert "--pixels-looked-at" in str(error)
    assert done(path, pixels_looked_at=True).PatientIdentityRemoved == "YES"
    if "BurnedInAnnotation" not in attributes:
        # Its own word is enough.
        assert done(write_source(tmp_path / "said.dcm", modality, seed=2, **attributes)).PatientIdentityRemoved == "YES"


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY"]},
        {"ImageType": ["DERIVED", "PRIMARY", "POST_PROCESSED"]},
        {"ImageType": ...},
        {"ImageType": ["ORIGINAL", "PRIMARY", "DIGITAL"]},
        {"ConversionType": ""},
        {"BurnedInAnnotation": ""},
    ],
)
def test_what_is_no_capture_is_written_with_a_note(tmp_path: Path, attributes: dict[str, Any]) -> None:
    path = write_source(tmp_path / "image.dcm", "CR", **{"BurnedInAnnotation": ..., **attributes})
    made = deidentify(path.read_bytes(), tmp_path / "out", Pseudonyms(KEY), Options())
    assert len(made.notes) == 1


def test_what_lies_behind_the_pixels_counts_too(tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", "CR", BurnedInAnnotation=..., WindowCenter=..., WindowWidth=...)
    plain = path.read_bytes()
    path.write_bytes(plain + data_set({"BurnedInAnnotation": "YES"}))
    assert refused(path).code == "identity-in-pixels"
    # The window is kept and the name is not.
    path.write_bytes(plain + data_set({"PatientComments": "Zwiebelfisch", "WindowCenter": 900, "WindowWidth": 700}))
    made = done(path)
    assert (made.WindowCenter, made.WindowWidth) == (900, 700)
    assert "PatientComments" not in made


@pytest.mark.parametrize(
    ("centre", "kept"), [("2600,5", [2600.5]), ("x\\2600", ["", 2600]), ("Zwiebel", None), ("2,600", None)]
)
def test_a_window_that_can_be_used_is_kept(tmp_path: Path, centre: str, kept: list[float | str] | None) -> None:
    path = tmp_path / "image.dcm"
    uids = {keyword: f"1.2.3.{n}" for n, keyword in enumerate(UIDS)}
    pixels = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    path.write_bytes(encode_dicom(pixels, BurnedInAnnotation="NO", WindowCenter=centre, **uids))
    made = done(path)
    if kept is None:
        assert "WindowCenter" not in made
    else:
        value = made.WindowCenter
        found = [] if value is None else list(value) if hasattr(value, "__iter__") else [value]
        assert found == kept


def test_colours_that_only_a_box_tells_are_not_lost(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(60, 200, (32, 32, 3)).astype(np.uint8)
    uids = {keyword: f"1.2.3.{n}" for n, keyword in enumerate(UIDS)}
    boxed = openjpeg.encode(colour, photometric_interpretation=3, bits_stored=8, codec_format=1)
    for photometric, is_refused in (("RGB", True), ("YBR_FULL", False)):
        path = tmp_path / f"{photometric}.dcm"
        content = encode_dicom(
            colour, JPEG_2000_LOSSLESS, photometric=photometric, frame=padded(boxed), BurnedInAnnotation="NO", **uids
        )
        path.write_bytes(content)
        if is_refused:
            assert "boxes around its JPEG 2000 pixels" in str(refused(path))
        else:
            assert done(path).PhotometricInterpretation == photometric


@pytest.mark.parametrize(("written", "options"), [("1.02.3", Options()), ("1.2.3\0", Options()), ("1.2.3", Options())])
def test_uids_are_taken_as_reports_take_them(tmp_path: Path, written: str, options: Options) -> None:
    path = write_source(tmp_path / "image.dcm", SOPInstanceUID=written)
    assert done(path, options).SOPInstanceUID == Pseudonyms(KEY).uid(written.strip("\0"))
    assert read_source(path).sop_instance_uid == written.strip("\0")


def test_the_head_of_the_file_says_the_uid_that_the_image_does_not(tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", SOPInstanceUID=...)
    assert done(path).SOPInstanceUID == Pseudonyms(KEY).uid("1.2.3")
    assert read_source(path).sop_instance_uid == "1.2.3"


@pytest.mark.parametrize(("said", "notes"), [("NO", 0), (..., 1)])
def test_radiographs_that_do_not_say_are_written_with_a_note(tmp_path: Path, said: Any, notes: int) -> None:
    path = write_source(tmp_path / "image.dcm", "CR", BurnedInAnnotation=said)
    made = deidentify(path.read_bytes(), tmp_path / "out", Pseudonyms(KEY), Options())
    assert isinstance(made, Deidentified)
    assert len(made.notes) == notes


def test_other_objects_are_refused(tmp_path: Path) -> None:
    cases = {
        "no-image": write_source(tmp_path / "1.dcm", PixelData=...),
        "not-a-radiograph": write_source(tmp_path / "2.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT"),
        "animated": write_source(tmp_path / "3.dcm", "SC", NumberOfFrames=2),
        "unsupported-format": write_source(tmp_path / "4.dcm"),
        "truncated": write_source(tmp_path / "5.dcm"),
    }
    cases["unsupported-format"].write_bytes(encode_dicom(np.zeros((8, 8), np.uint8), DEFLATED))
    cases["truncated"].write_bytes(cases["truncated"].read_bytes()[:-1000])
    for code, path in cases.items():
        assert refused(path).code == code
    # Of no class whose rules are known, though it is called a radiograph.
    error = refused(write_source(tmp_path / "6.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.7.1"))
    assert error.code == "not-a-radiograph"
    (tmp_path / "7.dcm").write_bytes(b"Zwiebelfisch" * 100)
    assert refused(tmp_path / "7.dcm").code == "unsupported-format"
    assert refused(tmp_path / "gone.dcm").code == "not-found"


def test_sequences_without_bottom_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    body = b""
    for _ in range(5000):
        inner = b"\xfe\xff\x00\xe0" + len(body).to_bytes(4, "little") + body
        body = raw_element(0x0008_2112, "SQ", inner)
    path = tmp_path / "deep.dcm"
    path.write_bytes(with_meta(body + raw_element(0x7FE0_0010, "OW", b"\0\0")))
    error = refused(path)
    assert error.code == "too-large"
    assert "nested" in str(error)
    many = raw_element(0x0008_2112, "SQ", b"\xfe\xff\x00\xe0" + (8 * 60_000).to_bytes(4, "little") + bytes(8 * 60_000))
    path.write_bytes(with_meta(many + raw_element(0x7FE0_0010, "OW", b"\0\0")))
    assert refused(path).code == "too-large"


def test_a_sequence_that_nobody_walked_through_is_left_out(tmp_path: Path) -> None:
    """Written as bytes of no type, it was not counted and measured, and pydicom would parse it all the same."""
    path = write_source(tmp_path / "image.dcm", SourceImageSequence=[item(ReferencedSOPInstanceUID="1.2.3")])
    assert "SourceImageSequence" in done(path)
    plain = path.read_bytes()
    at = plain.index(b"\x08\0\x12\x21SQ")
    path.write_bytes(plain[: at + 4] + b"UN" + plain[at + 6 :])
    made = deidentify(path.read_bytes(), tmp_path / "untyped", Pseudonyms(KEY), Options())
    assert "SourceImageSequence" not in dcmread(tmp_path / "untyped" / made.path)


def test_values_that_are_too_long_are_refused_or_left_out(tmp_path: Path) -> None:
    uids = {keyword: f"1.2.3.{n}" for n, keyword in enumerate(UIDS)}
    path, long = tmp_path / "in.dcm", "1\\" * 50_000
    # In implicit encoding a value may have any length.
    for keyword in ("SpecificCharacterSet", "PatientID"):
        said = uids | {keyword: long}
        path.write_bytes(encode_dicom(np.zeros((32, 32), np.uint16), IMPLICIT, BurnedInAnnotation="NO", **said))
        assert refused(path).code == "too-large"
    said = uids | {"FocalSpots": long, "DetectorBinning": "1\\1"}
    path.write_bytes(encode_dicom(np.zeros((32, 32), np.uint16), IMPLICIT, BurnedInAnnotation="NO", **said))
    after = done(path)
    assert "FocalSpots" not in after
    assert list(after.DetectorBinning) == [1, 1]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, JPEG_LS])
def test_mangled_files_are_refused_by_a_named_error_or_lose_their_identity(tmp_path: Path, syntax: str) -> None:
    rng = np.random.default_rng(4)
    pixels = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    code = {"CodeValue": "51185008", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Secret Chest"}
    uids = {keyword: f"1.2.3.{n}" for n, keyword in enumerate(UIDS)}
    plain = encode_dicom(
        pixels, syntax, stored=12, AnatomicRegionSequence=[code], PatientComments="Secret text", WindowCenter=2048,
        SourceImageSequence=[{"ReferencedSOPInstanceUID": "1.2.3", "PatientID": "SECRET-2"}], **uids,
    )  # fmt: skip
    # Where the elements are; pixels are as long again.
    head = plain.rindex(b"\x7f\xe0" if syntax == BIG_ENDIAN else b"\xe0\x7f")
    path, outcomes, said = tmp_path / "in.dcm", set(), ""
    every = Options(patient_characteristics=True, uids=True, shifted_dates=True)
    for number in range(150):
        broken = bytearray(plain)
        for place in rng.integers(128, head, 1 + number % 4):
            broken[place] = int(rng.integers(0, 256))
        path.write_bytes(broken)
        try:
            made = deidentify(path.read_bytes(), tmp_path / f"out{number}", Pseudonyms(KEY), every)
        except InputError as error:
            outcomes.add(error.code)
            said += str(error)
        else:
            outcomes.add("made")
            written = (tmp_path / f"out{number}" / made.path).read_bytes()
            assert b"ecret" not in written.lower()
    assert "ecret" not in said.lower()
    assert {"made", "truncated", "unreadable-file"} <= outcomes


def test_a_second_image_of_the_same_uid_is_refused_and_the_same_one_is_not(tmp_path: Path) -> None:
    path = write_source(tmp_path / "1.dcm", seed=1)
    first = deidentify(path.read_bytes(), tmp_path / "o", Pseudonyms(KEY), Options())
    content = (tmp_path / "o" / first.path).read_bytes()
    assert deidentify(path.read_bytes(), tmp_path / "o", Pseudonyms(KEY), Options()) == first
    other = write_source(tmp_path / "2.dcm", seed=2, SOPInstanceUID=str(dcmread(path).SOPInstanceUID))
    with pytest.raises(InputError) as error:
        deidentify(other.read_bytes(), tmp_path / "o", Pseudonyms(KEY), Options())
    assert error.value.code == "written-before"
    assert (tmp_path / "o" / first.path).read_bytes() == content
