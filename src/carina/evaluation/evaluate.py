"""A model and a split become numbers: leak check, predictions, metrics."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from carina.datasets.manifest import Dataset, Split
from carina.errors import LeakError
from carina.evaluation.leaks import LeakCheck, check_leaks
from carina.evaluation.notebook import evaluation_html
from carina.evaluation.predictions import (
    findings_of,
    groups_of,
    predict_rows,
    probabilities_of,
    rows_to_judge,
    truth_of,
)
from carina.inference.predictor import Predictor
from carina.progress import Progress, no_progress
from carina.statistics.fixed_specificity import SPECIFICITIES, sensitivity_at_specificity
from carina.statistics.intervals import Estimate
from carina.statistics.metrics import Metrics, OperatingPointMetrics, at_operating_point, measure
from carina.wording import counted, were

OnLeak = Literal["refuse", "drop", "allow"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one model reached on one split.

    Attributes
    ----------
    table
        The prediction table.
    metrics
        Figures with intervals.
    at_operating_point
        Of the run's own operating point, chosen elsewhere and applied here.
    at_specificity
        Sensitivity for the same finding at given specificities, read off this set's own curve.
    leaks
        What the model had seen.
    dropped
        How many leaked images were left out.
    notice
        What every output must say at its top, or none.
    flag_finding
        The finding of the operating point, which the model flags.
    """

    table: pl.DataFrame
    metrics: Metrics
    at_operating_point: OperatingPointMetrics
    at_specificity: dict[float, Estimate]
    leaks: LeakCheck
    dropped: int
    notice: str | None
    flag_finding: str

    def _repr_html_(self) -> str:
        return evaluation_html(self)


def evaluate(
    run: Path,
    dataset: Dataset,
    split: Split,
    *,
    on_leak: OnLeak = "refuse",
    prevalence: float | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Return what a run reaches on a split of a data set.

    Parameters
    ----------
    run
        A finished run.
    dataset, split
        What to judge.
    on_leak
        What to do with images that the model learned from: ``refuse`` the whole, ``drop`` them and say so, or
        ``allow`` them and say so over every output.
    prevalence
        Of the operating point's finding, to give PPV and NPV at.
    progress
        Told how many images are judged.

    Raises
    ------
    LeakError
        If the split holds images that the model learned from, and they are to be refused.
    DataError
        If the split is empty, or holds what the model cannot judge.
    """
    predictor = Predictor(run)
    findings = predictor.run.findings
    rows = rows_to_judge(dataset, split, findings)
    leaks = check_leaks(run, dataset, rows)
    dropped = 0
    if leaks.learned.height and on_leak == "refuse":
        msg = (
            f"{leaks.in_words(dataset.folder, split)} "
            "Leave them out with --drop-leaks, or count them with --allow-leak."
        )
        raise LeakError(msg)
    if on_leak == "drop":
        dropped = leaks.learned.height
        rows = rows.filter(~pl.col("sha256").is_in(leaks.learned["sha256"].implode()))
        if rows.is_empty():
            msg = f"Every image in {dataset.folder} ({split}) was trained on: nothing is left to judge."
            raise LeakError(msg)
    table = predict_rows(predictor, rows, progress=progress)
    table = table.with_columns(trained_on=pl.col("sha256").is_in(leaks.learned["sha256"].implode()))
    truth, probabilities, groups = truth_of(table), probabilities_of(table), groups_of(table)
    point = predictor.run.operating_point
    metrics = measure(
        truth,
        probabilities,
        findings_of(table),
        groups=groups,
        prevalence=None if prevalence is None else {point.finding: prevalence},
    )
    reached = at_operating_point(truth, probabilities, findings.index(point.finding), point.threshold, groups)
    index = findings.index(point.finding)
    curve = sensitivity_at_specificity(truth == index, probabilities[:, index], groups=groups)
    at_specificity = dict(zip(SPECIFICITIES, curve, strict=True))
    return Evaluation(table, metrics, reached, at_specificity, leaks, dropped, _notice(leaks, on_leak), point.finding)


def _notice(leaks: LeakCheck, on_leak: OnLeak) -> str | None:
    if on_leak == "allow" and leaks.learned.height:
        learned = leaks.learned.height
        return (
            f"LEAK ALLOWED: {learned} of {counted(leaks.images, 'test image')} {were(learned)} trained on. "
            "Not a test result."
        )
    return None
