"""An image becomes answers: of its study, the same every time, whole or not at all, and nobody is named."""

import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

import carina.dicom.answers
from carina.datasets.phantom import draw_phantom
from carina.decisions.triage import Triage
from carina.dicom.answers import Answers, write_answers
from carina.dicom.attributes import CARRIED, NEVER_MISSING
from carina.dicom.objects import KINDS
from carina.errors import BundleError, ConfigurationError, InputError
from carina.inference import lettering
from carina.inference.predictor import NO_LUNGS, Prediction, Predictor
from carina.radiographs.read import read_radiograph
from make import names_in, write_image
from unit.dicom.sources import IDENTIFIERS, make_source, write_source
from unit.inference.small_model import write_small_run

SOP_CLASSES = {
    "sr": "1.2.840.10008.5.1.4.1.1.88.34",
    "sc": "1.2.840.10008.5.1.4.1.1.7",
    "pr": "1.2.840.10008.5.1.4.1.1.11.1",
}


def answered(path: Path, predictor: Predictor, out: Path, **settings: Any) -> dict[str, Dataset]:
    """Return the answers by kind, read again."""
    answers = write_answers(path, predictor, out, KINDS, **settings)
    return {answer.kind: dcmread(answer.path) for answer in answers.written}


def elements(dataset: Dataset) -> Iterator[Any]:
    yield from dataset.iterall()


def elements_of(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    """Every item of every sequence of a name."""
    for element in dataset.iterall():
        if element.keyword == keyword:
            yield from element.value


def test_each_kind_is_an_object_of_the_same_study_in_a_series_of_its_own(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", seed=4)
    answers = write_answers(path, predictor, tmp_path / "out", KINDS)
    assert [answer.kind for answer in answers.written] == ["sr", "sc", "pr"]
    assert answers.reason is None
    assert answers.left_out == {}
    assert answers.prediction.path == path
    assert names_in(tmp_path / "out") == sorted(answer.path.name for answer in answers.written)
    series = set()
    for answer in answers.written:
        assert answer.path.name == f"carina-{answer.kind}-{answer.sop_instance_uid}.dcm"
        read = dcmread(answer.path)
        assert (read.SOPClassUID, read.SOPInstanceUID) == (answer.sop_class_uid, answer.sop_instance_uid)
        assert read.SOPClassUID == SOP_CLASSES[answer.kind] == read.file_meta.MediaStorageSOPClassUID
        assert read.StudyInstanceUID == "1.2.826.0.1.3680043.8.498.3.1"
        assert read.SeriesInstanceUID == answer.series_uid
        assert read.Modality == {"sr": "SR", "sc": "OT", "pr": "PR"}[answer.kind]
        assert (read.Manufacturer, read.ManufacturerModelName) == ("Carina", "small")
        assert read.DeviceSerialNumber == predictor.sha256
        assert read.ContentQualification == "RESEARCH"
        assert "research use" in read.SeriesDescription
        series.add(answer.series_uid)
    assert len(series) == 3
    assert "1.2.826.0.1.3680043.8.498.2.4" not in series


def test_every_answer_refers_to_the_image(predictor: Predictor, tmp_path: Path) -> None:
    read = answered(write_source(tmp_path / "image.dcm", "CR", seed=4), predictor, tmp_path)
    image = ("1.2.840.10008.5.1.4.1.1.1", "1.2.826.0.1.3680043.8.498.1.4")

    def references(sequence: Any) -> set[tuple[str, str]]:
        return {(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in sequence}

    (evidence,) = read["sr"].CurrentRequestedProcedureEvidenceSequence
    assert evidence.StudyInstanceUID == "1.2.826.0.1.3680043.8.498.3.1"
    (series,) = evidence.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.826.0.1.3680043.8.498.2.4"
    assert references(series.ReferencedSOPSequence) == {image}
    assert references(read["sc"].SourceImageSequence) == {image}
    (series,) = read["pr"].ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.826.0.1.3680043.8.498.2.4"
    assert references(series.ReferencedImageSequence) == {image}
    # No other instance is named anywhere.
    for dataset in read.values():
        named = {e.value for e in elements(dataset) if e.keyword == "ReferencedSOPInstanceUID"}
        assert named == {image[1]}


def test_a_retry_writes_the_same_bytes_under_the_same_names(
    predictor: Predictor, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_source(tmp_path / "image.dcm")
    first = write_answers(path, predictor, tmp_path / "one", KINDS)
    before = [answer.path.read_bytes() for answer in first.written]
    # Another process, later: a new predictor, another clock, another folder, another order.
    import highdicom.base
    import highdicom.pr.content
    import highdicom.sc.sop

    class Later(highdicom.base.datetime.datetime):  # type: ignore[misc, name-defined]
        @classmethod
        def now(cls, tz: object = None) -> "Later":
            return cls(2031, 1, 2, 3, 4, 5)

    for module in (highdicom.base, highdicom.pr.content, highdicom.sc.sop):
        monkeypatch.setattr(module.datetime, "datetime", Later)
    moved = tmp_path / "elsewhere" / "other-name"
    moved.parent.mkdir()
    moved.write_bytes(path.read_bytes())
    second = write_answers(moved, Predictor(small_run), tmp_path / "two", ["pr", "sc", "sr"])
    again = write_answers(path, predictor, tmp_path / "one", KINDS)
    for one, two, three, content in zip(first.written, second.written, again.written, before, strict=True):
        assert one == three
        assert replace(one, path=Path()) == replace(two, path=Path())
        assert one.path.name == two.path.name
        assert content == two.path.read_bytes() == three.path.read_bytes()
    assert len(names_in(tmp_path / "one")) == 3


def test_what_makes_another_answer_has_other_uids(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm")
    other_run = Predictor(write_small_run(tmp_path / "run", bias=np.array([-8.0, 4.0, 0.6], np.float32)))
    seen: set[str] = set()
    tries: list[tuple[Path, Predictor, float | None]] = [
        (path, predictor, None),
        (path, predictor, 0.02),
        (path, predictor, 0.05),
        (path, other_run, None),
        (write_source(tmp_path / "other.dcm", seed=2), predictor, None),
    ]
    for number, (image, model, prevalence) in enumerate(tries):
        answers = write_answers(image, model, tmp_path / str(number), KINDS, prevalence=prevalence)
        uids = {answer.sop_instance_uid for answer in answers.written}
        assert len(uids) == 3
        assert not uids & seen
        seen |= uids


def test_so_has_another_version_of_carina(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_source(tmp_path / "image.dcm")
    before = write_answers(path, predictor, tmp_path).written[0].sop_instance_uid
    monkeypatch.setattr("carina.dicom.attributes.__version__", "99.0")
    assert write_answers(path, predictor, tmp_path).written[0].sop_instance_uid != before


def test_reservations_stand_in_report_and_picture(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubts = (
        "The patient is a child: outside the intended use, which is adults.",
        "The header does not name the view.",
    )
    for module in ("measurement_report", "secondary_capture"):
        monkeypatch.setattr(f"carina.dicom.{module}.reservations_of", lambda _: doubts)
    written: list[str] = []
    wrapped = lettering.wrapped

    def noting(text: str, *rest: Any) -> list[str]:
        written.append(text)
        return wrapped(text, *rest)

    monkeypatch.setattr(lettering, "wrapped", noting)
    read = answered(write_source(tmp_path / "image.dcm"), predictor, tmp_path)
    named = [
        item.TextValue
        for item in elements_of(read["sr"], "ContentSequence")
        if item.get("TextValue") and item.ConceptNameCodeSequence[0].CodeMeaning == "Reservation"
    ]
    assert tuple(named) == doubts
    assert " ".join(doubts) in written


def test_images_of_a_study_share_the_series_of_a_kind(predictor: Predictor, tmp_path: Path) -> None:
    one, two = (
        {a.kind: a for a in write_answers(write_source(tmp_path / f"{n}.dcm", seed=n), predictor, tmp_path).written}
        for n in (1, 2)
    )
    for kind in ("sr", "sc"):
        assert one[kind].series_uid == two[kind].series_uid  # type: ignore[index]
        assert one[kind].sop_instance_uid != two[kind].sop_instance_uid  # type: ignore[index]
    elsewhere = write_source(tmp_path / "3.dcm", seed=3, StudyInstanceUID="1.2.3.4")
    assert write_answers(elsewhere, predictor, tmp_path, ["sr"]).written[0].series_uid != one["sr"].series_uid


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
    for kind, keyword in (("sr", "Content"), ("sc", "Content"), ("pr", "PresentationCreation")):
        assert (read[kind][f"{keyword}Date"].value, read[kind][f"{keyword}Time"].value) == ("20240229", "101622.5")
    undated = write_source(tmp_path / "undated.dcm", seed=2, ContentDate=..., StudyDate=...)
    read = answered(undated, predictor, tmp_path)
    assert (read["sr"].ContentDate, read["sr"].ContentTime) == ("20260101", "000000")
    # No date or time but those that were given: nothing of when it was written.
    known = {"20260101", "20240229", "19410203", "000000", "101500", "101622.5"}
    for dataset in read.values():
        assert {str(e.value) for e in elements(dataset) if e.VR in ("DA", "TM", "DT") and e.value} <= known


NAMES = {
    "latin": ("ISO_IR 100", "Müller^Zoë", None),
    "unicode": ("ISO_IR 192", "Wang^XiaoDong=王^小东", None),
    "cyrillic": ("ISO_IR 144", "Люкceмбypг^А", None),
    # PS3.5 H.3.1
    "japanese": (
        ["", "ISO 2022 IR 87"],
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    ),
    # PS3.5 I.2
    "korean": (
        ["", "ISO 2022 IR 149"],
        "Hong^Gildong=洪^吉洞=홍^길동",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
    ),
}


def bytes_of(dataset: Dataset, keyword: str) -> bytes:
    """What stands in the file, without padding."""
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
    meanings = {e.value for e in elements(read["sr"]) if e.keyword == "CodeMeaning"}
    assert "Tuberkulöse Höhle" in meanings
    # The picture and the marks say nothing of it in text, and stay as they are.
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
        with pytest.raises(InputError, match="its attributes cannot be read"):
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


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
            answers = write_answers(tmp_path / "broken.dcm", predictor, tmp_path / "out", ["sr", "pr"])
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


def test_an_image_that_may_not_be_judged_gets_a_reason_and_nothing_else(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", bits=8)
    image = dcmread(path)
    pixels = np.tile(np.array([[0, 1]], np.uint8), (256, 128))
    image.PixelData = pixels.tobytes()
    stream = BytesIO()
    image.save_as(stream)
    path.write_bytes(stream.getvalue())
    answers = write_answers(path, predictor, tmp_path / "out", KINDS)
    assert answers.written == ()
    assert answers.reason == f"Not judged: {NO_LUNGS}; it is to be read as it is."
    assert answers.prediction.triage.priority == "not-assessable"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"no image", b""])
def test_what_is_refused_gets_an_error_and_nothing_else(predictor: Predictor, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image.dcm").write_bytes(content)
    with pytest.raises(InputError):
        write_answers(tmp_path / "image.dcm", predictor, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_answer_is_not_answered(predictor: Predictor, tmp_path: Path) -> None:
    written = write_answers(write_source(tmp_path / "image.dcm"), predictor, tmp_path, KINDS).written
    for answer in written:
        with pytest.raises(InputError, match="an answer that Carina wrote") as own:
            write_answers(answer.path, predictor, tmp_path / "out")
        assert own.value.code == "own-answer"
    assert not (tmp_path / "out").exists()


def test_marks_are_left_out_for_a_colour_image_and_the_rest_is_written(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", "SC", bits=8, colour=True)
    answers = write_answers(path, predictor, tmp_path, KINDS)
    assert [answer.kind for answer in answers.written] == ["sr", "sc"]
    assert answers.left_out == {"pr": "a presentation state of this kind is for grey images"}
    assert answers.reason is None
    alone = write_answers(path, predictor, tmp_path / "alone", ["pr"])
    assert (alone.written, alone.reason) == ((), "a presentation state of this kind is for grey images")


def test_all_objects_are_made_before_the_first_is_written(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Dataset:
        raise ValueError(IDENTIFIERS["PatientName"])

    path = write_source(tmp_path / "image.dcm")
    monkeypatch.setattr(carina.dicom.answers, "presentation_state", broken)
    with pytest.raises(InputError, match="hold values that no answer can be written with") as error:
        write_answers(path, predictor, tmp_path / "out", KINDS)
    assert error.value.__suppress_context__
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_whole_files_only(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_source(tmp_path / "image.dcm"), tmp_path / "out"
    written: list[int] = []

    def full(self: Path, data: bytes) -> int:
        if written:
            with self.open("wb") as stream:
                stream.write(data[:100])
            raise OSError(28, "No space left on device")
        written.append(1)
        with self.open("wb") as stream:
            return stream.write(data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            write_answers(path, predictor, out, KINDS)
    (one,) = out.iterdir()
    assert dcmread(one).SOPClassUID == SOP_CLASSES["sr"]
    assert len(write_answers(path, predictor, out, KINDS).written) == 3
    assert len(names_in(out)) == 3


def test_threads_do_not_disturb_each_other(small_run: Path, tmp_path: Path) -> None:
    paths = [write_source(tmp_path / f"{n}.dcm", seed=n) for n in range(4)]
    found: dict[Path, Answers] = {}

    def answer(path: Path) -> None:
        found[path] = write_answers(path, Predictor(small_run), tmp_path / "threads", ["sr", "sc"])

    threads = [threading.Thread(target=answer, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for path in paths:
        alone = write_answers(path, Predictor(small_run), tmp_path / "alone", ["sr", "sc"])
        for one, other in zip(found[path].written, alone.written, strict=True):
            assert one.path.read_bytes() == other.path.read_bytes()


def test_kinds_that_are_none_are_named(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm")
    with pytest.raises(ConfigurationError, match=r"no kind of answer 'pdf'\. Name some of: sr, sc, pr"):
        write_answers(path, predictor, tmp_path, ["sr", "pdf"])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="No kind of answer is named"):
        write_answers(path, predictor, tmp_path, [])


def test_without_highdicom_it_is_said_what_to_type(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carina.dicom.extra.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r'Type: pip install "carina-cxr\[dicom\]"'):
        write_answers(write_source(tmp_path / "image.dcm"), predictor, tmp_path)


def test_a_model_that_gives_no_explanations_gives_no_picture(tmp_path: Path) -> None:
    path, model = write_source(tmp_path / "image.dcm"), Predictor(write_small_run(tmp_path / "r", contributions=False))
    with pytest.raises(BundleError, match="does not give what each cell contributes"):
        write_answers(path, model, tmp_path / "out", ["sc"])
    assert [answer.kind for answer in write_answers(path, model, tmp_path / "out", ["sr"]).written] == ["sr"]


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


def test_a_judgement_without_numbers_is_no_answer(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_assessable(*_: object, **__: object) -> Iterator[Prediction]:
        yield Prediction(tmp_path, "", "Normal", {}, Triage("not-assessable", "Not judged: no number."), None, 0.0)

    monkeypatch.setattr(predictor, "predict", not_assessable)
    answers = write_answers(write_source(tmp_path / "image.dcm"), predictor, tmp_path / "out")
    assert (answers.written, answers.reason) == ((), "Not judged: no number.")
