"""What answers carry over from an image: patient and study as they are, in any script, and never into a message."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from amount import sampled
from carina.dicom.answers.answer_attributes import CARRIED, NEVER_MISSING
from carina.dicom.answers.answers import write_answers
from carina.dicom.answers.objects import KINDS
from carina.errors import InputError
from carina.inference.predictor import Predictor
from carina.phantoms.phantom import draw_phantom
from carina.radiographs.read import read_radiograph
from make import names_in, write_image
from unit.dicom.reading_back import NAMES, answered
from unit.dicom.sources import IDENTIFIERS, make_source, write_source
from unit.inference.small_model import write_small_run


def test_patient_and_study_are_those_of_the_image(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", PatientComments="likes tea", PatientIdentityRemoved="NO")
    source = dcmread(path)
    for dataset in answered(path, predictor, tmp_path).values():
        for keyword in CARRIED:
            assert dataset.get(keyword) == source.get(keyword), keyword
        assert dataset.PatientName == IDENTIFIERS["PatientName"]
        assert dataset.PatientIdentityRemoved == "NO"
        # Neither free text nor where it was made, nor private things.
        assert "PatientComments" not in dataset
        assert "InstitutionName" not in dataset


def test_what_an_image_lacks_is_empty(predictor: Predictor, tmp_path: Path) -> None:
    gone = dict.fromkeys((*NEVER_MISSING, "PatientAge", "SpecificCharacterSet", "StudyDescription"), ...)
    gone |= dict.fromkeys(("ContentDate", "ContentTime", "BodyPartExamined", "ViewPosition", "InstanceNumber"), ...)
    gone |= dict.fromkeys(("PatientOrientation", "BurnedInAnnotation", "WindowCenter", "RescaleSlope"), ...)
    for dataset in answered(write_source(tmp_path / "image.dcm", **gone), predictor, tmp_path).values():
        for keyword in NEVER_MISSING:
            assert not dataset[keyword].value, keyword
        assert dataset.InstanceNumber == 1
        assert "SpecificCharacterSet" not in dataset


def test_dates_are_those_of_the_image_and_else_those_of_the_model(predictor: Predictor, tmp_path: Path) -> None:
    read = answered(write_source(tmp_path / "image.dcm"), predictor, tmp_path)
    for dataset in read.values():
        assert (dataset.ContentDate, dataset.ContentTime) == ("20240229", "101622.5")
    undated = write_source(tmp_path / "undated.dcm", seed=2, ContentDate=..., StudyDate=...)
    read = answered(undated, predictor, tmp_path)
    assert (read["sr"].ContentDate, read["sr"].ContentTime) == ("20260101", "000000")
    # No date or time but those that were given: nothing of when it was written.
    known = {"20260101", "20240229", "19410203", "000000", "101500", "101622.5"}
    for dataset in read.values():
        assert {str(e.value) for e in dataset.iterall() if e.VR in ("DA", "TM", "DT") and e.value} <= known


def bytes_of(dataset: Dataset, keyword: str) -> bytes:
    """What the file holds, without padding."""
    raw = dataset.get_item(keyword)
    assert isinstance(raw.value, bytes)
    return raw.value.rstrip(b" ")


@pytest.mark.parametrize("script", NAMES)
def test_a_name_keeps_its_letters_and_bytes(predictor: Predictor, tmp_path: Path, script: str) -> None:
    charset, name, expected = NAMES[script]
    path = write_source(
        tmp_path / "image.dcm", SpecificCharacterSet=charset, PatientName=name, StudyDescription=name[:9]
    )
    wanted = bytes_of(dcmread(path), "PatientName")
    assert expected is None or wanted == expected
    for answer in write_answers(path, predictor, tmp_path, KINDS).written:
        assert bytes_of(dcmread(answer.path), "PatientName") == wanted
        read = dcmread(answer.path)
        assert read.SpecificCharacterSet == charset
        assert str(read.PatientName) == name


@pytest.mark.parametrize("script", NAMES)
def test_a_finding_with_letters_of_its_own_is_written_in_unicode(tmp_path: Path, script: str) -> None:
    charset, name, _ = NAMES[script]
    path = write_source(
        tmp_path / "image.dcm", SpecificCharacterSet=charset, PatientName=name, PhysiciansOfRecord=[name, "B"]
    )
    model = Predictor(write_small_run(tmp_path / "run"))
    findings = ("COVID-19", "Normal", "Tuberkulöse Höhle")
    calibration, bands = model.run.policy.calibration, model.run.policy.bands.model_copy(update={"findings": findings})
    policy = model.run.policy.model_copy(update={"findings": findings, "bands": bands, "calibration": calibration})
    model.run = model.run.model_copy(update={"findings": findings, "policy": policy})
    read = answered(path, model, tmp_path)
    assert read["sr"].SpecificCharacterSet == "ISO_IR 192"
    assert str(read["sr"].PatientName) == name
    assert [str(each) for each in read["sr"].PhysiciansOfRecord] == [name, "B"]
    meanings = {e.value for e in read["sr"].iterall() if e.keyword == "CodeMeaning"}
    assert "Tuberkulöse Höhle" in meanings
    # The picture says nothing of it in text, and stays as it is.
    assert read["sc"].SpecificCharacterSet == charset


def nested(depth: int) -> list[Dataset]:
    """A sequence within a sequence within …"""
    item = Dataset()
    item.CodeMeaning = "innermost"
    for _ in range(depth):
        outer = Dataset()
        outer.ProcedureCodeSequence = [item]
        item = outer
    return [item]


def test_sequences_are_carried_over_and_such_as_no_answer_needs_are_not(predictor: Predictor, tmp_path: Path) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T1", "99LOCAL", "Thorax in Rückenlage"
    path = write_source(tmp_path / "image.dcm", ProcedureCodeSequence=[code], OtherPatientIDsSequence=[code] * 200)
    for dataset in answered(path, predictor, tmp_path).values():
        assert dataset.ProcedureCodeSequence == [code]
        assert "OtherPatientIDsSequence" not in dataset


def test_a_sequence_too_deep_to_be_read_is_an_error_of_the_image(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm")
    image = dcmread(path)
    # Deeper than Python may call: by hand, since pydicom could not write it either.
    depth = 5000
    head = b"\x08\x00\x32\x10SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    tail = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    content = path.read_bytes()
    place = content.index(b"\x10\x00\x10\x00PN")
    assert str(image.PatientName) in content[place : place + 40].decode()
    path.write_bytes(content[:place] + head * depth + tail * depth + content[place:])
    # Its pixels are read elsewhere, with limits.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("carina.inference.predictor.read_radiograph", lambda *_, **__: read_radiograph(png))
        png = write_image(tmp_path / "film.png", draw_phantom("Normal", seed=1, size=128).pixels)
        with pytest.raises(InputError, match="nested over 16 deep"):
            write_answers(path, predictor, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_transfer_syntax_of_the_image_does_not_matter(predictor: Predictor, tmp_path: Path, syntax: UID) -> None:
    for name, written_as in (("little", ExplicitVRLittleEndian), ("other", syntax)):
        order = "<u2" if written_as.is_little_endian else ">u2"
        table = Dataset()
        table.LUTDescriptor, table.LUTData = [4096, 0, 16], np.linspace(0, 65535, 4096).astype(order).tobytes()
        image = make_source(VOILUTSequence=[table], PatientName="Müller^Zoë", PixelAspectRatio=[3, 2])
        image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(order).tobytes()
        image.file_meta.TransferSyntaxUID = written_as
        dcmwrite(tmp_path / f"{name}.dcm", image, enforce_file_format=True)
    one = write_answers(tmp_path / "little.dcm", predictor, tmp_path / "one", KINDS)
    two = write_answers(tmp_path / "other.dcm", predictor, tmp_path / "two", KINDS)
    for first, second in zip(one.written, two.written, strict=True):
        assert first.path.read_bytes() == second.path.read_bytes()


@settings(max_examples=sampled(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_broken_head_gives_answers_or_an_error_that_quotes_nothing(
    predictor: Predictor, tmp_path: Path, data: st.DataObject
) -> None:
    png = tmp_path / "film.png"
    if not png.exists():
        write_image(png, draw_phantom("Normal", seed=1, size=128).pixels)
        write_source(tmp_path / "whole.dcm", ProcedureCodeSequence=nested(2))
    content = bytearray((tmp_path / "whole.dcm").read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(360, 1500))] = data.draw(st.integers(0, 255))
    (tmp_path / "broken.dcm").write_bytes(content)
    said = ""
    with pytest.MonkeyPatch.context() as patched, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        patched.setattr("carina.inference.predictor.read_radiograph", lambda *_, **__: read_radiograph(png))
        try:
            answers = write_answers(tmp_path / "broken.dcm", predictor, tmp_path / "out", ["sr", "seg"])
            for answer in answers.written:
                dcmread(answer.path).to_json_dict(suppress_invalid_tags=True)
        except InputError as error:
            said = str(error)
    assert not any(value in said for value in IDENTIFIERS.values())
    # What is read back here may be warned of; what is written may not.
    assert not [w for w in warned if "carina" in w.filename]


def test_a_recipe_of_any_name_makes_a_name_that_dicom_can_hold(small_run: Path, tmp_path: Path) -> None:
    model = Predictor(small_run)
    model.run = model.run.model_copy(update={"name": "a\\b\n" + "c" * 80})
    read = answered(write_source(tmp_path / "image.dcm"), model, tmp_path)
    assert read["sr"].ManufacturerModelName == "a b " + "c" * 60
    assert len(read["sr"].SoftwareVersions) == 2
    assert all(len(each) <= 64 for each in read["sr"].SoftwareVersions)


def test_no_value_of_the_image_is_ever_said(
    predictor: Predictor, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    word = "Zwiebelfisch"
    broken: list[dict[str, Any]] = [
        {"PatientSex": word, "PatientBirthDate": word, "StudyTime": word, "PatientAge": word},
        {"PatientName": f"{word}=^^^^^^=x=y=z", "SpecificCharacterSet": word},
        {"PatientName": word * 20, "StudyDescription": word * 20, "PatientID": word * 20},
        {"WindowCenter": ..., "VOILUTFunction": word, "RescaleType": word, "PatientOrientation": word},
        {"BurnedInAnnotation": word, "LossyImageCompression": word, "ViewPosition": word, "Modality": word},
        {"StudyInstanceUID": word},
        {"SpecificCharacterSet": "ISO_IR 192", "PatientName": b"\xff\xfeZwiebelfisch"},
    ]
    caplog.set_level(0)
    for number, attributes in enumerate(broken):
        path = write_source(tmp_path / f"{number}.dcm", seed=number, **attributes)
        caplog.clear()
        capfd.readouterr()
        try:
            said = repr(write_answers(path, predictor, tmp_path / "out", KINDS))
        except InputError as error:
            said = str(error)
        said += "".join(capfd.readouterr()) + caplog.text + "".join(names_in(tmp_path / "out"))
        assert word not in said
        assert not any(value in said for value in IDENTIFIERS.values())
        # Nor which image it is, even to those who log everything.
        assert "1.2.826.0.1.3680043.8.498" not in said
