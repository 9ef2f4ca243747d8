"""Tables of labels for DICOM: what they may hold, and what is said of a wrong one without saying whose it is."""

from pathlib import Path

import pytest

from carina.datasets.labels import Labels, read_labels
from carina.errors import DataError
from carina.findings import NORMAL
from carina.radiographs.dicom.identity import identifier_digest


def table(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def findings(labels: Labels, *values: str) -> list[str]:
    kind = labels.identifier
    return [labels.of_digest[identifier_digest(kind, value) or ""].finding for value in values]


def test_findings_by_patient_or_by_study(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path, "PatientID,finding\n007, covid \nmüller ,Normal\n7,Normal\n"))
    assert labels.identifier == "PatientID"
    # Zeros before a number count, spaces around it do not. A finding stays as written: the listing gives it its name.
    assert findings(labels, "007", " 007\0", "müller", "7") == ["covid", "covid", NORMAL, NORMAL]
    assert [label.row for label in labels.of_digest.values()] == [2, 3, 4]
    labels = read_labels(
        table(tmp_path, "finding,source,StudyInstanceUID,PatientID\nNormal,a,1.2.3,9\nSARS,,1.2.4,9\n")
    )
    assert labels.identifier == "StudyInstanceUID"
    assert findings(labels, "1.2.3", "1.2.4") == [NORMAL, "SARS"]
    assert [label.source for label in labels.of_digest.values()] == ["a", None]
    assert labels.notes == ("Columns left out: PatientID.",)


def test_the_same_row_twice_is_one_label(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path, "PatientID,finding\n1,COVID\n1,COVID-19\n"))
    assert len(labels.of_digest) == 1
    labels = read_labels(table(tmp_path, "PatientID,finding\n1,TB\n1,tb\n"))
    assert len(labels.of_digest) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("PatientID,finding\nSECRET-1,a\nSECRET-1,b\n", r"rows 2 and 3: the same PatientID with two findings"),
        ("PatientID,finding,source\nSECRET-1,a,x\nSECRET-1,a,y\n", r"rows 2 and 3: the same PatientID"),
        ("StudyInstanceUID,finding\n ,SECRET\n", r"row 2: it has no StudyInstanceUID\."),
        ("Patient,finding\nSECRET,a\n", r"no column path, StudyInstanceUID or PatientID\. It has: Patient, finding"),
        ("PatientID,sign\nSECRET,a\n", r"no column 'finding'\. It has: PatientID, sign \(with commas"),
        ("PatientID;finding\nSECRET;a;b\n", r"row 2: it has 3 cells, and the header has 2 \(with semicolons"),
        ("patientId,Target\nSECRET,1\n", r"no column 'finding'.* published table of rsna: add --labels-as rsna"),
        ("PatientID,finding,sex\nSECRET,a,F\n", r"unknown columns: sex\. Known: StudyInstanceUID, PatientID"),
        ("", r"cannot be read as a table"),
    ],
)
def test_what_is_wrong_is_said_by_its_row(tmp_path: Path, text: str, says: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(DataError, match=says) as wrong:
        read_labels(path)
    assert str(path) in str(wrong.value)
    assert "SECRET" not in str(wrong.value)


def test_names_of_columns_separators_and_unknown_findings(tmp_path: Path) -> None:
    path = table(tmp_path, "Patient ID;Diagnosis;Hospital;note\n1;covid;x;\n2;;;\n3;A|B;;later\n4;-1;;\n")
    labels = read_labels(path, columns={"finding": "diagnosis"})
    # Whether they can be used is told where all findings are renamed and counted.
    assert findings(labels, "1", "2", "3", "4") == ["covid", "", "A|B", "-1"]
    assert labels.of_digest[identifier_digest("PatientID", "1") or ""].source == "x"
    assert labels.notes == ("Columns left out: note.",)


def test_unknown_columns_on_request(tmp_path: Path) -> None:
    path = table(tmp_path, "PatientID,finding,sex\n1,a,F\n")
    assert read_labels(path, ignore_unknown_columns=True).notes == ("Columns left out: sex.",)


def test_a_table_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.csv cannot be read as a table"):
        read_labels(tmp_path / "labels.csv")
