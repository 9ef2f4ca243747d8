"""The headline, and evaluations side by side, of models that know a finding which no image shows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from carina.errors import DataError
from carina.evaluation.evaluate import SplitResult
from carina.evaluation.leaks import LeakCheck
from carina.reports.evaluation_comparison import SideBySide, compare_evaluations
from carina.reports.evaluation_folder import EVALUATION_FORMAT
from carina.statistics.binary_metrics import at_operating_point
from carina.statistics.metrics import measure

THREE = ("COVID-19", "Normal", "Viral Pneumonia")
FOUR = (*THREE, "Other opacity")


def table_of(findings: tuple[Any, ...], n: int = 150, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return truth among the first three findings, and probabilities of all."""
    rng = np.random.default_rng(seed)
    truth = np.resize([0, 1, 2], n)
    logits = np.random.default_rng(seed + 1).normal(size=(n, len(findings)))
    logits[np.arange(n), truth] += rng.normal(2, 1, n)
    exps = np.exp(logits)
    return truth, exps / exps.sum(axis=1, keepdims=True)


def evaluation_of(findings: tuple[Any, ...], **options: Any) -> SplitResult:
    truth, probabilities = table_of(findings, **options)
    metrics = measure(truth, probabilities, findings, replicates=20)
    point = at_operating_point(truth, probabilities, 0, 0.4)
    leaks = LeakCheck(pl.DataFrame({"sha256": [], "kind": []}), 0, len(truth), 10)
    told = {"table": pl.DataFrame({"assessable": [True, False] * 3}), "metrics": metrics, "at_operating_point": point}
    told |= {"leaks": leaks, "dropped": 0, "flag_finding": "COVID-19"}
    return SplitResult(**dict.fromkeys(SplitResult.__dataclass_fields__) | told)


def write_folder(folder: Path, findings: tuple[Any, ...], seed: int = 0, calibration: bool = True) -> Path:
    """Write as much of an evaluation as a comparison reads."""
    truth, probabilities = table_of(findings, seed=seed)
    evaluation = evaluation_of(findings, seed=seed)
    metrics = evaluation.metrics.to_json()
    if not calibration:
        del metrics["calibration"]
    reached = evaluation.at_operating_point.to_json()
    folder.mkdir()
    content = {
        "format": EVALUATION_FORMAT,
        "notice": None,
        "metrics": metrics,
        "leak_check": {"stopped_on": 0},
        "operating_point": {"chosen": {"finding": "COVID-19", "threshold": 0.4}, "reached": reached},
        "model": {"seconds": {"total": 1.0}, "peak_memory_mb": 1.0},
    }
    (folder / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    columns = {f"probability:{name}": probabilities[:, index] for index, name in enumerate(findings)}
    rows = {
        "sha256": [f"{index:064d}" for index in range(len(truth))],
        "finding": [findings[index] for index in truth],
        "group": np.arange(len(truth)),
        "trained_on": np.zeros(len(truth), bool),
    }
    pl.DataFrame(rows | columns).write_parquet(folder / "predictions.parquet")
    return folder


def test_the_headline_gives_the_calibration_error() -> None:
    evaluation = evaluation_of(THREE)
    first, second, *_ = evaluation.summary().splitlines()
    metrics = evaluation.metrics
    expected = f"Accuracy {metrics.accuracy}. Macro AUROC {metrics.macro_auroc}. ECE {metrics.calibration.ece}."
    assert first == f"150 images. {expected}"
    assert second.startswith("COVID-19: sensitivity ")


def test_the_headline_says_what_is_left_out() -> None:
    evaluation = evaluation_of(FOUR)
    calls = int(evaluation.metrics.confusion[:, 3].sum())
    lines = evaluation.summary().splitlines()
    assert "(without Other opacity: no image of it). ECE " in lines[0]
    specificity = evaluation.metrics.per_finding[3].specificity
    assert f"Other opacity: no image of it; called on {calls} of 150 images, specificity {specificity}" in lines


def figures_of(side_by_side: SideBySide, name: str) -> dict[str, str]:
    return dict(side_by_side.figures.select("figure", name).iter_rows())


@pytest.mark.parametrize("swapped", [False, True])
def test_a_model_of_four_findings_compares_with_one_of_three(tmp_path: Path, swapped: bool) -> None:
    folders = [write_folder(tmp_path / "three", THREE), write_folder(tmp_path / "four", FOUR, seed=5)]
    together = compare_evaluations(folders[::-1] if swapped else folders)
    three, four = figures_of(together, "three"), figures_of(together, "four")
    assert (three["findings with images"], four["findings with images"]) == ("3 of 3", "3 of 4")
    assert three["Other opacity: specificity"] == four["Other opacity: auroc"] == "n/a"
    assert four["Other opacity: specificity"].startswith("0.")
    truth, probabilities = table_of(FOUR, seed=5)
    brier = ((probabilities - np.eye(4)[truth]) ** 2).sum(axis=1).mean()
    assert four["Brier score"].startswith(f"{brier:.3f} (")
    assert four["ECE"].startswith("0.")
    (paired,) = together.paired
    assert {test.finding for test in paired.comparison.tests} == {None, *THREE}
    # The true accuracy of each model, of four findings too.
    accuracy = paired.comparison.tests[0]
    right = {
        name: (table.argmax(axis=1) == known).mean()
        for name, (known, table) in (("three", table_of(THREE)), ("four", (truth, probabilities)))
    }
    expected = [right["four"], right["three"]] if swapped else [right["three"], right["four"]]
    assert [accuracy.value_a, accuracy.value_b] == pytest.approx(expected)
    # Holm's correction is over the ten tests that are shown.
    smallest = min((test for test in paired.comparison.tests if test.p_value is not None), key=lambda t: t.p_value)
    known = sum(test.p_value is not None for test in paired.comparison.tests)
    assert smallest.p_value_holm == pytest.approx(min(1, known * smallest.p_value))


def test_two_models_of_four_findings_compare_on_a_set_that_holds_three(tmp_path: Path) -> None:
    together = compare_evaluations([write_folder(tmp_path / f"{seed}", FOUR, seed=seed) for seed in (0, 5)])
    absent = {t.measure: t for t in together.paired[0].comparison.tests if t.finding == "Other opacity"}
    assert absent["AUROC"].difference.note == "no image with this finding"
    assert absent["sensitivity"].value_a is None
    assert absent["specificity"].value_a is not None


def test_an_evaluation_from_before_calibration_was_measured_is_read(tmp_path: Path) -> None:
    old = write_folder(tmp_path / "old", THREE, calibration=False)
    together = compare_evaluations([old, write_folder(tmp_path / "new", THREE, seed=5)])
    assert figures_of(together, "old")["ECE"] == "n/a"
    assert figures_of(together, "new")["ECE"] != "n/a"


def test_models_that_know_nothing_in_common_do_not_compare(tmp_path: Path) -> None:
    folders = [write_folder(tmp_path / "a", THREE), write_folder(tmp_path / "b", ("Tuberculosis", "x", "Normal"))]
    with pytest.raises(DataError, match="Only models that know two findings in common compare"):
        compare_evaluations(folders)
