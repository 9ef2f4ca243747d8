"""Each kind of trouble appears when it is planted, and none otherwise."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats.contingency import association

from carina.datasets.check import DatasetCheck, check_dataset, measure_association
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import ERRORS_SCHEMA, Dataset, DatasetDescription
from make import make_manifest, make_sheet, write_csv, write_image

PER_FINDING = 260  # a fifth of it, 52, is just enough of a test set


def build(folder: Path, manifest: pl.DataFrame, errors: list[tuple[str, str, str]] = ()) -> Dataset:
    """A data set in memory, with whatever is wrong with it planted in its table."""
    folder.mkdir(exist_ok=True)
    pl.DataFrame(list(errors), schema=ERRORS_SCHEMA, orient="row").write_csv(folder / "errors.csv")
    description = DatasetDescription(
        findings=("a", "b"), images=manifest.height, unreadable=len(errors), near_duplicate_pairs=0, seed=1,
        test_only=False, carina="0", fingerprint="",
    )  # fmt: skip
    return Dataset(folder, description, manifest)


@pytest.fixture
def sound(tmp_path: Path) -> pl.DataFrame:
    """A manifest with nothing wrong in it: shared sources, enough test images, no copies, no patient twice."""
    image = tmp_path / "image.png"
    image.touch()
    count = 2 * PER_FINDING
    return make_manifest(
        ["a", "b"] * PER_FINDING,
        path=[str(image)] * count,
        source=[("north", "south")[row // 2 % 2] for row in range(count)],
        split=[("test", "calibration", "train", "train", "train")[row // 2 % 5] for row in range(count)],
        patient=[f"P{row}" for row in range(count)],
    )


def planted(manifest: pl.DataFrame, **values: Any) -> pl.DataFrame:
    """The manifest with the column's value set in some rows: column={row: value}."""
    for column, cells in values.items():
        cell = manifest[column].to_list()
        for row, value in cells.items():
            cell[row] = value
        manifest = manifest.with_columns(pl.Series(column, cell, dtype=manifest.schema[column]))
    return manifest


def kinds(check: DatasetCheck) -> list[str]:
    return [trouble.kind for trouble in check.troubles]


def test_nothing_is_wrong(tmp_path: Path, sound: pl.DataFrame) -> None:
    check = check_dataset(build(tmp_path / "d", sound))
    assert check.troubles == ()
    assert check.association.cramers_v == pytest.approx(0)


def test_unreadable(tmp_path: Path, sound: pl.DataFrame) -> None:
    errors = [("/x/first.png", "empty-file", "the file is empty."), ("/x/2.png", "truncated", "cut.")]
    (trouble,) = check_dataset(build(tmp_path / "d", sound, errors)).troubles
    assert trouble.kind == "unreadable"
    assert trouble.message == "2 files could not be read at import. The first: first.png: the file is empty."


def test_missing(tmp_path: Path, sound: pl.DataFrame) -> None:
    manifest = planted(sound, path={4: "/nowhere/four.png", 9: "/nowhere/nine.png"})
    (trouble,) = check_dataset(build(tmp_path / "d", manifest)).troubles
    assert trouble.kind == "missing"
    assert trouble.message.startswith("2 images are gone since the import. The first: /nowhere/four.png")


def test_copies_across_findings(tmp_path: Path, sound: pl.DataFrame) -> None:
    # Findings a, a and b. The two paths that come first are of one finding.
    paths = {row: str(tmp_path / name) for row, name in {0: "1.png", 10: "2.png", 1: "3.png"}.items()}
    for path in paths.values():
        Path(path).touch()
    manifest = planted(sound, duplicate_group={0: 0, 1: 0, 10: 0}, path=paths)
    check = check_dataset(build(tmp_path / "d", manifest))
    (trouble,) = check.troubles
    assert trouble.kind == "copies across findings"
    assert check.counts["copies"].sum() == 2
    assert "3 images in 1 group of near-duplicates have more than one finding" in trouble.message
    assert trouble.message.endswith("The first: 1.png (a) and 3.png (b).")


def test_copies_across_splits(tmp_path: Path, sound: pl.DataFrame) -> None:
    manifest = planted(sound, duplicate_group={0: 0, 6: 0})  # both finding a; test and train
    (trouble,) = check_dataset(build(tmp_path / "d", manifest)).troubles
    assert trouble.kind == "copies across splits"
    path = manifest["path"][0]  # of all images, whose names are equal
    assert trouble.message.endswith(f"The first: {path} (test) and {path} (train).")


def test_copies_within_a_finding_and_split_are_no_trouble(tmp_path: Path, sound: pl.DataFrame) -> None:
    check = check_dataset(build(tmp_path / "d", planted(sound, duplicate_group={0: 0, 20: 0})))
    assert check.troubles == ()
    assert check.counts["copies"].sum() == 1


def test_patient_across_splits(tmp_path: Path, sound: pl.DataFrame) -> None:
    manifest = planted(sound, patient={0: "P7", 6: "P7", 7: None, 8: None, 1: "Q", 11: "Q"})
    (trouble,) = check_dataset(build(tmp_path / "d", manifest)).troubles
    assert trouble.kind == "patient across splits"
    assert trouble.message == "1 patient is in more than one split. Import again."
    assert "P7" not in trouble.message


@pytest.mark.parametrize("tests", [0, 49, 50])
def test_tiny_finding(tmp_path: Path, sound: pl.DataFrame, tests: int) -> None:
    manifest = sound.with_columns(
        split=pl.when(pl.col("finding") == "b")
        .then(pl.when(pl.int_range(pl.len()).over("finding") < tests).then(pl.lit("test")).otherwise(pl.lit("train")))
        .otherwise("split")
    )
    troubles = check_dataset(build(tmp_path / "d", manifest)).troubles
    assert [trouble.kind for trouble in troubles] == (["tiny finding"] if tests < 50 else [])
    assert all(f"b has {tests} test images" in trouble.message for trouble in troubles)


def test_source_gives_the_finding_away(tmp_path: Path, sound: pl.DataFrame) -> None:
    manifest = sound.with_columns(source=pl.when(pl.col("finding") == "a").then(pl.lit("x")).otherwise(pl.lit("y")))
    check = check_dataset(build(tmp_path / "d", manifest))
    assert kinds(check) == ["source gives the finding away"]
    assert "share no source: a and b" in check.troubles[0].message
    assert check.association.cramers_v == pytest.approx(1)
    assert check.association.disjoint == (("a", "b"),)


def test_a_source_that_is_known_for_some_findings_only(tmp_path: Path, sound: pl.DataFrame) -> None:
    unknown = pl.when(pl.col("finding") == "b").then(None).otherwise("source")
    check = check_dataset(build(tmp_path / "d", sound.with_columns(source=unknown)))
    assert check.association is None
    assert kinds(check) == ["source known for some findings only"]
    message = check.troubles[0].message
    assert message.startswith("the source is known for one finding only: a. It is not known for any image of b. ")
    # Of three findings two have a source: what is measured on these two does not show the third.
    three = pl.concat([sound, make_manifest(["c"] * 60, path=sound["path"][:60].to_list(), split=["test"] * 60)])
    three = three.with_columns(duplicate_group=pl.int_range(pl.len()))
    (trouble,) = check_dataset(build(tmp_path / "three", three)).troubles
    assert trouble.message.startswith("the source is known for some findings only: a, b. ")
    # Sources that are known nowhere, or for a part of each finding, are none of this trouble.
    for rows in (0, 40):
        part = pl.when(pl.int_range(pl.len()) < rows).then("source")
        assert check_dataset(build(tmp_path / str(rows), sound.with_columns(source=part))).troubles == ()


@pytest.mark.parametrize(
    ("column", "values", "kind"),
    [
        ("file_format", ("JPEG", "PNG"), "file format"),
        ("bit_depth", (8, 16), "bit depth"),
        ("colour", ("RGB", "grey"), "colour"),
        ("width", (256, 512), "pixel size"),
    ],
)
def test_how_files_are_stored_gives_the_finding_away(
    tmp_path: Path, sound: pl.DataFrame, column: str, values: tuple[Any, ...], kind: str
) -> None:
    def stored(share: float) -> Any:
        """The manifest where so many of ten images of each finding have the other one's value."""
        cells = [values[(finding == "b") != (row // 2 % 10 < share)] for row, finding in enumerate(sound["finding"])]
        return sound.with_columns(pl.Series(column, cells, dtype=sound.schema[column]))

    given_away = f"{kind} gives the finding away"
    troubles = {each.kind: each.message for each in check_dataset(build(tmp_path / "d", stored(0))).troubles}
    assert f"these findings share no {kind}: a and b" in troubles[given_away]
    # Nearly so is enough, and half and half is not.
    troubles = {each.kind: each.message for each in check_dataset(build(tmp_path / "d", stored(1))).troubles}
    assert "alone tells the finding of 90% of the images (the commonest finding is 50%" in troubles[given_away]
    check = check_dataset(build(tmp_path / "d", stored(4)))
    assert check.troubles == ()
    assert check.stored_as[kind].accuracy == pytest.approx(0.6)


def test_sizes_that_few_images_have_prove_nothing(tmp_path: Path, sound: pl.DataFrame) -> None:
    """Each image has a size of its own: that each size is of one finding is chance."""
    manifest = sound.with_columns(width=pl.Series(range(1000, 1000 + sound.height)), height=pl.lit(1200))
    check = check_dataset(build(tmp_path / "d", manifest))
    assert check.troubles == ()
    assert check.stored_as["pixel size"].accuracy < 0.6
    small = manifest.with_columns(
        height=pl.when(pl.col("finding") == "a").then(500).otherwise(4000),
        width=pl.lit(500) + pl.int_range(pl.len()) % 97,
    )
    formats = sound.with_columns(file_format=pl.format("format {}", pl.int_range(pl.len())))
    assert check_dataset(build(tmp_path / "d", formats)).troubles == ()
    kinds_found = kinds(check_dataset(build(tmp_path / "d", small)))
    assert kinds_found == ["pixel size gives the finding away", "aspect ratio gives the finding away"]


def test_data_sets_of_earlier_versions_say_nothing_of_files(tmp_path: Path, sound: pl.DataFrame) -> None:
    manifest = sound.with_columns(file_format=pl.lit(None, pl.String), bit_depth=pl.lit(None, pl.Int32))
    assert check_dataset(build(tmp_path / "d", manifest)).stored_as["file format"] is None


def test_all_troubles_at_once_in_order(tmp_path: Path, sound: pl.DataFrame) -> None:
    manifest = planted(
        sound.with_columns(source=pl.col("finding")),
        path={0: "/nowhere"},
        duplicate_group={0: 0, 1: 0, 6: 0},
        patient={0: "P", 6: "P"},
        split=dict.fromkeys(range(60), "train"),
    )
    manifest = planted(manifest, split={6: "test"})
    assert kinds(check_dataset(build(tmp_path / "d", manifest, [("/x", "truncated", "cut.")]))) == [
        "unreadable",
        "missing",
        "copies across findings",
        "copies across splits",
        "patient across splits",
        "tiny finding",
        "tiny finding",
        "source gives the finding away",
    ]


def test_counts(tmp_path: Path) -> None:
    manifest = make_manifest(
        ["a", "a", "a", "b"],
        source=["s", "s", None, "s"],
        patient=["P", None, "Q", None],
        split=["train", "test", "test", "calibration"],
        duplicate_group=[0, 0, 2, 3],
    )
    counts = check_dataset(build(tmp_path / "d", manifest)).counts
    assert counts.columns == ["finding", "source", "images", "patients", "copies", "train", "calibration", "test"]
    assert counts.rows() == [
        ("a", "s", 2, 1, 1, 1, 0, 1),
        ("a", "unknown", 1, 1, 0, 0, 0, 1),
        ("b", "s", 1, 0, 0, 0, 1, 0),
    ]
    without = check_dataset(build(tmp_path / "d", manifest.with_columns(patient=pl.lit(None, pl.String)))).counts
    assert without["patients"].to_list() == [None] * 3


def test_of_a_real_import(tmp_path: Path) -> None:
    """The only troubles of a small import are that it is small, and the copy that was planted under another label."""
    rows = []
    for number in range(12):
        write_image(tmp_path / "s" / f"{number}.png", make_sheet(number))
        rows.append([f"{number}.png", ("COVID", "Normal")[number % 2], "s"])
    rows.append(["copy.tif", "COVID", "s"])
    write_image(tmp_path / "s" / "copy.tif", make_sheet(1), "TIFF")
    dataset = import_dataset(
        write_csv(tmp_path / "s" / "m.csv", ["path", "finding", "source"], rows), tmp_path / "d"
    ).dataset
    check = check_dataset(dataset)
    assert kinds(check) == ["copies across findings", "tiny finding", "tiny finding"]
    assert "copy.tif (COVID-19) and 1.png (Normal)" in check.troubles[0].message
    shutil.rmtree(tmp_path / "s")
    assert "13 images are gone since the import" in check_dataset(dataset).troubles[0].message


def table_of(cells: list[list[int]]) -> pl.DataFrame:
    """A manifest with the given number of images in each finding (row) and source (column)."""
    findings, sources = [], []
    for i, row in enumerate(cells):
        for j, images in enumerate(row):
            findings += [f"f{i}"] * images
            sources += [f"s{j}"] * images
    return make_manifest(findings, source=sources)


def test_cramers_v_by_hand() -> None:
    """Expected 15 and 15 in each row: chi² = 4 · 5² / 15 = 6.67 over 60 images, V = √(1/9) = 1/3."""
    measured = measure_association(table_of([[20, 10], [10, 20]]), "source")
    assert measured.cramers_v == pytest.approx(1 / 3)
    assert measured.low < 1 / 3 < measured.high
    assert measured.accuracy == pytest.approx(40 / 60)
    assert measured.chance == pytest.approx(0.5)
    assert measured.disjoint == ()
    assert measured.images == 60


@pytest.mark.parametrize("seed", range(5))
def test_cramers_v_agrees_with_scipy(seed: int) -> None:
    cells = np.random.default_rng(seed).integers(1, 60, (2 + seed % 3, 3 + seed % 2))
    measured = measure_association(table_of(cells.tolist()), "source")
    assert measured.cramers_v == pytest.approx(association(cells, method="cramer"))


def test_disjoint_pairs_and_full_association() -> None:
    measured = measure_association(table_of([[30, 0, 0, 9], [0, 40, 0, 0], [0, 0, 5, 9]]), "source")
    assert measured.disjoint == (("f0", "f1"), ("f1", "f2"))
    full = measure_association(table_of([[30, 0, 0], [0, 40, 0], [0, 0, 20]]), "source")
    assert (full.cramers_v, full.low, full.high) == pytest.approx((1, 1, 1))
    assert full.accuracy == 1
    assert full.chance == pytest.approx(40 / 90)


def test_the_interval_shrinks_with_more_images() -> None:
    few, many = (measure_association(table_of([[4 * n, 2 * n], [2 * n, 4 * n]]), "source") for n in (3, 300))
    assert many.high - many.low < (few.high - few.low) / 4


def test_where_association_has_no_meaning() -> None:
    assert measure_association(make_manifest(["a", "b"]), "source") is None
    assert measure_association(table_of([[5, 6]]), "source") is None
    one_source = measure_association(table_of([[5], [15]]), "source")
    assert one_source.cramers_v == 0
    assert one_source.accuracy == one_source.chance == 0.75


def test_unknown_sources_are_left_out() -> None:
    known = table_of([[20, 10], [10, 20]])
    unknown = make_manifest(["f0"] * 500)
    assert measure_association(pl.concat([known, unknown]), "source").images == 60
