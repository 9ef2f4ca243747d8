"""``carina data import``: what its options ask of the library, and what it says."""

import json
import shlex
from pathlib import Path

import polars as pl
import pytest

from carina.datasets.choice import Choices, half_of
from carina.datasets.manifest import open_dataset
from make import make_sheet, write_csv, write_films, write_image, write_tree
from make_dicom import Value, encode_dicom
from unit.cli.conftest import Typed


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = write_tree(tmp_path / "source", {"COVID": 8, "SARS": 4, "Lipoid": 4})
    rows = [
        [f"{finding}/{finding}-{n}.png", shown, f"P{n}", "L" if n == 4 else "PA"]
        for finding, shown, count in (("COVID", "COVID-19 with ARDS", 8), ("SARS", "SARS", 4), ("Lipoid", "Lipoid", 4))
        for n in range(1, count + 1)
    ]
    write_csv(folder / "manifest.csv", ["path", "finding", "patient", "view"], rows)
    return folder


def test_rename_views_and_half(carina: Typed, source: Path, tmp_path: Path) -> None:
    options = ("--rename", "COVID-19 with ARDS=covid", "--rename", "SARS+Lipoid=Other opacity", "--views", "pa,unknown")
    code, _, err = carina(
        "data", "import", source, *options, "--half", "final", "--test-only", "--out", tmp_path / "out"
    )
    assert code == 0, err
    assert "8 images renamed COVID-19: COVID-19 with ARDS (8)." in err
    assert "8 images renamed Other opacity: Lipoid (4), SARS (4)." in err
    assert "Views pa, unknown: 3 of 16 images left out: L (3)." in err
    assert "The final half of the patients: " in err
    dataset = open_dataset(tmp_path / "out")
    assert dataset.description.findings == ("COVID-19", "Other opacity")
    assert dataset.description.choices == Choices(
        rename={"COVID-19 with ARDS": "COVID-19", "SARS": "Other opacity", "Lipoid": "Other opacity"},
        views=("pa", "unknown"),
        half="final",
    )
    assert dataset.description.test_only
    assert set(dataset.manifest["patient"]) == {f"P{n}" for n in range(1, 9) if n != 4 and half_of(f"P{n}") == "final"}


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--rename", "SARS"), "--rename SARS has no equals sign. Write OLD=NEW"),
        (("--rename", "SARS=a", "--rename", "SARS=b"), "--rename gives 'SARS' two names, 'a' and 'b'"),
        (
            ("--rename", "Asthma=b"),
            "There is no finding 'Asthma' to rename. The findings are: COVID-19 with ARDS (8), ",
        ),
        (("--rename", "SARS="), "cannot be renamed from 'SARS' to ''"),
        (("--views", "AP"), "There is no view 'AP'. The views are: L, PA."),
        (("--half", "first"), "'first'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    carina: Typed, source: Path, tmp_path: Path, option: tuple[str, ...], says: str
) -> None:
    code, _, err = carina("data", "import", source, *option, "--out", tmp_path / "out")
    assert code == 2
    assert says in err
    assert not (tmp_path / "out").exists()


def test_a_tree_of_dicom_by_a_table_of_labels(carina: Typed, tmp_path: Path) -> None:
    for number in range(4):
        attributes: dict[str, Value] = {"PatientID": f"SECRET-{number}", "ViewPosition": "LL" if number == 3 else "PA"}
        path = tmp_path / "archive" / str(number) / "IM1"
        path.parent.mkdir(parents=True)
        path.write_bytes(encode_dicom(make_sheet(number), **attributes))
    labels = write_csv(tmp_path / "labels.csv", ["PatientID", "finding"], [[f"SECRET-{n}", "Normal"] for n in range(5)])
    (tmp_path / "key").write_text("a secret of this hospital")
    words = ("--labels", labels, "--patient-key", tmp_path / "key", "--test-only", "--out", tmp_path / "out")
    code, out, err = carina("data", "import", tmp_path / "archive", *words)
    assert code == 0, err
    assert "Left out: 1 DICOM file, because its header says that it is a lateral view." in err
    assert "1 of 5 labels in labels.csv matched only images that were left out: row 5." in err
    assert "1 of 5 labels in labels.csv matched no image: row 6." in err
    assert "SECRET" not in out + err
    assert open_dataset(tmp_path / "out").manifest["patient"].n_unique() == 3


@pytest.mark.parametrize(
    ("normal", "other", "asks"),
    [
        *(("Healthy", "Tuberculosis", False), ("Sano", "Tuberculosis", False), ("No-Finding", "Edema", False)),
        *(("negative", "positive", True), ("0", "1", True), ("Control", "TB", True), ("no_tb", "tb", True)),
        *(("Benign", "Malignant", True), ("zdrowe", "gruźlica", False), ("正常", "肺炎", False)),
    ],
)
def test_a_healthy_finding_is_never_flagged(carina: Typed, tmp_path: Path, normal: str, other: str, asks: bool) -> None:
    source = write_tree(tmp_path / "source", {normal: 4, other: 4}, size=32)
    command = ("data", "import", source, "--out", tmp_path / "out")
    code, _, err = carina(*command)
    if asks:
        assert code == 2
        assert f"{source} has no finding that is surely normal." in err
        assert f"If {normal} is normal, add: --normal {normal}. If no image is normal, add: --normal none." in err
        assert not (tmp_path / "out").exists()
        code, _, err = carina(*command, "--normal", normal)
    assert code == 0, err
    assert f"Flagged finding: {other} (the only one that is not normal). Normal: 4 images." in err
    description = open_dataset(tmp_path / "out").description
    assert (description.flag_finding, description.findings) == (other, ("Normal", other))


def test_what_is_flagged_is_asked_where_several_could_be(carina: Typed, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"Normal": 4, "TB": 4, "Edema": 4, "Other opacity": 4}, size=32)
    command = ("data", "import", source, "--out", tmp_path / "out")
    code, _, err = carina(*command)
    assert code == 2
    assert "Edema (4), TB (4). Say which one is flagged: --flag Edema or --flag TB." in err
    code, _, err = carina(*command, "--flag", "tb")
    assert code == 0, err
    assert "Flagged finding: TB (as you say). Normal: 4 images. Also not normal, and not flagged: Other" in err
    assert open_dataset(tmp_path / "out").description.flag_finding == "TB"
    code, out, _ = carina("data", "check", tmp_path / "out")
    assert "Flagged finding: TB." in out
    code, out, _ = carina("data", "check", tmp_path / "out", "--json")
    assert json.loads(out)["flag_finding"] == "TB"


def test_a_set_without_normal_images_and_one_that_only_tests(carina: Typed, tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"COVID": 4, "Viral Pneumonia": 4}, size=32)
    code, _, err = carina("data", "import", source, "--out", tmp_path / "out")
    assert code == 2
    assert "--normal none" in err
    code, _, err = carina("data", "import", source, "--out", tmp_path / "out", "--normal", "none")
    assert code == 0, err
    assert "Flagged finding: COVID-19 (the default if it is there; --flag names another one). No image is n" in err
    code, _, err = carina("data", "import", source, "--out", tmp_path / "test", "--test-only")
    assert code == 0, err
    assert open_dataset(tmp_path / "test").description.flag_finding is None
    # Who leaves the normal images out knows that none is left.
    source = write_tree(tmp_path / "three", {"COVID": 4, "Viral Pneumonia": 4, "Normal": 4}, size=32)
    findings = ("--findings", "COVID,viral pneumonia")
    code, _, err = carina("data", "import", source, "--out", tmp_path / "two", *findings)
    assert code == 0, err
    assert "No image is normal." in err


def test_spellings_are_merged_and_alike_names_are_told(carina: Typed, tmp_path: Path) -> None:
    count = {"Normal": 4, "TB": 4, "tb": 2, "Tuberkulose": 4, "Tuberkulo\u0308se": 2, "Tuberkul\u00f6se": 3}
    source = write_tree(tmp_path / "source", count, size=32)
    command = ("data", "import", source, "--out", tmp_path / "out", "--flag", "TB")
    code, _, err = carina(*command)
    assert code == 0, err
    assert "Taken as the finding TB: TB (4), tb (2)." in err
    assert "Taken as the finding Tuberkul\u00f6se: 'Tuberkul\\xf6se' (3), 'Tuberkulo\\u0308se' (2)." in err
    assert "Tuberkul\u00f6se (5) and TB (6) may be one finding under two names. To make them one" in err
    assert "--rename 'Tuberkulose=Tuberkul\u00f6se'" in err
    assert open_dataset(tmp_path / "out").description.findings == ("Normal", "TB", "Tuberkulose", "Tuberkul\u00f6se")
    merging = ("--rename", "tb+tuberkulose=Tuberkul\u00f6se")
    code, _, err = carina("data", "import", source, "--out", tmp_path / "one", *merging)
    assert code == 0, err
    assert open_dataset(tmp_path / "one").description.findings == ("Normal", "Tuberkul\u00f6se")


def split_tree(folder: Path) -> Path:
    """Draw films of two findings in the folders train, val and test; one film of train is in test as well."""
    counts = {"train": 6, "val": 1, "test": 3}
    names = [
        f"{split}/{f}/{f}-{n}.png" for split, many in counts.items() for f in ("Normal", "TB") for n in range(many)
    ]
    write_films(folder, *names)
    (folder / "test" / "TB" / "copy.png").write_bytes((folder / "train" / "TB" / "TB-0.png").read_bytes())
    return folder


def test_a_published_split_is_offered_and_kept_on_request(carina: Typed, tmp_path: Path) -> None:
    source = split_tree(tmp_path / "my films")
    out = tmp_path / "out"
    code, shown, err = carina("data", "import", source, "--out", out)
    assert code == 0, err
    assert f"21 images in {out}; 1 pair of near-duplicates kept together.\n" in shown
    assert "The images come with a split: validation (2), train (12), test (7). It is not kept" in err
    command = f"carina data import '{source}' --out {out}-published --split-from folders"
    assert f"The command that keeps the published split: {command}" in err
    assert open_dataset(out).manifest.group_by("group").agg(pl.col("split").n_unique())["split"].max() == 1
    code, shown, err = carina(*shlex.split(command)[1:])
    assert code == 0, err
    assert f"21 images in {out}-published; 1 pair of near-duplicates.\n" in shown
    kept = open_dataset(tmp_path / "out-published")
    assert dict(kept.manifest.group_by("split").len().iter_rows()) == {"train": 12, "calibration": 2, "test": 7}
    assert kept.description.choices is not None
    assert kept.description.choices.split_from == "folders"
    assert "The published validation images are the calibration split." in err
    assert "The calibration split is small: Normal (1), TB (1)." in err
    assert "The published split leaks: 2 images are near-duplicates of images in another part of it" in err
    assert "copies across splits" in carina("data", "check", tmp_path / "out-published")[1]


def test_a_column_split_is_kept_on_request(carina: Typed, tmp_path: Path) -> None:
    source = write_films(tmp_path / "films", *(f"{n}.png" for n in range(12)))
    rows = [[f"{n}.png", ("Normal", "TB")[n % 2], ("Train", "val", "TEST")[n // 2 % 3]] for n in range(12)]
    table = write_csv(source / "m.csv", ["path", "finding", "split"], rows)
    code, _, err = carina("data", "import", table, "--out", tmp_path / "new")
    assert code == 0
    assert f"data import {table} --out {tmp_path / 'new'}-published --split-from column" in err
    code, _, err = carina("data", "import", table, "--split-from", "column", "--out", tmp_path / "kept")
    assert code == 0, err
    split = open_dataset(tmp_path / "kept").manifest.sort("path")["split"]
    assert set(split) == {"train", "calibration", "test"}
    for options, says in (
        (("--split-from", "folders"), f"{table} has no folders named train, val and test. Its split is in its column"),
        (("--split-from", "column", "--test-only"), "Choose one of --split-from column and --test-only"),
    ):
        code, _, err = carina("data", "import", table, *options, "--out", tmp_path / "other")
        assert code == 2
        assert says in err
        assert not (tmp_path / "other").exists()


def test_files_that_are_left_out_or_cannot_be_read_are_said(carina: Typed, tmp_path: Path) -> None:
    source = write_films(tmp_path / "films", "Normal/1.png", "TB/2.png", "TB/P7_3.png")
    (source / "TB" / "notes.txt").write_text("text")
    for name in ("a.avif", "b"):
        (source / "TB" / name).write_bytes(b"\0\0\0 ftypavif")
    words = ("--findings", "TB", "--patient-from", r"(P\d)_", "--test-only", "--out", tmp_path / "out")
    code, _, err = carina("data", "import", source, *words)
    assert code == 1
    assert "--findings leaves out 1 of 5 images: Normal (1)." in err
    assert "Paths in which --patient-from found a patient: 1 of 5. Patients: 1." in err
    assert "Left out, since they are not images: 1 .txt file." in err
    assert err.count(f"What was left out is named in {tmp_path / 'out' / 'left_out.csv'}.") == 1
    assert f"2 files could not be read: see {tmp_path / 'out' / 'errors.csv'}." in err
    assert "The commonest reason (2): this is an AVIF file." in err
    assert pl.read_csv(tmp_path / "out" / "left_out.csv").rows() == [
        (str(source / "TB" / "notes.txt"), "no image: .txt file"),
        (str(source / "Normal" / "1.png"), "its finding was not named with --findings"),
    ]


def test_check_tells_what_files_give_away(carina: Typed, tmp_path: Path) -> None:
    for number in range(24):
        finding, kind = (("TB", "JPEG"), ("Normal", "PNG"))[number % 2]
        write_image(tmp_path / "films" / finding / str(number), make_sheet(number, 48), kind)
    assert carina("data", "import", tmp_path / "films", "--test-only", "--out", tmp_path / "out")[0] == 0
    code, out, _ = carina("data", "check", tmp_path / "out")
    assert code == 1
    assert "Finding and file format: Cramér's V 1.000 (1.000 to 1.000). Guessing the finding from the file" in out
    assert "Finding and bit depth: Cramér's V 0.000" in out
    assert "file format gives the finding away" in out
    assert "source gives the finding away: not applicable, because the source is known for fewer than two" in out
    stored = json.loads(carina("data", "check", tmp_path / "out", "--json")[1])["stored_as"]
    assert list(stored) == ["file format", "pixel size", "aspect ratio", "bit depth", "colour"]
    assert stored["file format"]["disjoint"] == [["Normal", "TB"]]


def test_a_table_of_anybody(carina: Typed, tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "films", {"TB": 4, "Other": 2})
    rows = [f"C:\\films\\TB\\TB-{n}.PNG;{cell};SECRET-{n};05{n}Y" for n, cell in enumerate(("TB", "?", "TB", "A|B"), 1)]
    text = "\n".join(["Bild;Befund;PatientID;Alter in Jahren", *rows])
    (tmp_path / "Müller.csv").write_text(text, encoding="utf-16")
    words = ("--labels", tmp_path / "Müller.csv", "--test-only", "--out", tmp_path / "out")
    code, _, err = carina("data", "import", folder, *words)
    assert code != 0
    assert "'Bild' names images. Say which columns they are: --column path=Bild --column finding=NAME" in err
    columns = ("--column", "path=bild", "--column", "finding=Befund", "--column", "age=Alter in Jahren")
    code, out, err = carina("data", "import", folder, *words, *columns)
    assert code == 0, err
    assert "4 of 4 images do not lie at the path that Müller.csv gives and were found by their name" in err
    assert "1 image was left out, since the finding is not known: ? (1)." in err
    assert "1 image was left out, since several findings are named: A|B (1)." in err
    assert "SECRET" not in out + err
    dataset = open_dataset(tmp_path / "out")
    assert dataset.manifest["age"].to_list() == [51.0, 53.0]
    assert dataset.description.choices is not None
    assert dataset.description.choices.columns["finding"] == "Befund"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--column", "finding"), "--column finding is not FIELD=NAME. Write it as in: --column finding=Diagnosis"),
        (("--column", "path=a", "--column", "path=b"), "--column gives 'path' two names, 'a' and 'b'. Choose one."),
        (("--column", "size=path"), "there is no field 'size'"),
        (("--labels-as", "padchest"), "'padchest'"),
        (("--labels-as", "nih", "--column", "path=a"), "--labels-as nih knows its columns"),
        (("--uncertain", "negative"), "--uncertain is for the tables of --labels-as chexpert and mimic"),
    ],
)
def test_options_of_tables_that_mean_nothing(
    carina: Typed, source: Path, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    code, _, err = carina("data", "import", source / "manifest.csv", *options, "--out", tmp_path / "out")
    assert code == 2
    assert says in err


@pytest.mark.parametrize("name", ["Normal - Copy", "Normal (2)", "healthy adults", "Normal_augmented"])
def test_what_may_be_normal_is_not_flagged_beside_normal(carina: Typed, tmp_path: Path, name: str) -> None:
    source = write_tree(tmp_path / "source", {"Normal": 4, name: 4}, size=32)
    command = ("data", "import", source, "--out", tmp_path / "out")
    code, _, err = carina(*command)
    assert code == 2
    assert f"only {name} (4 images) could be flagged, which means read first, and it may be another word for N" in err
    assert not (tmp_path / "out").exists()
    code, _, err = carina(*command, "--normal", name)
    assert code == 0, err
    assert open_dataset(tmp_path / "out").manifest["finding"].unique().to_list() == ["Normal"]
