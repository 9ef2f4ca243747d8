"""Import end to end: what comes out, what is refused, and that nothing is left when it fails half way."""

import errno
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from carina.datasets import importing
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import MANIFEST_SCHEMA, Dataset
from carina.errors import ConfigurationError, DataError
from carina.findings import COVID_19, NORMAL, VIRAL_PNEUMONIA
from carina.radiographs.fingerprint import DETAIL_LENGTH, fingerprint
from carina.radiographs.read import read_radiograph
from make import encode, make_sheet, names_in, small_disk, write_csv, write_image, write_official, write_tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree"), {"COVID": 20, "Normal": 30})


def splits(dataset: Dataset) -> dict[str, str]:
    return dict(dataset.manifest.select("sha256", "split").iter_rows())


def test_end_to_end(tmp_path: Path) -> None:
    source = write_official(tmp_path / "source", 5)
    (source / "COVID" / "images" / "COVID-9.png").write_bytes(b"")
    (source / "Normal" / "images" / "Normal-0.png").write_text("text")
    seen = []
    report = import_dataset(source, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    dataset = report.dataset
    assert seen == [(done, 17) for done in range(1, 18)]
    assert names_in(tmp_path / "out") == [
        *("dataset.json", "details.npy", "errors.csv", "left_out.csv", "manifest.parquet")
    ]
    assert dataset.manifest.schema == MANIFEST_SCHEMA
    assert dataset.description.findings == (COVID_19, NORMAL, VIRAL_PNEUMONIA)
    assert (dataset.description.images, dataset.description.unreadable) == (15, 2)
    assert dataset.unreadable().select("path", "code").rows() == [
        (str(source / "COVID" / "images" / "COVID-9.png"), "empty-file"),
        (str(source / "Normal" / "images" / "Normal-0.png"), "unsupported-format"),
    ]
    assert "is empty" in dataset.unreadable()["message"][0]
    assert any("Lung Opacity" in note for note in report.notes)
    assert dataset.manifest["source"].null_count() == 0
    assert dataset.manifest["mask"].null_count() == 0


def test_each_row_describes_its_own_image(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"COVID": 6, "Normal": 6})
    write_image(source / "COVID" / "COVID-3.png", make_sheet(99, 80)[:, :70])
    (source / "COVID" / "COVID-2.png").write_bytes(b"")  # the rows after an unreadable file must not shift
    dataset = import_dataset(source, tmp_path / "out").dataset
    assert dataset.details.shape == (11, DETAIL_LENGTH)
    assert dataset.details.dtype == np.int8
    for row, detail in zip(dataset.manifest.iter_rows(named=True), dataset.details, strict=True):
        radiograph = read_radiograph(Path(row["path"]))
        found = fingerprint(radiograph)
        assert (row["sha256"], row["perceptual_hash"]) == (found.sha256, found.perceptual_hash)
        assert (row["height"], row["width"]) == radiograph.pixels.shape
        assert (row["finding"] == COVID_19) == ("COVID" in row["path"])
        np.testing.assert_array_equal(detail, found.detail)


@pytest.mark.parametrize("rows_a_chunk", [1, 7, 25])
def test_row_chunks_lose_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_a_chunk: int
) -> None:
    whole = import_dataset(tree, tmp_path / "a").dataset
    monkeypatch.setattr(importing, "_ROWS_A_CHUNK", rows_a_chunk)
    chunked = import_dataset(tree, tmp_path / "b", workers=1).dataset
    assert chunked.manifest.equals(whole.manifest)
    np.testing.assert_array_equal(chunked.details, whole.details)


def test_details_are_written_as_they_come(tree: Path, tmp_path: Path) -> None:
    """Memory must not grow with the number of images: what one image leaves behind is on the disk at once."""
    sizes = []

    def look(done: int, total: int) -> None:
        (details,) = tmp_path.glob(".partial-*/details.npy")
        sizes.append(details.stat().st_size)

    import_dataset(tree, tmp_path / "out", progress=look)
    # Python buffers at most 128 KiB of a file's writes.
    assert all(done * DETAIL_LENGTH - size <= 131_072 for done, size in enumerate(sizes, start=1))


def test_images_in_flight_are_bounded(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    decode = importing._decode
    monkeypatch.setattr(importing, "_decode", lambda path: started.append(path) or decode(path))
    ahead = []

    def listen_slowly(done: int, total: int) -> None:
        if done in (1, 20):
            time.sleep(0.3)
        ahead.append(len(started) - done)

    import_dataset(tree, tmp_path / "out", progress=listen_slowly)
    assert importing._IN_FLIGHT - 1 in ahead
    assert max(ahead) <= importing._IN_FLIGHT
    assert len(started) == 50


def test_file_names_and_order_do_not_matter(tree: Path, tmp_path: Path) -> None:
    """The same images, renamed, re-encoded without loss and listed in another order, get the same split."""
    first = import_dataset(tree, tmp_path / "a").dataset
    rows = []
    for number, row in enumerate(first.manifest.sample(fraction=1, shuffle=True, seed=5).iter_rows(named=True)):
        pixels = read_radiograph(Path(row["path"])).pixels
        kind = ("PNG", "TIFF", "BMP", "WEBP")[number % 4]
        path = write_image(tmp_path / "renamed" / f"{number}.img", pixels, kind)
        rows.append([path.name, row["finding"]])
    again = import_dataset(write_csv(tmp_path / "renamed" / "m.csv", ["path", "finding"], rows), tmp_path / "b").dataset
    assert splits(again) == splits(first)
    assert again.description.fingerprint == first.description.fingerprint
    assert set(splits(first).values()) == {"train", "calibration", "test"}


def test_seeds(tree: Path, tmp_path: Path) -> None:
    one, same, other = (
        import_dataset(tree, tmp_path / str(run), seed=seed).dataset for run, seed in enumerate((7, 7, 8))
    )
    assert one.manifest.equals(same.manifest)
    assert (tmp_path / "0" / "dataset.json").read_bytes() == (tmp_path / "1" / "dataset.json").read_bytes()
    assert splits(one) != splits(other)
    assert one.description.fingerprint != other.description.fingerprint


def test_test_only(tree: Path, tmp_path: Path) -> None:
    dataset = import_dataset(tree, tmp_path / "out", test_only=True, findings=["covid"]).dataset
    assert dataset.rows("test").height == 20
    assert dataset.rows("validation").height == 20
    with pytest.raises(DataError, match=r"no images in its train split. Import it again without --test-only"):
        dataset.rows("train")


def test_what_was_chosen_stands_in_the_description_and_not_in_the_fingerprint(tree: Path, tmp_path: Path) -> None:
    rows = [
        [str(tree / name / f"{name}-{n}.png"), name, "PA"]
        for name, count in (("COVID", 20), ("Normal", 30))
        for n in range(1, count + 1)
    ]
    source = write_csv(tmp_path / "views.csv", ["path", "finding", "view"], rows)
    plain, chosen = (
        import_dataset(source, tmp_path / name, **choices).dataset
        for name, choices in (
            ("plain", {}),
            ("chosen", {"findings": ["normal", "covid19"], "rename": {"COVID": "covid"}, "views": ["pa ", ""]}),
        )
    )
    assert json.loads((tmp_path / "plain" / "dataset.json").read_text())["choices"] == {
        "findings": None, "rename": {}, "views": None, "half": None,
        "normal": None, "flag": None, "columns": {}, "labels_as": None, "uncertain": "leave-out",
        "layout": None, "patient_from": None, "split_from": None,
    }  # fmt: skip
    assert json.loads((tmp_path / "chosen" / "dataset.json").read_text())["choices"] == {
        "findings": [COVID_19, NORMAL], "rename": {COVID_19: COVID_19}, "views": ["pa"], "half": None,
        "normal": None, "flag": None, "columns": {}, "labels_as": None, "uncertain": "leave-out",
        "layout": None, "patient_from": None, "split_from": None,
    }  # fmt: skip
    assert chosen.description.fingerprint == plain.description.fingerprint
    half = import_dataset(source, tmp_path / "half", half="final", test_only=True).dataset.description
    assert (half.choices.half, half.test_only) == ("final", True)


def test_tiny_finding_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"COVID": 2, "Normal": 9})
    with pytest.raises(DataError, match="Finding 'COVID-19' has 2 images in 2 independent groups"):
        import_dataset(source, tmp_path / "out")
    assert names_in(tmp_path) == ["source"]
    assert import_dataset(source, tmp_path / "out", findings=["Normal"]).dataset.manifest.height == 9


def test_patients_stay_together(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"COVID": 24})
    rows = [[f"COVID/COVID-{n}.png", "COVID", f"P{n % 8}" if n <= 16 else ""] for n in range(1, 25)]
    write_csv(source / "manifest.csv", ["path", "finding", "patient"], rows)
    manifest = import_dataset(source, tmp_path / "out").dataset.manifest
    known = manifest.filter(pl.col("patient").is_not_null())
    assert known.group_by("patient").agg(pl.col("group").n_unique(), pl.col("split").n_unique())["split"].max() == 1
    assert known["group"].n_unique() == 8
    assert known["duplicate_group"].n_unique() == 16
    # Unknown patients are not one patient.
    assert manifest.filter(pl.col("patient").is_null())["group"].n_unique() == 8


def test_copies_stay_together_even_renamed_and_re_encoded(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"COVID": 10, "Normal": 10}, size=160)
    for number in range(1, 6):
        pixels = read_radiograph(source / "COVID" / f"COVID-{number}.png").pixels
        write_image(source / "COVID" / f"z{number}.jpg", pixels, "JPEG", quality=80)
        write_image(
            source / "COVID" / f"y{number}.tif", np.clip(pixels * 0.9, 0, 255).astype(np.uint8)[::2, ::2], "TIFF"
        )
    dataset = import_dataset(source, tmp_path / "out").dataset
    manifest = dataset.manifest.with_columns(name=pl.col("path").str.split("/").list.last())
    group = dict(manifest.select("name", "duplicate_group").iter_rows())
    split = dict(manifest.select("name", "split").iter_rows())
    for number in range(1, 6):
        names = [f"COVID-{number}.png", f"z{number}.jpg", f"y{number}.tif"]
        assert len({group[name] for name in names}) == 1
        assert len({split[name] for name in names}) == 1
    assert manifest["duplicate_group"].n_unique() == 20
    assert dataset.description.near_duplicate_pairs == 15


def test_equal_pixels_are_copies_even_without_structure_to_compare(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"COVID": 5})
    pixels = np.full((96, 96), 100, np.uint8)
    pixels[0, 0] = 101  # not constant, but its thumbnail is
    for name in ("x", "y"):
        write_image(source / "COVID" / f"{name}.png", pixels)
    assert not fingerprint(read_radiograph(source / "COVID" / "x.png")).detail.any()
    manifest = import_dataset(source, tmp_path / "out").dataset.manifest
    copies = manifest.filter(pl.col("path").str.ends_with("/x.png") | pl.col("path").str.ends_with("/y.png"))
    assert copies["duplicate_group"].n_unique() == 1
    assert copies["split"].n_unique() == 1


def test_an_existing_folder_is_refused_before_anything_is_read(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(ConfigurationError, match=r"already exists. Choose another folder for the data set"):
        import_dataset(tree, tmp_path, progress=lambda done, total: pytest.fail("it read an image"))
    assert names_in(tmp_path) == ["mine"]


def test_nothing_can_be_read(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / "source" / "COVID" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(DataError, match=r"None of the 3 images in .* can be read; the first: the file is empty"):
        import_dataset(tmp_path / "source", tmp_path / "out")
    assert names_in(tmp_path) == ["source"]


def test_missing_images_of_a_manifest_are_error_rows(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"COVID": 3})
    rows = [[f"COVID/COVID-{n}.png", "COVID"] for n in range(1, 5)]
    dataset = import_dataset(write_csv(source / "m.csv", ["path", "finding"], rows), tmp_path / "out").dataset
    assert dataset.unreadable()["code"].to_list() == ["not-found"]
    assert dataset.manifest.height == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_stopped_half_way_leaves_nothing(tree: Path, tmp_path: Path, error: type[Any]) -> None:
    def stop(done: int, total: int) -> None:
        if done == 20:
            raise error

    with pytest.raises(error):
        import_dataset(tree, tmp_path / "out", progress=stop)
    assert names_in(tmp_path) == []


def test_stopped_half_way_stops_decoding(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Other tests' threads may still be about: TensorFlow and the like keep pools for themselves.
    before = set(threading.enumerate())
    started = []
    decode = importing._decode
    monkeypatch.setattr(importing, "_decode", lambda path: started.append(path) or decode(path))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        import_dataset(tree, tmp_path / "out", progress=stop)
    assert caught.tb is not None  # the traceback keeps the frames alive, but no threads
    assert not [t for t in set(threading.enumerate()) - before if t.name.startswith("ThreadPool")]
    assert len(started) <= importing._IN_FLIGHT + 1


@pytest.mark.parametrize("broken", ["write_dataset", "_with_groups", "find_duplicates", "assign_splits"])
def test_a_full_disk_at_any_step_leaves_nothing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(importing, broken, full)
    with pytest.raises(OSError, match="No space left"):
        import_dataset(tree, tmp_path / "out")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("kilobytes", [60, 88, 92, 96, 100, 104, 112, 120])
def test_a_disk_that_is_really_full(tree: Path, tmp_path: Path, kilobytes: int) -> None:
    """50 details take 87 kB, the rest of the data set some 12; the sizes fill the disk at different steps."""
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        try:
            dataset = import_dataset(tree, disk / "out").dataset
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017
            assert names_in(disk) == []
        else:
            assert kilobytes > 96
            assert dataset.details.shape == (50, DETAIL_LENGTH)
            del dataset


def test_a_kill_leaves_no_folder_that_looks_whole(tree: Path, tmp_path: Path) -> None:
    """SIGKILL cannot clean up, but what it leaves is hidden and has no dataset.json."""
    script = (
        "import os, signal, sys; from pathlib import Path; from carina.datasets.importing import import_dataset\n"
        "kill = lambda done, total: done == 20 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "import_dataset(Path(sys.argv[1]), Path(sys.argv[2]), progress=kill)"
    )
    done = subprocess.run([sys.executable, "-c", script, tree, tmp_path / "out"], check=False)
    assert done.returncode == -9
    (left,) = names_in(tmp_path)
    assert left.startswith(".partial-out-")
    assert not (tmp_path / left / "dataset.json").exists()
    assert import_dataset(tree, tmp_path / "out").dataset.manifest.height == 50


def test_formats_mix(tmp_path: Path) -> None:
    for number, kind in enumerate(("PNG", "TIFF", "BMP", "WEBP", "JPEG", "PNG")):
        path = tmp_path / "source" / "Normal" / f"{number}.{kind.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet = make_sheet(number)
        path.write_bytes(encode(sheet if number else sheet.astype(np.uint16) * 257, kind))
    assert import_dataset(tmp_path / "source", tmp_path / "out").dataset.manifest.height == 6


def test_counts_are_of_the_images_that_could_be_read(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"COVID": 4, "Normal": 5})
    (source / "Normal" / "Normal-1.png").write_bytes(b"")
    report = import_dataset(source, tmp_path / "out")
    assert any("Flagged finding: COVID-19" in note and "Normal: 4 images." in note for note in report.notes)


def test_unknown_patients_are_said_with_the_way_to_name_them(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"COVID": 4, "Normal": 4})
    says = "The patient is not known for 8 of 8 images."
    assert any(
        note.startswith(says) and "--patient-from REGEX" in note
        for note in import_dataset(source, tmp_path / "a").notes
    )
    notes = import_dataset(source, tmp_path / "b", test_only=True).notes
    assert any(note.startswith(says) and "Intervals treat each" in note for note in notes)
    notes = import_dataset(source, tmp_path / "c", patient_from=r"(\w+-\d+)\.png").notes
    assert not any("is not known" in note for note in notes)


def test_a_split_that_cannot_be_kept_is_not_offered(tmp_path: Path) -> None:
    source = write_tree(tmp_path / "source", {"train/COVID": 4, "train/Normal": 4, "test/COVID": 2, "test/Normal": 2})
    assert import_dataset(source, tmp_path / "a").offered == "folders"
    write_image(source / "Normal" / "beside.png", make_sheet(77, 64))
    report = import_dataset(source, tmp_path / "b")
    assert report.offered is None
    assert any("It cannot be kept, and a new one is made: 1 of 13 images has no" in note for note in report.notes)


def test_the_data_set_does_not_go_into_the_folder_of_its_images(tree: Path, tmp_path: Path) -> None:
    before = names_in(tree)
    with pytest.raises(
        ConfigurationError, match=r"out lies in .*, the folder that is imported\. Choose a folder outside"
    ):
        import_dataset(tree, tree / "data" / "out")
    assert names_in(tree) == before
