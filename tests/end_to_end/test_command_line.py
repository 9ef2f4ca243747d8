"""The whole way on phantoms, as typed; and what happens when something is wrong on it."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from carina.cli import main
from carina.datasets.manifest import Dataset, open_dataset
from carina.radiographs.gate import NO_GATE
from conftest import TINY_RECIPE
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


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def carina(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["carina", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def evaluation(tiny_run: Path, phantom_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from carina.reports.evaluation_folder import write_evaluation

    out = tmp_path_factory.mktemp("evaluations") / "first"
    write_evaluation(tiny_run, phantom_dataset, "test", out, on_leak="refuse", prevalence=0.05, command="test")
    return out


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


def test_the_report_shows_images_unless_told_not_to(
    evaluation: Path, carina, tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    assert "data:image/webp;base64," in (evaluation / "report.html").read_text(encoding="utf-8")
    assert {"roc.svg", "roc.png", "per_finding.csv"} <= {path.name for path in (evaluation / "figures").iterdir()}
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


def test_images_trained_on_are_refused(carina, tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
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


def test_a_re_encoded_training_image_is_found_out(  # type: ignore[no-untyped-def]
    carina, tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
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


def test_predict_gives_one_object_a_line(carina, tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    good = phantom_dataset.rows("test")["path"][0]
    (tmp_path / "text.png").write_text("not an image")
    result = carina("predict", good, tmp_path / "text.png", tmp_path / "gone.png", "--run", tiny_run, "--json")
    assert result.code == 1
    judged, text, gone = (json.loads(line) for line in result.out.splitlines())
    assert set(judged) == {
        *("path", "sha256", "finding", "probabilities", "triage", "gate", "reservations", "model"),
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


def test_predict_as_csv_and_for_people(carina, tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = Path(phantom_dataset.rows("test")["path"][0]).parent
    result = carina("predict", folder, "--run", tiny_run, "--csv")
    assert result.code == 0
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [row["path"] for row in rows] == sorted(str(path) for path in folder.glob("*.png"))
    assert all(float(row["probability:Normal"]) >= 0 for row in rows)
    shown = carina("predict", folder / rows[0]["path"], "--run", tiny_run)
    assert "still to be read" in shown.err
    assert carina("predict", folder, "--run", tiny_run, "--csv", "--json").code == 2


def test_prevalence_stands_in_the_reason_and_few_images_promise_nothing(  # type: ignore[no-untyped-def]
    carina, tiny_run: Path, phantom_dataset: Dataset
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


def test_compare_tests_in_pairs(carina, evaluation: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
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


def test_a_tree_becomes_a_data_set_a_run_and_an_answer(carina, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
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
        (["evaluate", "{run}", "{dataset}", "--split", "exam", "--out", "{tmp}/ev"], 2, "--split exam is unknown"),
        (["predict", "{tmp}/x.png", "--run", "{tmp}"], 1, "not a run or a bundle"),
        (["data", "import", "{tmp}/nowhere", "--out", "{tmp}/ds"], 1, "There is no folder or file"),
        (["data", "check", "{tmp}"], 1, "not a data set. A data set is made by"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(  # type: ignore[no-untyped-def]
    carina, tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    filled = [a.format(tmp=tmp_path, dataset=phantom_dataset.folder, run=tiny_run) for a in arguments]
    result = carina(*filled)
    assert result.code == code
    lines = [line for line in result.err.splitlines() if line.startswith("carina: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in result.err
    assert not any((tmp_path / name).exists() for name in ("ev", "ds", "run/run.json"))


def test_an_image_that_is_gone_while_training_is_named(  # type: ignore[no-untyped-def]
    carina, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    for method in ("end-to-end", "cached-embeddings"):
        recipe = tmp_path / f"{method}.toml"
        recipe.write_text(TINY_RECIPE.format(method=method, split="train-calibration-test"))
        gone = Path(phantom_dataset.rows("train")["path"][5])
        away = gone.rename(gone.with_suffix(".away"))
        try:
            failed = carina(
                *("train", phantom_dataset.folder, "--recipe", recipe, "--out", tmp_path / method),
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


def test_a_run_that_cannot_start_leaves_no_folder(carina, phantom_dataset: Dataset, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        TINY_RECIPE.format(method="end-to-end", split="train-calibration-test").replace("out_relu", "nowhere")
    )
    assert carina("train", phantom_dataset.folder, "--recipe", recipe, "--out", tmp_path / "run").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["r.toml"]
    assert carina("train", "--resume", tmp_path / "run", "--recipe", recipe).code == 2


def test_a_file_name_that_is_no_utf_8_does_not_end_the_batch(  # type: ignore[no-untyped-def]
    carina, tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
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


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).parent / "carina"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process: subprocess.Popen[str], timeout_s: float = 120) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


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
    # Epochs that were done stay done; the times show that they were not trained anew.
    assert after.head(before.height).equals(before)
    assert not list(run.rglob(".partial-*"))


def test_ctrl_c_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    process = start("data", "phantom", "--out", tmp_path / "p", "--count", 5000)
    wait_for(lambda: any(tmp_path.rglob("*.png")), process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_evaluating_is_one_line(  # type: ignore[no-untyped-def]
    carina, tiny_run: Path, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        result = carina("evaluate", tiny_run, phantom_dataset.folder, "--out", disk / "ev")
        assert result.code == 1
        assert "No space left on device" in result.err
        assert "Traceback" not in result.err
        assert list(disk.iterdir()) == []


def test_a_full_disk_while_training_can_be_resumed(phantom_dataset: Dataset, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY_RECIPE.format(method="end-to-end", split="train-calibration-test"))
    with small_disk(tmp_path / "disk", 1024) as disk:
        failed = start("train", phantom_dataset.folder, "--recipe", recipe, "--out", disk / "run")
        _, error = failed.communicate(timeout=180)
        assert failed.returncode == 1
        assert "No space left on device" in error
        assert "Traceback" not in error
        assert not (disk / "run" / "run.json").exists()
        assert not list(disk.rglob(".partial-*"))
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        resumed = start("train", "--resume", disk / "run")
        _, error = resumed.communicate(timeout=180)
        assert resumed.returncode == 0, error


def test_the_demo_goes_the_whole_way_and_can_be_repeated(
    carina, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        result = carina("demo", "--out", tmp_path / "demo", "--count", 60)
        assert result.code == 0, result.err
    assert "Weights: " in result.out
    assert "report.html" in result.out
    assert open_dataset(tmp_path / "demo" / "dataset").manifest.height == 60
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    assert carina("demo", "--out", tmp_path / "other").code == 2
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["mine.txt"]
