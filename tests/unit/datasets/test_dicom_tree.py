"""A tree of DICOM files becomes a data set: labelled, grouped by patient, side views left out, nobody named."""

from pathlib import Path

import polars as pl
import pytest

from carina.datasets.importing import ImportReport, import_dataset
from carina.errors import ConfigurationError, DataError
from carina.findings import COVID_19, NORMAL
from carina.radiographs.dicom.identity import identifier_digest
from make import make_sheet, names_in, write_csv, write_image
from make_dicom import Value, encode_dicom, encode_directory, encode_object

PATIENTS = 16


def put(path: Path, seed: int, patient: str, study: str, **said: Value | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    attributes: dict[str, Value | None] = {"PatientID": patient, "StudyInstanceUID": study, **said}
    path.write_bytes(encode_dicom(make_sheet(seed), **attributes))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return studies of sixteen patients as an archive keeps them: two of each, the second with a side view."""
    root = tmp_path_factory.mktemp("archive")
    for patient in range(PATIENTS):
        for visit in (0, 1):
            study, seed = root / f"{patient:02}" / f"S{visit}", 10 * patient + visit
            put(study / "IM1", seed, f"SECRET-{patient}", f"1.2.{patient}.{visit}", PatientSex="F")
        put(study / "IM2.dcm", seed + 5, f"SECRET-{patient}", f"1.2.{patient}.1", ViewPosition="LL")
    (root / "DICOMDIR").write_bytes(encode_directory(["00", "S0", "IM1"]))
    (root / "notes.txt").write_text("SECRET-0 is well again")
    (root / "00" / "SR1").write_bytes(encode_object("1.2.840.10008.5.1.4.1.1.88.33", "SR"))
    put(root / "00" / "CT1", 900, "SECRET-0", "1.2.0.0", Modality="CT")
    (root / "01" / "cut").write_bytes((root / "01" / "S0" / "IM1").read_bytes()[:400])
    return root


def label(folder: Path, kind: str, *rows: tuple[str, str]) -> Path:
    return write_csv(folder / "labels.csv", [kind, "finding"], rows)


def by_patient(folder: Path, *more: tuple[str, str], first: int = 0) -> Path:
    rows = [(f"SECRET-{n}", "COVID" if n % 2 else "Normal") for n in range(first, PATIENTS)]
    return label(folder, "PatientID", *rows, *more)


def imported(tree: Path, out: Path, labels: Path, **options: object) -> ImportReport:
    return import_dataset(tree, out, labels=labels, **options)  # type: ignore[arg-type]


def test_labels_by_patient(tree: Path, tmp_path: Path) -> None:
    report = imported(tree, tmp_path / "out", by_patient(tmp_path, ("SECRET-99", "Normal"), first=1))
    manifest = report.dataset.manifest
    assert manifest.height == 2 * (PATIENTS - 1)
    assert set(manifest["view"]) == {"PA"}
    assert set(manifest["age"]) == {45.0}
    assert set(manifest["sex"]) == {"F"}
    for row in manifest.iter_rows(named=True):
        number = int(Path(row["path"]).parts[-3])
        assert row["finding"] == (COVID_19 if number % 2 else NORMAL)
        assert row["patient"] == identifier_digest("PatientID", f"SECRET-{number}")
    # A patient's two studies are on one side.
    sides = manifest.group_by("patient").agg(pl.col("group").n_unique(), pl.col("split").n_unique())
    assert sides.drop("patient").rows() == [(1, 1)] * (PATIENTS - 1)
    assert manifest["group"].n_unique() == PATIENTS - 1
    said = " ".join(report.notes)
    for note in (
        "Left out, since they are not images: 1 .txt file, 1 DICOMDIR file.",
        f"Left out: {PATIENTS} DICOM files, each because its header says that it is a lateral view.",
        "Left out: 2 DICOM files, each because it has no label.",
        "Left out: 1 DICOM file, because its header says that its modality is CT, which makes no chest radiographs.",
        "Left out: 1 DICOM file, because this is a structured report, which accompanies the images of a study",
        f"1 of {PATIENTS} labels in labels.csv matched no image: row {PATIENTS + 1}.",
    ):
        assert note in said
    assert "No PatientID" not in said
    assert report.dataset.unreadable()["code"].to_list() == ["no-image"]
    left_out = pl.read_csv(tmp_path / "out" / "left_out.csv")
    assert left_out.height == PATIENTS + 6
    assert names_in(tmp_path / "out") == [
        *("dataset.json", "details.npy", "errors.csv", "left_out.csv", "manifest.parquet")
    ]
    for file in (tmp_path / "out").iterdir():
        assert b"SECRET" not in file.read_bytes()
    assert "SECRET" not in said


def test_labels_by_study(tree: Path, tmp_path: Path) -> None:
    """Of each patient the first study is normal and the second is not: still one group."""
    rows = [(f"1.2.{n}.{visit}", "COVID" if visit else "Normal") for n in range(PATIENTS) for visit in (0, 1)]
    report = imported(tree, tmp_path / "out", label(tmp_path, "StudyInstanceUID", *rows), test_only=True)
    manifest = report.dataset.manifest
    assert manifest["finding"].value_counts().sort("finding").rows() == [(COVID_19, PATIENTS), (NORMAL, PATIENTS)]
    assert manifest["group"].n_unique() == PATIENTS
    assert not any("labels.csv matched" in note for note in report.notes)


def test_a_label_whose_images_are_all_side_views_is_told(tree: Path, tmp_path: Path) -> None:
    put(tmp_path / "tree" / "IM1", 1, "A", "1.1")
    put(tmp_path / "tree" / "IM2", 2, "B", "1.2", ViewPosition="LL")
    put(tmp_path / "tree" / "IM3", 3, "C", "1.3", BodyPartExamined="KNEE")
    labels = label(tmp_path, "PatientID", *((name, "Normal") for name in "ABCD"))
    report = imported(tmp_path / "tree", tmp_path / "out", labels, test_only=True)
    assert "2 of 4 labels in labels.csv matched only images that were left out: rows 3, 4." in report.notes
    assert "1 of 4 labels in labels.csv matched no image: row 5." in report.notes


def test_without_a_patient_the_study_stands_in(tmp_path: Path) -> None:
    for number, study in enumerate(("1.1", "1.1", "1.2")):
        put(tmp_path / "tree" / f"IM{number}", number, "", study)
    labels = label(tmp_path, "StudyInstanceUID", ("1.1", "Normal"), ("1.2", "Normal"))
    report = imported(tmp_path / "tree", tmp_path / "out", labels, test_only=True)
    assert report.dataset.manifest["group"].n_unique() == 2
    assert report.dataset.manifest["patient"].null_count() == 0
    assert any(note.startswith("3 images have no PatientID. Each study counts as a patient") for note in report.notes)


def test_a_key_makes_other_hashes_and_the_same_groups(tree: Path, tmp_path: Path) -> None:
    labels, key = by_patient(tmp_path), tmp_path / "key"
    key.write_bytes(b"0123456789abcdef\n")
    plain = imported(tree, tmp_path / "a", labels, test_only=True).dataset.manifest
    keyed = imported(tree, tmp_path / "b", labels, test_only=True, patient_key=key).dataset.manifest
    again = imported(tree, tmp_path / "c", labels, test_only=True, patient_key=key).dataset.manifest
    assert keyed.equals(again)
    assert not set(plain["patient"]) & set(keyed["patient"])
    assert plain["group"].equals(keyed["group"])
    key.write_bytes(b"0123456789abcde")
    with pytest.raises(ConfigurationError, match=r"holds 15 bytes; at least 16"):
        imported(tree, tmp_path / "d", labels, patient_key=key)
    with pytest.raises(ConfigurationError, match=r"gone cannot be read"):
        imported(tree, tmp_path / "d", labels, patient_key=tmp_path / "gone")


def test_where_no_label_fits_it_is_said_why(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No DICOM image has a label in .* it has no label") as wrong:
        imported(tree, tmp_path / "out", label(tmp_path, "PatientID", ("SECRET-99", "Normal")))
    assert "SECRET" not in str(wrong.value).replace(str(tmp_path), "")
    with pytest.raises(DataError, match=r"is not a folder\. With --labels, name the folder of the images"):
        imported(tree / "DICOMDIR", tmp_path / "out", by_patient(tmp_path))
    assert not (tmp_path / "out").exists()


def test_folders_of_findings_are_grouped_by_patient_too(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(12):
        finding = "COVID" if number % 2 else "Normal"
        put(source / finding / f"IM{number}", number, f"P{number // 4}", "1.1")
        write_image(source / finding / f"{number}.png", make_sheet(100 + number))
    put(source / "COVID" / "side.dcm", 50, "P0", "1.1", ViewPosition="LATERAL")
    put(source / "COVID" / "ct.dcm", 51, "P0", "1.1", Modality="CT")
    report = import_dataset(source, tmp_path / "out", test_only=True)
    manifest = report.dataset.manifest
    assert manifest["patient"].n_unique() == 4  # three, and none for the pictures
    assert manifest.filter(pl.col("patient").is_not_null())["group"].n_unique() == 3
    assert manifest["group"].n_unique() == 3 + 12
    assert "Left out: 1 DICOM file, because its header says that it is a lateral view." in report.notes
    assert report.dataset.unreadable()["code"].to_list() == ["not-a-radiograph"]
    left_out = pl.read_csv(tmp_path / "out" / "left_out.csv")
    assert left_out.rows() == [(str(source / "COVID" / "side.dcm"), "its header says that it is a lateral view")]


def test_long_headers_and_images_that_end_a_file_early(tmp_path: Path) -> None:
    """What lies behind the first quarter of a megabyte is found, too."""
    long = {"ImageComments": "x" * 60_000, "PatientComments": "y" * 60_000, "AdditionalPatientHistory": "z" * 60_000}
    more = {"Allergies": "a" * 60_000, "TextComments": "b" * 60_000}
    put(tmp_path / "tree" / "IM1", 1, "A", "1.1", **long, **more)
    assert (tmp_path / "tree" / "IM1").stat().st_size > 256 * 1024
    report = imported(
        tmp_path / "tree", tmp_path / "out", label(tmp_path, "PatientID", ("A", "Normal")), test_only=True
    )
    assert report.dataset.manifest.height == 1


def test_labels_that_name_no_single_finding(tree: Path, tmp_path: Path) -> None:
    rows = [(f"SECRET-{n}", cell) for n, cell in enumerate(["?", "A|B", *["COVID", "Normal"] * (PATIENTS // 2 - 1)])]
    report = imported(tree, tmp_path / "out", label(tmp_path, "Patient ID", *rows))
    assert report.dataset.manifest.height == 2 * (PATIENTS - 2)
    assert "2 images were left out, since the finding is not known: ? (2)." in report.notes
    several = "2 images were left out, since several findings are named: A|B (2)."
    assert any(note.startswith(several) for note in report.notes)
    left_out = pl.read_csv(tmp_path / "out" / "left_out.csv")
    assert left_out.filter(pl.col("reason") == "its label names no single finding").height == 4
