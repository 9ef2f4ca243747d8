"""``carina predict`` with a small run, as typed."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carina.datasets.manifest import Dataset
from carina.radiographs.gate import NO_GATE


def test_predict_gives_one_object_a_line(
    carina: Callable[..., Any], tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    good = phantom_dataset.rows("test")["path"][0]
    (tmp_path / "text.png").write_text("not an image")
    result = carina("predict", good, tmp_path / "text.png", tmp_path / "gone.png", "--run", tiny_run, "--json")
    assert result.code == 1
    judged, text, gone = (json.loads(line) for line in result.out.splitlines())
    assert set(judged) == {
        *("path", "sha256", "reduced", "finding", "probabilities", "triage", "gate", "reservations", "model"),
        "elapsed_ms",
    }
    assert sum(judged["probabilities"].values()) == pytest.approx(1.0, abs=1e-4)
    assert judged["gate"] is None
    assert judged["reservations"] == [NO_GATE]
    assert judged["triage"]["flag_finding"] == "COVID-19"
    assert judged["triage"]["priority"] in ("fast-track", "expedite", "secondary-review", "routine")
    assert len(judged["triage"]["reason"]) > 20
    assert text["error"]["code"] == "unsupported-format"
    assert gone["error"]["code"] == "not-found"
    assert "2 inputs could not be judged" in result.err


def test_predict_as_csv_and_for_people(
    carina: Callable[..., Any], tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    folder = Path(phantom_dataset.rows("test")["path"][0]).parent
    result = carina("predict", folder, "--run", tiny_run, "--csv")
    assert result.code == 0
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [row["path"] for row in rows] == sorted(str(path) for path in folder.glob("*.png"))
    assert all(float(row["probability:Normal"]) >= 0 for row in rows)
    shown = carina("predict", folder / rows[0]["path"], "--run", tiny_run)
    assert "still to be read" in shown.err
    assert carina("predict", folder, "--run", tiny_run, "--csv", "--json").code == 2


def test_prevalence_stands_in_the_reason_and_few_images_promise_nothing(
    carina: Callable[..., Any], tiny_run: Path, phantom_dataset: Dataset
) -> None:
    paths = phantom_dataset.rows("test")["path"].to_list()

    def triages_of_normal(prevalence: float) -> set[tuple[str, str]]:
        result = carina("predict", *paths, "--run", tiny_run, "--json", "--prevalence", prevalence)
        rows = [
            json.loads(line)["triage"] for line in result.out.splitlines() if json.loads(line)["finding"] == "Normal"
        ]
        return {(row["priority"], row["reason"]) for row in rows}

    # A calibration split of a dozen images cannot promise that next to none is missed, at any prevalence.
    for prevalence, words in ((0.0001, "0.01%"), (0.9, "90%")):
        triages = triages_of_normal(prevalence)
        assert "routine" not in {priority for priority, _ in triages}
        assert any(words in reason for priority, reason in triages if priority == "secondary-review"), triages


def test_a_file_name_that_is_no_utf_8_does_not_end_the_batch(
    carina: Callable[..., Any], tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    Path(strange).write_bytes(Path(phantom_dataset.rows("test")["path"][0]).read_bytes())
    for style in ("--json", "--csv", None):
        result = carina("predict", tmp_path, "--run", tiny_run, *([style] if style else []))
        assert result.code == 0, result.err
        assert "caf" in result.out


def test_results_that_cannot_be_written_are_no_traceback(tiny_run: Path, phantom_dataset: Dataset) -> None:
    command = [str(Path(sys.executable).parent / "carina"), "predict", phantom_dataset.rows("test")["path"][0]]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "--run", str(tiny_run), "--json"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Exception" not in done.stderr
    assert "Traceback" not in done.stderr
