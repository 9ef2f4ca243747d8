"""Whose image a file holds comes back as hashes, and never as what they stand for."""

import json

import pytest

from carina.errors import InputError
from carina.radiographs.dicom import workers as workers_module
from carina.radiographs.dicom.identity import identifier_digest
from carina.radiographs.dicom.workers import Workers, shared_workers
from make import make_grey
from make_dicom import BIG_ENDIAN, IMPLICIT, encode_dicom, encode_object

GREY = make_grey(1, (60, 50))


def test_hashes_of_whose_it_is() -> None:
    said = {"PatientID": " 0815 ", "StudyInstanceUID": "1.2.3", "PatientSex": "F", "ViewPosition": "AP"}
    found = [shared_workers().identify(encode_dicom(GREY, syntax, **said)) for syntax in (IMPLICIT, BIG_ENDIAN)]
    for identity in found:
        assert identity.patient == identifier_digest("PatientID", "0815")
        assert identity.study == identifier_digest("StudyInstanceUID", "1.2.3")
        assert (identity.sex, identity.header.view, identity.header.age_years) == ("F", "AP", 45)
    assert "0815" not in repr(found)
    assert "1.2.3" not in repr(found)


def test_a_study_and_a_patient_of_one_number_are_two() -> None:
    assert identifier_digest("PatientID", "1.2") != identifier_digest("StudyInstanceUID", "1.2")
    assert identifier_digest("PatientID", " \0") is None


def test_what_is_not_said_is_none() -> None:
    identity = shared_workers().identify(encode_dicom(GREY, PatientID=None, PatientSex="Secret"))
    assert (identity.patient, identity.study, identity.sex) == (None, None, None)


def test_letters_beyond_ascii_are_those_of_the_table() -> None:
    for character_set, name in (("ISO_IR 100", "müller".encode("latin-1")), ("ISO_IR 192", "müller".encode())):
        content = encode_dicom(GREY, PatientID=name, SpecificCharacterSet=character_set)
        assert shared_workers().identify(content).patient == identifier_digest("PatientID", "müller")


def test_the_pixels_need_not_be_there() -> None:
    content = encode_dicom(make_grey(1, (600, 500)), PatientID="0815")
    assert shared_workers().identify(content[:2000]) == shared_workers().identify(content)
    with pytest.raises(InputError):
        shared_workers().identify(content[:300])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (encode_dicom(GREY, Modality="CT"), "not-a-radiograph"),
        (encode_object("1.2.840.10008.5.1.4.1.1.88.33", "SR"), "companion-object"),
        (encode_dicom(GREY, Manufacturer="Carina"), "own-answer"),
        (b"nothing", "no-image"),
    ],
)
def test_what_has_no_radiograph_is_said(content: bytes, code: str) -> None:
    with pytest.raises(InputError) as refused:
        shared_workers().identify(content)
    assert refused.value.code == code
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        ({}, b""),
        ({"patient": 1, "study": None, "sex": None, "header": {}}, b""),
        ({"patient": None, "study": None, "sex": "Secret^Patient", "header": {}}, b""),
        ({"patient": "Secret^Patient", "study": None, "sex": None, "header": {}}, b""),
        ({"patient": None, "study": "A" * 64, "sex": None, "header": {}}, b""),
        ({"error": "not-dicom"}, b""),
        ({"error": "no such code", "message": "Secret^Patient"}, b"[]"),
        ({"error": "no such code", "message": "Secret^Patient"}, b""),
        ([], b""),
        ({}, json.dumps([1]).encode()),
        ({}, b"["),
    ],
)
def test_an_answer_is_not_believed(monkeypatch: pytest.MonkeyPatch, answer: object, more: bytes) -> None:
    """Of a process that was taken over by a file."""
    program = (
        "import json, sys\n"
        "from carina.radiographs.dicom import worker\n"
        f"worker._answer = lambda requests, words, size: (requests.read(words + size), ({answer!r}, {more!r}))[1]\n"
        "worker.main()\n"
    )
    monkeypatch.setattr(
        workers_module, "_PROGRAM", f"import json, sys\nsys.path[:] = json.loads(sys.argv[1])\n{program}"
    )
    workers = Workers(most=1)
    for ask in (workers.identify, workers.list_directory):
        with pytest.raises(InputError) as refused:
            ask(b"x")
        assert refused.value.code == "unreadable-file"
        assert "Secret" not in str(refused.value)
    workers.close()
