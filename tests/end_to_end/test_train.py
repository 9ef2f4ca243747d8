"""``carina train`` on phantoms, as typed: what can go wrong on the way, and going on afterwards."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carina.datasets.importing import import_dataset
from carina.datasets.manifest import Dataset
from carina.phantoms.phantom import write_phantoms
from conftest import TINY_RECIPE
from make import small_disk


@pytest.mark.long
@pytest.mark.parametrize("method", ["cached-embeddings", "end-to-end"])
def test_an_image_that_is_gone_while_training_is_named(carina: Any, tmp_path: Path, method: str) -> None:
    images = write_phantoms(tmp_path / "images", count=60, size=64, difficulty=0.0, seed=7)
    dataset = import_dataset(images, tmp_path / "dataset").dataset
    recipe = tmp_path / f"{method}.toml"
    recipe.write_text(TINY_RECIPE.format(method=method, split="train-calibration-test"))
    gone = Path(dataset.rows("train")["path"][5])
    away = gone.rename(gone.with_suffix(".away"))
    try:
        failed = carina(
            *("train", dataset.folder, "--recipe", recipe, "--out", tmp_path / method),
            *("--cache", tmp_path / "cache"),
        )
    finally:
        away.rename(gone)
    assert failed.code == 1
    assert "there is no such file" in failed.err
    assert gone.name in failed.err
    assert "Traceback" not in failed.err
    resumed = carina("train", "--resume", tmp_path / method, "--cache", tmp_path / "cache")
    assert resumed.code == 0, resumed.err


def test_a_run_that_cannot_start_leaves_no_folder(
    carina: Callable[..., Any], phantom_dataset: Dataset, tmp_path: Path
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        TINY_RECIPE.format(method="end-to-end", split="train-calibration-test").replace("out_relu", "nowhere")
    )
    assert carina("train", phantom_dataset.folder, "--recipe", recipe, "--out", tmp_path / "run").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["r.toml"]
    assert carina("train", "--resume", tmp_path / "run", "--recipe", recipe).code == 2


@pytest.mark.long
def test_a_full_disk_while_training_can_be_resumed(carina: Any, phantom_dataset: Dataset, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY_RECIPE.format(method="end-to-end", split="train-calibration-test"))
    with small_disk(tmp_path / "disk", 1024) as disk:
        failed = carina("train", phantom_dataset.folder, "--recipe", recipe, "--out", disk / "run")
        assert failed.code == 1
        assert "No space left on device" in failed.err
        assert "Traceback" not in failed.err
        assert not (disk / "run" / "run.json").exists()
        assert not list(disk.rglob(".partial-*"))
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        resumed = carina("train", "--resume", disk / "run")
        assert resumed.code == 0, resumed.err
