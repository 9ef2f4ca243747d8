"""An image becomes answers: of its study, the same every time, whole or not at all, and nobody is named."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset

import carina.dicom.answers.answers
from carina.decisions.triage import Triage
from carina.dicom.answers.answer_attributes import maker_of
from carina.dicom.answers.answers import AnsweredImages, Answers, write_answers
from carina.dicom.answers.objects import KINDS, series_description, series_uid
from carina.dicom.answers.source import read_source
from carina.dicom.coded_terms import PRIORITIES
from carina.errors import BundleError, ConfigurationError, InputError
from carina.inference.explanation import lettering
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.radiographs.gate import NO_GATE, NO_LUNGS
from make import names_in
from unit.dicom.reading_back import answered, elements_of
from unit.dicom.sources import IDENTIFIERS, write_source
from unit.inference.small_model import write_small_run

SOP_CLASSES = {
    "sr": "1.2.840.10008.5.1.4.1.1.88.34",
    "sc": "1.2.840.10008.5.1.4.1.1.7",
    "seg": "1.2.840.10008.5.1.4.1.1.66.4",
}


def test_each_kind_is_an_object_of_the_same_study_in_a_series_of_its_own(predictor: Predictor, tmp_path: Path) -> None:
    path = write_source(tmp_path / "image.dcm", seed=4)
    answers = write_answers(path, predictor, tmp_path / "out", KINDS)
    assert [answer.kind for answer in answers.written] == ["sr", "sc", "seg"]
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
        assert read.Modality == {"sr": "SR", "sc": "DOC", "seg": "SEG"}[answer.kind]
        assert (read.Manufacturer, read.ManufacturerModelName) == ("Carina", "small")
        assert read.DeviceSerialNumber == predictor.sha256
        assert read.ContentQualification == "RESEARCH"
        # Lists cut the name of a series: the priority comes first.
        priority = PRIORITIES[answers.prediction.triage.priority].meaning
        assert read.SeriesDescription.startswith(f"{priority}: AI ")
        assert read.SeriesDescription.endswith("(Carina, research use)")
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
    (series,) = read["seg"].ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.826.0.1.3680043.8.498.2.4"
    assert references(series.ReferencedInstanceSequence) == {image}
    # No other instance is named anywhere.
    for dataset in read.values():
        named = {e.value for e in dataset.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
        assert named == {image[1]}


def test_a_retry_writes_the_same_bytes_under_the_same_names(
    predictor: Predictor, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_source(tmp_path / "image.dcm")
    first = write_answers(path, predictor, tmp_path / "one", KINDS)
    before = [answer.path.read_bytes() for answer in first.written]
    # Another process, later: a new predictor, another clock, another folder, another order.
    import highdicom.base
    import highdicom.sc.sop

    class Later(highdicom.base.datetime.datetime):  # type: ignore[misc, name-defined]
        @classmethod
        def now(cls, tz: object = None) -> "Later":
            return cls(2031, 1, 2, 3, 4, 5)

    for module in (highdicom.base, highdicom.sc.sop):
        monkeypatch.setattr(module.datetime, "datetime", Later)
    moved = tmp_path / "elsewhere" / "other-name"
    moved.parent.mkdir()
    moved.write_bytes(path.read_bytes())
    second = write_answers(moved, Predictor(small_run), tmp_path / "two", ["seg", "sc", "sr"])
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


def test_an_image_that_comes_again_corrected_has_answers_of_other_uids(predictor: Predictor, tmp_path: Path) -> None:
    """Under one SOP Instance UID: an archive that has the first answers would keep them and drop the new ones."""
    uid = {"SOPInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.5"}
    tries: list[dict[str, Any]] = [
        {"seed": 1},
        {"seed": 2},
        {"seed": 1, "WindowCenter": 1500},
        {"seed": 1, "PatientName": "Corrected^Name"},
        {"seed": 1, "AccessionNumber": "4711"},
        {"seed": 1, "InstanceNumber": 9},
    ]
    written: dict[str, bytes] = {}
    for number, settings in enumerate(tries):
        image = write_source(tmp_path / f"{number}.dcm", **settings, **uid)
        for answer in write_answers(image, predictor, tmp_path / str(number), KINDS).written:
            # Never two contents under one UID.
            assert answer.sop_instance_uid not in written
            written[answer.sop_instance_uid] = answer.path.read_bytes()
    assert len(written) == 3 * len(tries)
    # What came first and comes again is the same, whatever was judged in between.
    image = write_source(tmp_path / "again.dcm", seed=1, **uid)
    for answer in write_answers(image, predictor, tmp_path / "again", KINDS).written:
        assert written[answer.sop_instance_uid] == answer.path.read_bytes()


def test_how_an_image_is_written_makes_no_other_answer(predictor: Predictor, tmp_path: Path) -> None:
    """An archive that hands out what it got in another transfer syntax gets no second answer to it."""
    one = write_source(tmp_path / "one.dcm")
    image = dcmread(one)
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    stream = BytesIO()
    dcmwrite(stream, image, implicit_vr=True, little_endian=True, enforce_file_format=True)
    (tmp_path / "other.dcm").write_bytes(stream.getvalue())
    uids = [
        [answer.sop_instance_uid for answer in write_answers(path, predictor, tmp_path / "out", KINDS).written]
        for path in (one, tmp_path / "other.dcm")
    ]
    assert uids[0] == uids[1]


def test_so_has_another_version_of_carina(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_source(tmp_path / "image.dcm")
    before = write_answers(path, predictor, tmp_path).written[0].sop_instance_uid
    monkeypatch.setattr("carina.dicom.answers.answer_attributes.__version__", "99.0")
    assert write_answers(path, predictor, tmp_path).written[0].sop_instance_uid != before


def test_reservations_stand_in_report_and_picture(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubts = (
        "The patient is a child: outside the intended use, which is adults.",
        "The header does not name the view.",
    )
    monkeypatch.setattr("carina.inference.predictor.reservations_of", lambda _: doubts)
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
    assert tuple(named) == (*doubts, NO_GATE)
    assert " ".join((*doubts, NO_GATE)) in written


def test_images_of_a_study_share_the_series_of_a_kind_and_a_priority(predictor: Predictor, tmp_path: Path) -> None:
    made = [write_answers(write_source(tmp_path / f"{n}.dcm", seed=n), predictor, tmp_path) for n in (1, 2)]
    assert len({answers.prediction.triage.priority for answers in made}) == 1
    one, two = ({answer.kind: answer for answer in answers.written} for answers in made)
    for kind in KINDS:
        assert one[kind].series_uid == two[kind].series_uid
        assert one[kind].sop_instance_uid != two[kind].sop_instance_uid
    # A series has one name, and the name begins with the priority.
    source, maker = read_source(tmp_path / "1.dcm"), maker_of(predictor, None)
    assert len({series_uid(source, maker, "sr", priority) for priority in PRIORITIES}) == len(PRIORITIES)
    elsewhere = write_source(tmp_path / "3.dcm", seed=3, StudyInstanceUID="1.2.3.4")
    assert write_answers(elsewhere, predictor, tmp_path, ["sr"]).written[0].series_uid != one["sr"].series_uid


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
    assert answers.reason == f"Not judged: {NO_LUNGS}; nothing is said about its findings."
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


def test_without_a_region_the_rest_is_written(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carina.dicom.answers.answers, "find_regions", lambda *_: [])
    path = write_source(tmp_path / "image.dcm")
    answers = write_answers(path, predictor, tmp_path, KINDS)
    assert [answer.kind for answer in answers.written] == ["sr", "sc"]
    why = "the model looks for no lungs, and no cell adds 0.25 log odds or more, so that no region is there"
    assert answers.left_out == {"seg": why}
    assert answers.reason is None
    alone = write_answers(path, predictor, tmp_path / "alone", ["seg"])
    assert (alone.written, alone.reason) == ((), why)


def test_the_name_of_a_series_fits() -> None:
    names = [series_description(kind, priority) for kind in KINDS for priority in PRIORITIES]
    assert max(map(len, names)) <= 64
    assert len(set(names)) == len(names)


def test_all_objects_are_made_before_the_first_is_written(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Dataset:
        raise ValueError(IDENTIFIERS["PatientName"])

    path = write_source(tmp_path / "image.dcm")
    monkeypatch.setattr(carina.dicom.answers.answers, "segmentation", broken)
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


@pytest.mark.long
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
    with pytest.raises(ConfigurationError, match=r"no kind of answer 'pdf'\. Name some of: sr, sc, seg"):
        write_answers(path, predictor, tmp_path, ["sr", "pdf"])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="No kind of answer is named"):
        write_answers(path, predictor, tmp_path, [])


def test_without_highdicom_it_is_said_what_to_type(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carina.extras.find_spec", lambda _: None)
    with pytest.raises(
        ConfigurationError, match=r'needs highdicom\. Install it with: pip install "carina-cxr\[dicom\]"'
    ):
        write_answers(write_source(tmp_path / "image.dcm"), predictor, tmp_path)


def test_a_model_that_gives_no_explanations_gives_no_picture(tmp_path: Path) -> None:
    path, model = write_source(tmp_path / "image.dcm"), Predictor(write_small_run(tmp_path / "r", contributions=False))
    with pytest.raises(BundleError, match="does not give what each cell contributes"):
        write_answers(path, model, tmp_path / "out", ["sc"])
    assert [answer.kind for answer in write_answers(path, model, tmp_path / "out", ["sr"]).written] == ["sr"]


def test_a_judgement_without_numbers_is_no_answer(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triage = Triage("not-assessable", "no-number", "Not judged: no number.")

    def not_assessable(*_: object, **__: object) -> Iterator[Prediction]:
        yield Prediction(tmp_path, "", {}, triage, (), 0.0)

    monkeypatch.setattr(predictor, "predict", not_assessable)
    before = AnsweredImages()
    path = write_source(tmp_path / "image.dcm")
    answers = write_answers(path, predictor, tmp_path / "out", answered=before)
    assert (answers.written, answers.reason) == ((), "Not judged: no number.")
    # Another image of its UID may still be answered.
    monkeypatch.undo()
    other = write_source(tmp_path / "other.dcm", seed=2, SOPInstanceUID=str(dcmread(path).SOPInstanceUID))
    assert write_answers(other, predictor, tmp_path / "out", ["sr"], answered=before).written
    with pytest.raises(InputError, match=f"it has the SOP Instance UID of {other} and other contents"):
        write_answers(path, predictor, tmp_path / "out", ["sr"], answered=before)
