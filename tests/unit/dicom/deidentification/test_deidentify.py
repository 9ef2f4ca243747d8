"""What is written in the place of what was."""

import io
import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from carina.dicom.deidentification.deidentify import deidentify
from carina.dicom.deidentification.profile import EDITION, Options, action_for
from carina.dicom.deidentification.pseudonyms import Pseudonyms
from make_dicom import BIG_ENDIAN, IMPLICIT, encode_dicom
from unit.dicom.deidentification.made import KEY, OTHER_KEY, UIDS, done, item
from unit.dicom.reading_back import NAMES
from unit.dicom.sources import IDENTIFIERS, write_source


@pytest.mark.parametrize(("modality", "bits"), [("CR", 12), ("DX", 14), ("SC", 8)])
def test_the_basic_profile(tmp_path: Path, modality: str, bits: int) -> None:
    path = write_source(tmp_path / "image.dcm", modality, bits=bits)
    before, after = dcmread(path), done(path)
    assert re.fullmatch(r"CARINA-[A-Z2-7]{16}", after.PatientID)
    assert after.PatientName == after.PatientID.replace("-", "^")
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
        assert after[keyword].is_empty, keyword
    for keyword in ("PatientAge", "StudyDescription", "InstitutionName", "SpecificCharacterSet"):
        assert keyword not in after, keyword
    for keyword in UIDS:
        assert re.fullmatch(r"2\.25\.\d{20,39}", after[keyword].value)
    for keyword in ("SOPClassUID", "Modality", "BodyPartExamined", "ViewPosition", "WindowCenter", "Rows", "ImageType"):
        assert after[keyword].value == before[keyword].value, keyword
    np.testing.assert_array_equal(after.pixel_array, before.pixel_array)


def test_it_says_what_was_done(tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm")
    after = done(path)
    assert after.PatientIdentityRemoved == "YES"
    assert EDITION in after.DeidentificationMethod
    assert after.LongitudinalTemporalInformationModified == "REMOVED"
    assert [code.CodeValue for code in after.DeidentificationMethodCodeSequence] == ["113100"]
    every = Options(patient_characteristics=True, device=True, uids=True, shifted_dates=True)
    after = dcmread(tmp_path / "all" / deidentify(path.read_bytes(), tmp_path / "all", Pseudonyms(KEY), every).path)
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"
    said = {code.CodeValue: code.CodeMeaning for code in after.DeidentificationMethodCodeSequence}
    assert list(said) == ["113100", "113107", "113108", "113109", "113110"]
    # In the standard's own words.
    standard = [getattr(codes.cid7050, keyword) for keyword in codes.cid7050.dir()]
    assert set(said.items()) <= {(code.value, code.meaning) for code in standard}


def test_the_head_of_the_file_is_new(tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm")
    path.write_bytes(b"MZ" + b"Zwiebelfisch".ljust(126) + path.read_bytes()[128:])
    after = done(path)
    assert after.preamble == bytes(128)
    assert {element.keyword for element in after.file_meta} == {
        *("FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID"),
        *("MediaStorageSOPInstanceUID", "TransferSyntaxUID", "ImplementationClassUID", "ImplementationVersionName"),
    }
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert after.file_meta.ImplementationVersionName.startswith("CARINA_")
    assert Path(after.filename).name == f"{after.SOPInstanceUID}.dcm"
    assert Path(after.filename).parent.name == after.StudyInstanceUID


def test_a_key_gives_the_same_every_time_and_another_key_others(tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm")
    first = deidentify(path.read_bytes(), tmp_path / "a", Pseudonyms(KEY), Options())
    again = deidentify(path.read_bytes(), tmp_path / "b", Pseudonyms(KEY), Options())
    assert (tmp_path / "a" / first.path).read_bytes() == (tmp_path / "b" / again.path).read_bytes()
    other = deidentify(path.read_bytes(), tmp_path / "c", Pseudonyms(OTHER_KEY), Options())
    assert other.sop_instance_uid != first.sop_instance_uid
    drawn = {deidentify(path.read_bytes(), tmp_path / "d", Pseudonyms(), Options()).sop_instance_uid for _ in range(2)}
    assert len(drawn) == 2
    ids = [dcmread(tmp_path / folder / made.path).PatientID for folder, made in (("a", first), ("c", other))]
    assert ids[0] != ids[1]


def test_images_of_a_patient_and_a_study_stay_together(tmp_path: Path) -> None:
    one, two = (done(write_source(tmp_path / f"{n}.dcm", seed=n)) for n in (1, 2))
    assert one.PatientID == two.PatientID
    assert one.StudyInstanceUID == two.StudyInstanceUID
    assert one.SeriesInstanceUID != two.SeriesInstanceUID
    stranger = done(write_source(tmp_path / "3.dcm", seed=3, PatientID="MRN-4712"))
    assert stranger.PatientID != one.PatientID
    # A number counts with who gave it out.
    elsewhere = done(write_source(tmp_path / "4.dcm", seed=4, IssuerOfPatientID="Another house"))
    assert elsewhere.PatientID != one.PatientID
    # And is the same in any character set.
    same = [
        done(write_source(tmp_path / f"{charset}.dcm", seed=n, PatientID="Zoë-1", SpecificCharacterSet=charset))
        for n, charset in enumerate(("ISO_IR 100", "ISO_IR 192"), start=5)
    ]
    assert same[0].PatientID == same[1].PatientID


def test_without_a_number_the_name_and_birth_date_or_the_study_tell_patients_apart(tmp_path: Path) -> None:
    def pseudonym(name: str, **attributes: Any) -> str:
        return str(
            done(write_source(tmp_path / f"{name}.dcm", seed=hash(name) % 1000, PatientID="", **attributes)).PatientID
        )

    same = pseudonym("a"), pseudonym("b")
    assert same[0] == same[1]
    assert pseudonym("c", PatientBirthDate="19500101") != same[0]
    nobody = [pseudonym(name, PatientName="", StudyInstanceUID=f"1.2.{ord(name)}") for name in "de"]
    assert nobody[0] != nobody[1]


def test_references_within_sequences_still_lead_to_their_images(tmp_path: Path) -> None:
    first = write_source(tmp_path / "1.dcm", seed=1)
    uid = str(dcmread(first).SOPInstanceUID)
    cr = "1.2.840.10008.5.1.4.1.1.1"
    deep = item(ReferencedSOPClassUID=cr, ReferencedSOPInstanceUID=uid)
    series = item(SeriesInstanceUID="1.2.3.4", ReferencedInstanceSequence=[deep])
    study = item(StudyInstanceUID="1.2.3.5", ReferencedSeriesSequence=[series])
    second = write_source(
        tmp_path / "2.dcm",
        seed=2,
        SourceImageSequence=[deep],
        StudiesContainingOtherReferencedInstancesSequence=[study],
    )
    one, two = done(first), done(second)
    assert two.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert two.SourceImageSequence[0].ReferencedSOPClassUID == cr
    inner = two.StudiesContainingOtherReferencedInstancesSequence[0].ReferencedSeriesSequence[0]
    assert inner.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert inner.SeriesInstanceUID.startswith("2.25.")


def test_codes_keep_the_words_of_the_standard_and_no_others(tmp_path: Path) -> None:
    def code(value: str, scheme: str, meaning: str, **more: Any) -> Dataset:
        return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning, **more)

    inner = code("399198007", "SCT", "Zwiebelfisch")
    path = write_source(
        tmp_path / "image.dcm",
        ViewCodeSequence=[code("272479007", "SCT", "Zwiebelfisch, Aurelia", ViewModifierCodeSequence=[inner])],
        AnatomicRegionSequence=[code("T-D3000", "SRT", "Zwiebelfisch")],
        ProcedureCodeSequence=[code("ZWIEBEL1", "99XYZZY", "Thorax"), code("113014", "DCM", "Zwiebelfisch")],
        PerformedProtocolCodeSequence=[code("4711", "99XYZZY", "Zwiebelfisch")],
    )
    after = done(path)
    view = after.ViewCodeSequence[0]
    assert (view.CodeValue, view.CodingSchemeDesignator) == ("272479007", "SCT")
    assert "posteroanterior" in view.CodeMeaning.lower()
    assert view.ViewModifierCodeSequence[0].CodeValue == "399198007"
    assert after.AnatomicRegionSequence[0].CodeValue == "T-D3000"
    assert [found.CodeValue for found in after.ProcedureCodeSequence] == ["113014"]
    assert "PerformedProtocolCodeSequence" not in after
    assert "wiebel" not in str(after)


def test_patient_characteristics(tmp_path: Path) -> None:
    body = {"PatientSize": "1.71", "PatientWeight": "64", "PregnancyStatus": 4, "SmokingStatus": "NO"}
    texts = {"EthnicGroup": "Zwiebel", "Allergies": "Zwiebel", "SpecialNeeds": "Zwiebel", "PatientState": "Zwiebel"}
    path = write_source(tmp_path / "image.dcm", **body, **texts)
    options = Options(patient_characteristics=True)
    after = done(path, options)
    assert (after.PatientSex, after.PatientAge) == ("F", "081Y")
    assert (after.PatientSize, after.PatientWeight, after.PregnancyStatus, after.SmokingStatus) == (1.71, 64, 4, "NO")
    assert not any(keyword in after for keyword in texts)
    assert not any(keyword in done(write_source(tmp_path / "2.dcm", seed=2, **body)) for keyword in body)
    ages = {"089Y": "089Y", "090Y": "090Y", "104Y": "090Y", "003M": "003M", "old": None}
    for number, (age, kept) in enumerate(ages.items(), start=3):
        found = done(write_source(tmp_path / f"{number}.dcm", seed=number, PatientAge=age), options)
        assert found.get("PatientAge") == kept
    named = done(write_source(tmp_path / "9.dcm", seed=9, PatientSex="ZWIEBEL"), options)
    assert named["PatientSex"].is_empty


def test_dates_are_earlier_by_the_same_days_for_all_of_a_patient(tmp_path: Path) -> None:
    options = Options(shifted_dates=True)
    moments = {
        "StudyDate": "20240229", "AcquisitionDateTime": "20240301101622.5", "SeriesDate": "20231231",
        "DateOfLastDetectorCalibration": "20240101", "AcquisitionTime": "101622.5", "ContentDate": "",
    }  # fmt: skip
    one = done(write_source(tmp_path / "1.dcm", seed=1, **moments), options)

    def days(image: Dataset, keyword: str, before: str) -> timedelta:
        return datetime.strptime(before[:8], "%Y%m%d") - datetime.strptime(str(image[keyword].value)[:8], "%Y%m%d")

    shift = days(one, "StudyDate", moments["StudyDate"])
    assert timedelta(days=1) <= shift <= timedelta(days=3650)
    for keyword in ("AcquisitionDateTime", "SeriesDate", "DateOfLastDetectorCalibration"):
        assert days(one, keyword, moments[keyword]) == shift, keyword
    assert one.AcquisitionDateTime.endswith("101622.5")
    assert one.AcquisitionTime == "101622.5"
    assert one["ContentDate"].is_empty
    # Of birth nothing is kept.
    assert one["PatientBirthDate"].is_empty
    two = done(write_source(tmp_path / "2.dcm", seed=2, StudyDate="20200101"), options)
    assert days(two, "StudyDate", "20200101") == shift
    others = {
        days(done(write_source(tmp_path / f"{n}.dcm", seed=n, PatientID=f"P{n}"), options), "StudyDate", "20240229")
        for n in range(3, 9)
    }
    assert len(others) == 6
    assert shift not in others
    # What is no day is no date.
    broken = done(write_source(tmp_path / "9.dcm", seed=9, StudyDate="20241399", SeriesDate="Zwiebel"), options)
    assert broken["StudyDate"].is_empty
    assert "SeriesDate" not in broken


def test_the_device(tmp_path: Path) -> None:
    device = {
        "Manufacturer": "Makers", "ManufacturerModelName": "Model", "DeviceSerialNumber": "S-1", "StationName": "Süd 2",
        "SoftwareVersions": ["1", "2"], "DetectorID": "D-1", "PlateID": "P-1", "DeviceUID": "1.2.3.9",
    }  # fmt: skip
    room = item(CodeValue="R2", CodingSchemeDesignator="99HOUSE", CodeMeaning="Room 2", EvaluatorName="Zwiebelfisch")
    path = write_source(tmp_path / "image.dcm", **device, PerformedStationNameCodeSequence=[room])
    after = done(path)
    assert "PerformedStationNameCodeSequence" not in after
    assert after["Manufacturer"].is_empty
    assert not any(keyword in after for keyword in set(device) - {"Manufacturer", "DeviceUID"})
    assert after.DeviceUID != "1.2.3.9"
    kept = dcmread(
        tmp_path / "kept" / deidentify(path.read_bytes(), tmp_path / "kept", Pseudonyms(KEY), Options(device=True)).path
    )
    assert {keyword: kept[keyword].value for keyword in device} == device
    assert "InstitutionName" not in kept
    # No person's name even there.
    assert [str(element.value) for element in kept.PerformedStationNameCodeSequence[0]] == ["R2", "99HOUSE", "Room 2"]


def test_uids_may_stay(tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", ReferencedStudySequence=[item(ReferencedSOPInstanceUID="1.2.3")])
    before, after = dcmread(path), done(path, Options(uids=True))
    for keyword in UIDS:
        assert after[keyword].value == before[keyword].value
    assert after.ReferencedStudySequence[0].ReferencedSOPInstanceUID == "1.2.3"
    assert "ReferencedStudySequence" not in dcmread(
        tmp_path / "none" / deidentify(path.read_bytes(), tmp_path / "none", Pseudonyms(KEY), Options()).path
    )


def test_big_endian_and_implicit_images_read_the_same(tmp_path: Path) -> None:
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) % 4096
    uids = {keyword: f"1.2.3.{n}" for n, keyword in enumerate(UIDS)}
    lut = {"LUTDescriptor": [16, 0, 16], "LUTData": np.arange(16).astype(">u2").tobytes(), "ModalityLUTType": "US"}
    made = {}
    for name, syntax in (("big", BIG_ENDIAN), ("implicit", IMPLICIT)):
        data = lut | ({"LUTData": np.arange(16).astype("<u2").tobytes()} if name == "implicit" else {})
        path = tmp_path / f"{name}.dcm"
        path.write_bytes(
            encode_dicom(pixels, syntax, stored=12, BurnedInAnnotation="NO", ModalityLUTSequence=[data], **uids)
        )
        made[name] = dcmread(
            tmp_path / name / deidentify(path.read_bytes(), tmp_path / name, Pseudonyms(KEY), Options()).path
        )
        np.testing.assert_array_equal(made[name].pixel_array, pixels)
        assert made[name].file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        table = made[name].ModalityLUTSequence[0]
        assert list(table.LUTDescriptor) == [16, 0, 16]
        assert list(np.frombuffer(table.LUTData, "<u2")) == list(range(16))
        assert table.ModalityLUTType == "US"
    assert made["big"].PatientID == made["implicit"].PatientID


@pytest.mark.parametrize("name", NAMES)
def test_names_in_any_script_are_gone(tmp_path: Path, name: str) -> None:
    charset, text, raw = NAMES[name]
    path = write_source(tmp_path / "image.dcm", SpecificCharacterSet=charset, PatientName=text)
    written = Path(done(path).filename).read_bytes()
    encodings = ("utf-8", "utf-16-le", "utf-16-be", "latin-1", "iso2022_jp", "euc_kr", "iso8859_5")
    forms = {raw} if raw else set()
    for part in re.split(r"[\^=]", text):
        for encoding in encodings:
            try:
                forms.add(part.encode(encoding))
            except UnicodeEncodeError:
                continue
    assert not [form for form in forms if len(form) > 3 and form in written]


def test_warnings_of_pydicom_say_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    word = "Zwiebelfisch"
    path = write_source(
        tmp_path / "image.dcm", PatientBirthDate=word, PatientSex=word, SpecificCharacterSet=word, PatientID="X" * 99
    )
    caplog.clear()
    # Warnings are errors in these tests.
    options = Options(patient_characteristics=True, shifted_dates=True, device=True)
    deidentify(path.read_bytes(), tmp_path / "out", Pseudonyms(KEY), options)
    assert caplog.text == ""


def test_private_and_structural_groups_go_whatever_is_kept() -> None:
    every = Options(patient_characteristics=True, device=True, uids=True, shifted_dates=True)
    for tag, vr in (
        *((0x0009_1001, "DA"), (0x0400_0105, "DT"), (0x6000_0022, "LO"), (0x5000_0020, "CS"), (0x0002_0016, "AE")),
        *((0x0010_0000, "UL"), (0x7FE0_0001, "OV"), (0x0004_1220, "SQ")),
    ):
        assert action_for(tag, vr, every) == "remove", hex(tag)


@pytest.mark.skipif(os.name != "posix", reason="file permissions of Unix")
def test_the_source_is_not_touched(tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm")
    before = path.read_bytes()
    path.chmod(0o400)
    done(path)
    assert path.read_bytes() == before
    assert dcmread(io.BytesIO(before)).PatientID == IDENTIFIERS["PatientID"]
