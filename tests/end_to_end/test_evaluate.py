"""``carina evaluate`` and ``carina compare`` on phantoms, as typed: files, numbers, leaks, a full disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from carina.datasets.manifest import Dataset
from make import small_disk

BASELINE_FILES = (
    "classification_report.txt",
    "roc_auc.txt",
    "sens_spec_per_class.txt",
    "confusion_matrix.png",
    "accuracy_curve.png",
    "loss_curve.png",
    "recall_per_class.png",
    "sens_spec_per_class.png",
)


def test_the_evaluation_holds_every_file_of_the_baseline(evaluation: Path, tiny_run: Path) -> None:
    present = {path.name for path in evaluation.iterdir()}
    more = {"predictions.parquet", "metrics.json", "recipe.toml", "roc.png", "calibration.txt", "reliability.png"}
    more |= {"history.csv", "gallery.parquet", "report.html", "figures"}
    assert {*BASELINE_FILES, *more} == present
    for name in BASELINE_FILES:
        if name.endswith(".png"):
            with Image.open(evaluation / name) as image:
                assert image.width >= 800
        else:
            assert "COVID-19" in (evaluation / name).read_text(encoding="utf-8")


@pytest.mark.usefixtures("empty_pictures")
def test_the_report_shows_images_unless_told_not_to(
    evaluation: Path, carina: Callable[..., Any], tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    assert "data:image/webp;base64," in (evaluation / "report.html").read_text(encoding="utf-8")
    assert {"roc.svg", "per_finding.csv"} <= {path.name for path in (evaluation / "figures").iterdir()}
    result = carina("evaluate", tiny_run, phantom_dataset.folder, "--out", tmp_path / "plain", "--no-images")
    assert result.code == 0
    assert not (tmp_path / "plain" / "gallery.parquet").exists()
    page = (tmp_path / "plain" / "report.html").read_text(encoding="utf-8")
    assert "data:image" not in page
    assert "Images were left out of this report." in page


def test_its_numbers_are_those_of_its_predictions(evaluation: Path, phantom_dataset: Dataset) -> None:
    table = pl.read_parquet(evaluation / "predictions.parquet")
    content = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    assert table.height == phantom_dataset.rows("test").height == content["metrics"]["n"]
    assert content["metrics"]["accuracy"]["value"] == pytest.approx((table["finding"] == table["called"]).mean())
    assert content["leak_check"] | {"training_images": 0} == {
        "images_checked": table.height,
        "training_images": 0,
        "same_pixels": 0,
        "near_duplicates": 0,
        "dropped": 0,
        "stopped_on": 0,
    }
    covid = content["metrics"]["per_finding"]["COVID-19"]
    assert covid["ppv_at"]["value"] is not None
    # What is committed and passed on names no folder of the machine that it was made on.
    assert str(phantom_dataset.folder.parent) not in (evaluation / "metrics.json").read_text(encoding="utf-8")
    assert not any(Path(name).is_absolute() for name in table["image"])


def test_a_model_learns_something_from_easy_phantoms(evaluation: Path) -> None:
    content = json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"))
    # Even random features with three epochs of a head are better than chance; a mix-up of labels would not be.
    assert content["metrics"]["macro_auroc"]["value"] > 0.5


@pytest.mark.usefixtures("empty_pictures")
def test_images_trained_on_are_refused(
    carina: Callable[..., Any], tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    arguments = ["evaluate", tiny_run, phantom_dataset.folder, "--split", "train", "--out", tmp_path / "out"]
    refused = carina(*arguments)
    assert refused.code == 1
    assert "were trained on" in refused.err
    assert "--drop-leaks" in refused.err
    assert not (tmp_path / "out").exists()
    nothing_left = carina(*arguments, "--drop-leaks")
    assert nothing_left.code == 1
    assert "nothing is left to judge" in nothing_left.err
    both = carina(*arguments, "--drop-leaks", "--allow-leak")
    assert both.code == 2
    allowed = carina(*arguments, "--allow-leak")
    assert allowed.code == 0
    assert "LEAK ALLOWED" in allowed.err
    for name in BASELINE_FILES:
        if name.endswith(".txt"):
            assert "LEAK ALLOWED" in (tmp_path / "out" / name).read_text(encoding="utf-8")
    assert "LEAK ALLOWED" in json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))["notice"]


@pytest.mark.usefixtures("empty_pictures")
def test_a_re_encoded_training_image_is_found_out(
    carina: Callable[..., Any], tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    known = phantom_dataset.rows("train")
    fresh = phantom_dataset.rows("test")
    for row in (*known.head(2).iter_rows(named=True), *fresh.head(4).iter_rows(named=True)):
        folder = tmp_path / "outside" / row["finding"]
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(row["path"]) as image:
            image.resize((130, 130)).save(folder / f"{row['sha256'][:8]}.jpg", quality=85)
    assert carina("data", "import", tmp_path / "outside", "--out", tmp_path / "ds", "--test-only").code == 0
    refused = carina("evaluate", tiny_run, tmp_path / "ds", "--out", tmp_path / "ev")
    assert refused.code == 1
    assert "2 of the 6 images" in refused.err
    assert "0 to the pixel, 2 as near-duplicates" in refused.err
    dropped = carina("evaluate", tiny_run, tmp_path / "ds", "--out", tmp_path / "ev", "--drop-leaks")
    assert dropped.code == 0, dropped.err
    assert pl.read_parquet(tmp_path / "ev" / "predictions.parquet").height == 4
    assert "2 left out" in dropped.out


def test_compare_tests_in_pairs(carina: Callable[..., Any], evaluation: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "metrics.json").write_bytes((evaluation / "metrics.json").read_bytes())
    pl.read_parquet(evaluation / "predictions.parquet").write_parquet(other / "predictions.parquet")
    result = carina("compare", evaluation, other, "--out", tmp_path / "comparison.json")
    assert result.code == 0, result.err
    content = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    tests = content["paired"][0]["tests"]
    assert all(test["difference"]["value"] == 0 for test in tests)
    assert carina("compare", evaluation).code == 2
    assert carina("compare", evaluation, tmp_path).code == 1


def test_a_full_disk_while_evaluating_is_one_line(
    carina: Callable[..., Any], tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        result = carina("evaluate", tiny_run, phantom_dataset.folder, "--out", disk / "ev")
        assert result.code == 1
        assert "No space left on device" in result.err
        assert "Traceback" not in result.err
        assert list(disk.iterdir()) == []
