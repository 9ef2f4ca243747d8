"""Patients told by the names of files: counted, hashed like those of DICOM, never over one that is known."""

from pathlib import Path

import pytest

from carina.datasets.importing import import_dataset
from carina.datasets.listing import list_source
from carina.errors import ConfigurationError
from carina.radiographs.dicom.identity import identifier_digest
from make import write_csv, write_films


def test_the_group_is_the_patient(tmp_path: Path) -> None:
    names = [f"{f}/P{n // 2}_{n}.png" for f in ("Normal", "TB") for n in range(8)]
    write_films(tmp_path / "films", *names, "TB/other.png")
    report = import_dataset(tmp_path / "films", tmp_path / "out", patient_from=r"/(P\d+)_", test_only=True)
    manifest = report.dataset.manifest
    assert set(manifest["patient"]) == {None, *(identifier_digest("PatientID", f"P{n}") for n in range(4))}
    assert manifest["group"].n_unique() == 5
    assert "Paths in which --patient-from found a patient: 16 of 17. Patients: 4." in report.notes
    assert (
        "Paths that do not match --patient-from: 1 of 17. Each of these images counts as a patient of its own. The "
        "first: TB/other.png" in report.notes
    )
    assert report.dataset.description.choices is not None
    assert report.dataset.description.choices.patient_from == r"/(P\d+)_"
    keyed = list_source(tmp_path / "films", patient_from=r"/(P\d+)_", patient_key=b"0123456789abcdef").images
    assert not set(keyed["patient"].drop_nulls()) & set(manifest["patient"].drop_nulls())


def test_a_table_knows_better(tmp_path: Path) -> None:
    write_films(tmp_path, "here/P1_a.png", "here/P1_b.png", "elsewhere/P2_c.png")
    table = write_csv(
        tmp_path / "here" / "m.csv",
        ["path", "finding", "patient"],
        [["P1_a.png", "TB", "known"], ["P1_b.png", "TB", ""], [tmp_path / "elsewhere" / "P2_c.png", "TB", ""]],
    )
    listing = list_source(table, patient_from=r"(P\d)_")
    digests = [identifier_digest("PatientID", name) for name in ("P1", "P2")]
    assert listing.images["patient"].to_list() == ["known", *digests]
    assert "Images that have a patient already, which stays: 1." in listing.notes


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        (r"(P\d+", r"is not a regular expression: missing \), unterminated subpattern"),
        (r"P\d+", r"--patient-from 'P\\d\+' has 0 groups. It needs one"),
        (r"(P)(\d+)", "has 2 groups"),
        (r"(Q\d+)", r"matches none of 1 paths. One of them is: TB/P1.png"),
    ],
)
def test_what_finds_no_patient_is_refused(tmp_path: Path, expression: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        list_source(write_films(tmp_path, "TB/P1.png"), patient_from=expression)
