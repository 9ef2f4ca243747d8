"""A data set is opened whole and unaltered, or not at all."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from carina.datasets.check import check_dataset
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import MANIFEST_SCHEMA, data_fingerprint, open_dataset
from carina.errors import DataError
from make import as_ordinary_user, let_others_enter, write_tree


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imported")
    source = write_tree(root / "source", {"COVID": 10, "Normal": 10})
    (source / "COVID" / "z.png").touch()
    import_dataset(source, root / "out")
    return root / "out"


@pytest.fixture
def folder(imported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(imported, tmp_path / "data")


def change_description(folder: Path, **changes: Any) -> None:
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write_manifest(folder: Path, manifest: pl.DataFrame, *, seal: bool) -> None:
    """Another manifest; sealed, as by one who altered the description as well, or as another version wrote it."""
    manifest.write_parquet(folder / "manifest.parquet")
    if seal:
        sha256 = hashlib.sha256((folder / "manifest.parquet").read_bytes()).hexdigest()
        change_description(folder, manifest_sha256=sha256)


def test_round_trip(imported: Path) -> None:
    dataset = open_dataset(imported)
    assert dataset.manifest.schema == MANIFEST_SCHEMA
    assert dataset.manifest.height == dataset.description.images == 20
    assert dataset.details.shape == (20, 1764)
    assert isinstance(dataset.details, np.memmap)
    assert dataset.unreadable()["code"].to_list() == ["empty-file"]


def test_a_data_set_of_an_earlier_version_is_opened(folder: Path) -> None:
    """Carina 0.1.0 did not write how files store their pixels, nor what was left out."""
    manifest = open_dataset(folder).manifest
    (folder / "left_out.csv").unlink()
    write_manifest(folder, manifest.drop("file_format", "bit_depth", "colour"), seal=True)
    opened = open_dataset(folder).manifest
    assert opened.schema == MANIFEST_SCHEMA
    assert opened["file_format"].null_count() == opened["bit_depth"].null_count() == opened["colour"].null_count() == 20
    assert opened.drop("file_format", "bit_depth", "colour").equals(manifest.drop("file_format", "bit_depth", "colour"))
    checked = check_dataset(open_dataset(folder))
    assert checked.stored_as["file format"] is None
    write_manifest(folder, manifest.drop("file_format"), seal=True)
    with pytest.raises(DataError, match=r"has other columns than expected \(file_format\)"):
        open_dataset(folder)


def test_rows_of_a_split_keep_their_place_in_the_details(imported: Path) -> None:
    dataset = open_dataset(imported)
    seen = []
    for split in ("train", "calibration", "test"):
        rows = dataset.rows(split)
        assert (rows["split"] == split).all()
        for row in rows.iter_rows(named=True):
            assert dataset.manifest["path"][row["row"]] == row["path"]
        seen += rows["row"].to_list()
    assert sorted(seen) == list(range(20))
    assert set(dataset.rows("validation")["path"]) == set(dataset.rows("test")["path"])


def test_a_manifest_of_an_earlier_version_says_nothing_of_its_masks(folder: Path) -> None:
    manifest = open_dataset(folder).manifest
    write_manifest(folder, manifest.drop("mask_sha256"), seal=True)
    assert open_dataset(folder).manifest.equals(manifest.with_columns(mask_sha256=pl.lit(None, pl.String)))
    write_manifest(folder, manifest.drop("mask_sha256", "file_format", "bit_depth", "colour"), seal=True)
    assert open_dataset(folder).manifest.schema == MANIFEST_SCHEMA


def test_no_data_set(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none", tmp_path / "none" / "deeper"):
        with pytest.raises(DataError, match="data set is made by carina data import, with --out"):
            open_dataset(folder)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file, not a data set"):
        open_dataset(tmp_path / "file")


def test_without_its_manifest(folder: Path) -> None:
    (folder / "manifest.parquet").unlink()
    with pytest.raises(DataError, match=r"it has no manifest.parquet"):
        open_dataset(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": "carina-dataset-1"}', b"\xff\xfe"])
def test_damaged_description(folder: Path, content: bytes) -> None:
    (folder / "dataset.json").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read \(ValidationError\). Import the data set again"):
        open_dataset(folder)


@pytest.mark.parametrize(
    "changes", [{"format": "carina-dataset-9"}, {"images": "many"}, {"author": "me"}, {"choices": {"half": "first"}}]
)
def test_description_of_another_kind(folder: Path, changes: dict[str, Any]) -> None:
    change_description(folder, **changes)
    with pytest.raises(DataError, match="cannot be read"):
        open_dataset(folder)


def test_a_data_set_of_before_the_choices_were_written_down_opens(folder: Path) -> None:
    path = folder / "dataset.json"
    description = json.loads(path.read_text())
    del description["choices"]
    path.write_text(json.dumps(description))
    assert open_dataset(folder).description.choices is None


@pytest.mark.parametrize(
    "changes",
    [{"images": 21}, {"findings": ["COVID-19"]}, {"findings": ["Normal", "COVID-19"]}, {"fingerprint": "0" * 64}],
)
def test_tampered_description(folder: Path, changes: dict[str, Any]) -> None:
    change_description(folder, **changes)
    with pytest.raises(DataError, match="was changed after the import"):
        open_dataset(folder)


@pytest.mark.parametrize("seal", [False, True])
@pytest.mark.parametrize("column", ["finding", "split", "sha256", "baseline_split"])
def test_tampered_manifest(folder: Path, column: str, seal: bool) -> None:
    manifest = pl.read_parquet(folder / "manifest.parquet")
    values = manifest[column].to_list()
    values[3] = next(value for value in [*values, "0" * 64] if value != values[3])
    write_manifest(folder, manifest.with_columns(pl.Series(column, values)), seal=seal)
    with pytest.raises(DataError, match="was changed after the import"):
        open_dataset(folder)


@pytest.mark.parametrize("column", ["path", "patient", "source", "age", "group"])
def test_any_other_change_is_seen_as_well(folder: Path, column: str) -> None:
    manifest = pl.read_parquet(folder / "manifest.parquet")
    other = manifest.with_columns(pl.lit("7").cast(manifest.schema[column]).alias(column))
    write_manifest(folder, other, seal=False)
    with pytest.raises(DataError, match="was changed after the import"):
        open_dataset(folder)


@pytest.mark.parametrize("seal", [False, True])
def test_manifest_with_a_row_less(folder: Path, seal: bool) -> None:
    write_manifest(folder, pl.read_parquet(folder / "manifest.parquet")[1:], seal=seal)
    with pytest.raises(DataError, match="was changed after the import"):
        open_dataset(folder)


def test_manifest_of_other_columns(folder: Path) -> None:
    manifest = pl.read_parquet(folder / "manifest.parquet")
    for other in (manifest.drop("age"), manifest.with_columns(age=pl.col("age").cast(pl.Float32))):
        write_manifest(folder, other, seal=True)
        with pytest.raises(DataError, match=r"has other columns than expected \(age\)"):
            open_dataset(folder)


def test_manifest_that_is_no_table(folder: Path) -> None:
    content = b"PAR1 nonsense PAR1"
    (folder / "manifest.parquet").write_bytes(content)
    change_description(folder, manifest_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(DataError, match=r"cannot be read \(ComputeError\)"):
        open_dataset(folder)


def test_manifest_cut_or_mutated_anywhere(folder: Path) -> None:
    content = (folder / "manifest.parquet").read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(60):
        damaged = bytearray(content)
        if trial % 2:
            damaged = damaged[: rng.integers(0, len(content))]
        else:
            # The footer, at the end, is where a reader's arithmetic goes wrong.
            for place in rng.integers(len(content) - 1500, len(content), 4):
                damaged[place] = rng.integers(0, 256)
        (folder / "manifest.parquet").write_bytes(damaged)
        with pytest.raises(DataError, match="was changed after the import"):
            open_dataset(folder)


def test_details_missing_damaged_or_of_other_length(folder: Path) -> None:
    path = folder / "details.npy"
    details = np.load(path)
    np.save(path, details[1:])
    with pytest.raises(DataError, match="has 19 rows and the manifest 20"):
        _ = open_dataset(folder).details
    for content in (b"", b"\x93NUMPY", path.read_bytes()[:-9], b"no array"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"details.npy is missing or damaged"):
            _ = open_dataset(folder).details
    path.unlink()
    with pytest.raises(DataError, match=r"details.npy is missing or damaged"):
        _ = open_dataset(folder).details


def test_errors_missing_or_damaged(folder: Path) -> None:
    (folder / "errors.csv").write_bytes(b"path,code,message\na,b,c,d,e\n")
    with pytest.raises(DataError, match=r"errors.csv is missing or damaged"):
        open_dataset(folder).unreadable()
    (folder / "errors.csv").unlink()
    with pytest.raises(DataError, match=r"errors.csv is missing or damaged"):
        open_dataset(folder).unreadable()


@pytest.mark.parametrize("name", ["dataset.json", "manifest.parquet", "."])
def test_no_permission(folder: Path, name: str) -> None:
    let_others_enter(folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    (folder / name).chmod(0)
    try:
        with as_ordinary_user(), pytest.raises(DataError, match=r"cannot be read \(PermissionError\)|not look into"):
            open_dataset(folder)
    finally:
        (folder / name).chmod(0o755)


def test_a_write_protected_data_set_opens(folder: Path) -> None:
    let_others_enter(folder)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        with as_ordinary_user():
            dataset = open_dataset(folder)
            assert len(dataset.details) == 20
            assert dataset.unreadable().height == 1
    finally:
        folder.chmod(0o755)


def test_fingerprint_is_of_images_labels_and_splits_in_any_order(imported: Path) -> None:
    manifest = open_dataset(imported).manifest
    wanted = data_fingerprint(manifest)
    moved = manifest.with_columns(path=pl.lit("/elsewhere/") + pl.col("path"))
    assert data_fingerprint(moved.sample(fraction=1, shuffle=True, seed=1)) == wanted
    assert data_fingerprint(manifest.with_columns(finding=pl.lit("x"))) != wanted
