"""From a folder to an answer, as typed; and what is said where a command cannot be carried out."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carina.datasets.manifest import Dataset
from commands import start, wait_for
from conftest import TINY_RECIPE


@pytest.mark.usefixtures("empty_pictures")
def test_a_tree_becomes_a_data_set_a_run_and_an_answer(carina: Callable[..., Any], tmp_path: Path) -> None:
    """Two findings of the user's own, in the published baseline's way of training."""
    assert carina("data", "phantom", "--out", tmp_path / "p", "--count", 60, "--size", 64, "--difficulty", 0).code == 0
    tree = tmp_path / "mine"
    tree.mkdir()
    (tmp_path / "p" / "COVID" / "images").rename(tree / "Tuberculosis")
    (tmp_path / "p" / "Normal" / "images").rename(tree / "Normal")
    imported = carina("data", "import", tree, "--out", tmp_path / "ds")
    assert imported.code == 0, imported.err
    checked = carina("data", "check", tmp_path / "ds", "--json")
    assert checked.code == 1
    assert {trouble["kind"] for trouble in json.loads(checked.out)["troubles"]} >= {"tiny finding"}
    (tmp_path / "r.toml").write_text(
        TINY_RECIPE.format(method="end-to-end", split="train-validation").replace("epochs = 3", "epochs = 2")
    )
    trained = carina("train", tmp_path / "ds", "--recipe", tmp_path / "r.toml", "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    assert "P(Tuberculosis) >=" in trained.out
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *("started.json", "recipe.toml", "history.csv", "train.log", "model.keras", "model.onnx", "run.json"),
        "training_images.txt",
    }
    again = carina("train", tmp_path / "ds", "--recipe", tmp_path / "r.toml", "--out", tmp_path / "run")
    assert again.code == 2
    assert "already exists" in again.err
    finished = carina("train", "--resume", tmp_path / "run")
    assert finished.code == 1
    assert "is finished" in finished.err
    evaluated = carina("evaluate", tmp_path / "run", tmp_path / "ds", "--out", tmp_path / "ev")
    assert evaluated.code == 0, evaluated.err
    assert "Training stopped or thresholds were chosen on" in evaluated.out
    assert "were chosen by" in (tmp_path / "ev" / "classification_report.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "{tmp}", "--out", "{tmp}/run"], 1, "not a data set. A data set is made by"),
        (["train", "--out", "{tmp}/run"], 2, "Name a DATASET and --out RUN"),
        (["train", "--resume", "{tmp}"], 1, "not a run. A run is made by carina train"),
        (["train", "{dataset}", "--recipe", "nope", "--out", "{tmp}/run"], 2, "no recipe 'nope'"),
        (["train", "{dataset}", "--weights", "{tmp}/w.h5", "--out", "{tmp}/run"], 2, "there is no file"),
        (["evaluate", "{tmp}", "{dataset}", "--out", "{tmp}/ev"], 1, "not a run or a bundle"),
        (["evaluate", "{run}", "{dataset}", "--split", "exam", "--out", "{tmp}/ev"], 2, "'exam' is not one of"),
        (["predict", "{tmp}/x.png", "--run", "{tmp}"], 1, "not a run or a bundle"),
        (["data", "import", "{tmp}/nowhere", "--out", "{tmp}/ds"], 1, "There is no folder or file"),
        (["data", "check", "{tmp}"], 1, "not a data set. A data set is made by"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    carina: Callable[..., Any],
    tiny_run: Path,
    phantom_dataset: Dataset,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    filled = [a.format(tmp=tmp_path, dataset=phantom_dataset.folder, run=tiny_run) for a in arguments]
    result = carina(*filled)
    assert result.code == code
    lines = [line for line in result.err.splitlines() if line.startswith(("carina: ", "Error: "))]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in result.err
    assert not any((tmp_path / name).exists() for name in ("ev", "ds", "run/run.json"))


def test_ctrl_c_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    process = start("data", "phantom", "--out", tmp_path / "p", "--count", 5000)
    wait_for(lambda: any(tmp_path.rglob("*.png")), process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "interrupted" in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
