"""What others say of the answers: dicom3tools' dciodvfy finds no error in them, and DCMTK reads the report."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carina.dicom.answers.answers import write_answers
from carina.dicom.answers.objects import KINDS
from carina.inference.predictor import Predictor
from unit.dicom.reading_back import NAMES
from unit.dicom.sources import write_source

_OPTIONAL = (
    *("SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate"),
    *("StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID", "StudyDescription", "ContentDate"),
    *("ContentTime", "Manufacturer", "SeriesNumber", "InstanceNumber", "BodyPartExamined", "ViewPosition"),
    *("PatientOrientation", "BurnedInAnnotation", "ImageType", "RescaleIntercept", "RescaleSlope", "RescaleType"),
    *("WindowCenter", "WindowWidth", "PresentationLUTShape", "InstitutionName", "Modality"),
)
_ALLOWED = r"99CARINA|<2\.25\.\d+>|would be needed to build DICOMDIR - (Patient|Study)"
SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "CR": ("CR", {}),
    "CR, MONOCHROME1": ("CR", {"inverse": True, "bits": 10}),
    "DX": ("DX", {}),
    "DX, MONOCHROME1": ("DX", {"inverse": True, "bits": 14}),
    "SC, 8 bit": ("SC", {"bits": 8}),
    "SC, colour": ("SC", {"bits": 8, "colour": True}),
    "nothing optional": ("DX", dict.fromkeys(_OPTIONAL, ...)),
    "nothing optional, SC": ("SC", {"bits": 8} | dict.fromkeys(_OPTIONAL, ...)),
    "no study date": ("CR", {"StudyDate": None, "ContentDate": None, "StudyTime": None, "ContentTime": None}),
    "lossy, burned in": (
        "DX",
        {"LossyImageCompression": "01", "LossyImageCompressionRatio": 10, "LossyImageCompressionMethod": "ISO_10918_1",
         "BurnedInAnnotation": "YES"},
    ),
    "a paired part of the body": ("DX", {"BodyPartExamined": "LUNG"}),
    "deidentified": (
        "DX",
        {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "by hand", "PatientBirthDate": None,
         "LongitudinalTemporalInformationModified": "UNMODIFIED"},
    ),
    "time zone": ("DX", {"TimezoneOffsetFromUTC": "+0130"}),
    **{
        name: ("DX", {"SpecificCharacterSet": charset, "PatientName": text})
        for name, (charset, text, _) in NAMES.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_dciodvfy_finds_no_error(
    predictor: Predictor, tmp_path: Path, installed: Callable[[str, str], str], name: str
) -> None:
    dciodvfy = installed("dciodvfy", "dicom3tools")
    modality, attributes = SOURCES[name]
    answers = write_answers(write_source(tmp_path / "image.dcm", modality, **attributes), predictor, tmp_path, KINDS)
    assert len(answers.written) == 3
    for answer in answers.written:
        done = subprocess.run([dciodvfy, answer.path], capture_output=True, check=False)
        said = done.stderr.decode("utf-8", "replace").splitlines()
        assert [line for line in said if "Error" in line] == [], answer.kind
        assert done.returncode == 0
        # It says which kind of object it took it for, and warns of nothing but codes that it does not know and what
        # the image lacks, too.
        known = {"sr": "Comprehensive3DSR", "sc": "SCImage", "seg": "Segmentation"}
        assert known[answer.kind] in said
        warned = [line for line in said if "Warning" in line and not re.search(_ALLOWED, line)]
        assert warned == [], answer.kind


def test_dciodvfy_would_find_one(predictor: Predictor, tmp_path: Path, installed: Callable[[str, str], str]) -> None:
    from pydicom import dcmread

    dciodvfy = installed("dciodvfy", "dicom3tools")
    (answer,) = write_answers(write_source(tmp_path / "image.dcm"), predictor, tmp_path, ["sr"]).written
    broken = dcmread(answer.path)
    del broken.VerificationFlag
    broken.save_as(tmp_path / "broken.dcm")
    done = subprocess.run([dciodvfy, tmp_path / "broken.dcm"], capture_output=True, text=True, check=False)
    assert "Error - Missing attribute" in done.stderr


@pytest.mark.parametrize("name", ["DX", "SC, colour", "nothing optional", "japanese"])
def test_dcmtk_reads_the_report(
    predictor: Predictor, tmp_path: Path, installed: Callable[[str, str], str], name: str
) -> None:
    modality, attributes = SOURCES[name]
    answers = write_answers(write_source(tmp_path / "image.dcm", modality, **attributes), predictor, tmp_path, ["sr"])
    report = answers.written[0].path
    # With every check that there is, and codes in full.
    dump = [installed("dsrdump", "dcmtk"), "+Pn", "+Pu", "+Pl", "+Pc", report]
    done = subprocess.run(dump, capture_output=True, check=False)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, done.stderr
    # Of a Japanese name it only says that it does not check it.
    assert b"E:" not in done.stderr
    assert done.stderr == b"" or name == "japanese"
    assert 'TEXT:(priority-reason,99CARINA,"Reason for priority")=' in said
    assert answers.prediction.triage.reason in said
    assert '(122157,DCM,"Probability")' in said
    assert '(260870009,SCT,"Priority")' in said
    page = subprocess.run([installed("dsr2html", "dcmtk"), report], capture_output=True, check=False)
    assert page.returncode == 0
    # For people: a number with its name.
    assert re.search(rb"<b>Probability:</b><br>\s*(<[^>]*>)?\d+\.\d+ %", page.stdout)
