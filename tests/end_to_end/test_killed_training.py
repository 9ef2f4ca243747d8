"""A training that is killed goes on where it was. It trains in processes of its own, with TensorFlow's graphs."""

import re
from pathlib import Path

import polars as pl
import pytest

from carina.datasets.manifest import Dataset
from commands import start, wait_for
from conftest import TINY_RECIPE


@pytest.mark.long
def test_a_killed_training_resumes_and_loses_at_most_one_epoch(phantom_dataset: Dataset, tmp_path: Path) -> None:
    recipe = tmp_path / "long.toml"
    text = TINY_RECIPE.format(method="end-to-end", split="train-calibration-test")
    recipe.write_text(text.replace("epochs = 3", "epochs = 12").replace("patience = 3", "patience = 12"))
    run = tmp_path / "run"
    process = start("train", phantom_dataset.folder, "--recipe", recipe, "--out", run)
    history = run / "history.csv"
    wait_for(lambda: history.is_file() and pl.read_csv(history).height >= 2, process)
    process.kill()
    process.communicate()
    before = pl.read_csv(history)
    assert before.height < 12
    assert not (run / "run.json").exists()
    unfinished = start("evaluate", run, phantom_dataset.folder, "--out", tmp_path / "ev")
    assert "carina train --resume" in unfinished.communicate()[1]
    assert unfinished.returncode == 1
    resumed = start("train", "--resume", run)
    _, error = resumed.communicate(timeout=180)
    assert resumed.returncode == 0, error
    # No line of TensorFlow's own, or of its libraries, in a whole training; Carina's own say what was done.
    assert not re.search(r"absl|oneDNN|cpu_feature_guard|^[IWEF]\d{4} |tensorflow/|WARNING", error, re.MULTILINE)
    assert re.search(r"^Training \(batches\): ([\d,]+) of \1 in \d+ s\.$", error, re.MULTILINE)
    after = pl.read_csv(history)
    assert after.height == 12
    # Epochs that were done stay done; the times show that they were not trained again.
    assert after.head(before.height).equals(before)
    assert not list(run.rglob(".partial-*"))
