"""A model and a split become numbers: leak check, predictions, metrics."""

import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from carina.bundles.run_folder import FinishedRun
from carina.datasets.manifest import Dataset, Split
from carina.errors import ConfigurationError, LeakError
from carina.evaluation.leaks import LeakCheck, check_leaks
from carina.evaluation.predictions import (
    findings_of,
    groups_of,
    predict_rows,
    probabilities_of,
    rows_to_judge,
    truth_of,
)
from carina.inference.predictor import Predictor
from carina.notebook import boxed, table_html
from carina.progress import Progress, no_progress
from carina.statistics.binary_metrics import OperatingPointMetrics, at_operating_point
from carina.statistics.fixed_specificity import SPECIFICITIES, sensitivity_at_specificity
from carina.statistics.intervals import Estimate
from carina.statistics.metrics import FindingMetrics, Metrics, measure
from carina.wording import counted, were

OnLeak = Literal["refuse", "drop", "allow"]
_MEASURES = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV, in this set",
    "npv": "NPV, in this set",
    "f1": "F1",
    "likelihood_ratio_positive": "LR+",
    "likelihood_ratio_negative": "LR−",
    "auroc": "AUROC",
    "auprc": "AUPRC",
}


@dataclass(frozen=True, repr=False)
class SplitResult:
    """What one model reached on one split.

    Attributes
    ----------
    model, model_folder
        What was judged: what it says of itself, and where it lies.
    dataset, split
        What it was judged on.
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
    seconds
        How long the judging took.
    """

    model: FinishedRun
    model_folder: Path
    dataset: Dataset
    split: Split
    table: pl.DataFrame
    metrics: Metrics
    at_operating_point: OperatingPointMetrics
    at_specificity: dict[float, Estimate]
    leaks: LeakCheck
    dropped: int
    notice: str | None
    flag_finding: str
    seconds: float

    @property
    def title(self) -> str:
        """Return model, data and number of images in one line, and what makes the figures too good."""
        leaks = self.leaks
        part = (
            "the split that training or thresholds were chosen by"
            if leaks.stopped_on == leaks.images
            else f"training or thresholds were chosen by {leaks.stopped_on} like them"
        )
        stopped = f", {part}" if leaks.stopped_on else ""
        where = f"{self.model.name} on {self.dataset.folder.name}, {self.split} split"
        return f"{where} (n = {self.metrics.n}){stopped}"

    def __repr__(self) -> str:
        return f"<carina.{type(self).__name__} {self.title}>"

    def of(self, finding: str) -> FindingMetrics:
        """Return the figures of one finding against the rest, each with its interval.

        Raises
        ------
        ConfigurationError
            If the model does not know the finding.
        """
        for item in self.metrics.per_finding:
            if item.finding == finding:
                return item
        msg = f"The model does not know {finding!r}. Name one of: {', '.join(self.metrics.findings)}."
        raise ConfigurationError(msg)

    def summary(self) -> str:
        """Return the figures that are asked for first, one per line, with their intervals."""
        metrics = self.metrics
        reached = self.at_operating_point
        absent = [item.finding for item in metrics.per_finding if item.n == 0]
        without = f" (without {', '.join(absent)}: no image of it)" if absent else ""
        lines = [
            (
                f"{metrics.n} images. Accuracy {metrics.accuracy}. Macro AUROC {metrics.macro_auroc}{without}. "
                f"ECE {metrics.calibration.ece}."
            ),
            *(
                f"{of.finding}: sensitivity {of.sensitivity}, specificity {of.specificity}, AUROC {of.auroc}"
                if of.n
                else f"{of.finding}: no image of it; called on {called} of {metrics.n} images, "
                f"specificity {of.specificity}"
                for of, called in zip(metrics.per_finding, metrics.confusion.sum(axis=0), strict=True)
            ),
            (
                f"Flagged finding: {self.flag_finding}. At the operating point (threshold {reached.threshold:.3f}): "
                f"sensitivity {reached.sensitivity}, specificity {reached.specificity}"
            ),
        ]
        refused = int((~self.table["assessable"]).sum())
        if refused:
            lines.append(
                f"{counted(refused, 'image')} would be refused (no two lungs, or the gate): "
                f"{'it is' if refused == 1 else 'they are'} judged here all the same, and `carina predict` says "
                "not-assessable."
            )
        leaks = self.leaks
        learned = leaks.learned.height
        lines.append(
            f"Leak check: {learned} of {counted(leaks.images, 'image')} {were(learned)} trained on"
            + (f", {self.dropped} left out." if self.dropped else ".")
        )
        if leaks.stopped_on:
            lines.append(
                f"Training stopped or thresholds were chosen on {leaks.stopped_on} of these images: "
                "the figures are a little too good."
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        metrics, reached = self.metrics, self.at_operating_point
        headline: list[tuple[str, object]] = [
            ("images", f"{metrics.n:,}"),
            ("accuracy", metrics.accuracy),
            ("mean AUROC", metrics.macro_auroc),
            ("ECE", metrics.calibration.ece),
            ("flagged finding", self.flag_finding),
            (f"sensitivity at the operating point ({reached.threshold:.3f})", reached.sensitivity),
            (f"specificity at the operating point ({reached.threshold:.3f})", reached.specificity),
            ("trained on, of these images", f"{self.leaks.learned.height:,} found, {self.dropped:,} left out"),
        ]
        confusion = [
            (f"{name} (true)", *(f"{count:,}" for count in row))
            for name, row in zip(metrics.findings, metrics.confusion.tolist(), strict=True)
        ]
        measures = [
            (words, *(getattr(item, name) for item in metrics.per_finding)) for name, words in _MEASURES.items()
        ]
        return boxed(
            *([f"<b>{escape(self.notice)}</b>"] if self.notice else []),
            table_html(("", "value (95 % interval)"), headline),
            table_html(("truth", *(f"called {name}" for name in metrics.findings)), confusion),
            table_html(("measure", *(item.finding for item in metrics.per_finding)), measures),
        )


def evaluate(
    run: Path,
    dataset: Dataset,
    split: Split,
    *,
    predictor: Predictor | None = None,
    on_leak: OnLeak = "refuse",
    prevalence: float | None = None,
    progress: Progress = no_progress,
) -> SplitResult:
    """Return what a run reaches on a split of a data set; `carina.evaluate` describes the other arguments.

    Parameters
    ----------
    on_leak
        What to do with images that the model learned from: ``refuse`` the whole, ``drop`` them and say so, or
        ``allow`` them and say so over every output.

    Raises
    ------
    LeakError
        If the split holds images that the model learned from, and they are to be refused.
    DataError
        If the split is empty, or holds what the model cannot judge.
    ConfigurationError
        If there is no such split.
    """
    if split not in get_args(Split):
        msg = f"The split {split!r} is unknown. Choose one of: test, calibration, validation, train."
        raise ConfigurationError(msg)
    if prevalence is not None and not 0 < prevalence < 1:
        msg = f"The prevalence is {prevalence}. Give a share between 0 and 1, such as 0.05."
        raise ConfigurationError(msg)
    # What anyone measures anywhere: not what happens to be fast here.
    predictor = predictor or Predictor(run, precision="f32")
    started = time.perf_counter()
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
    return SplitResult(
        model=predictor.run,
        model_folder=run,
        dataset=dataset,
        split=split,
        table=table,
        metrics=metrics,
        at_operating_point=reached,
        at_specificity=at_specificity,
        leaks=leaks,
        dropped=dropped,
        notice=_notice(leaks, on_leak),
        flag_finding=point.finding,
        seconds=time.perf_counter() - started,
    )


def _notice(leaks: LeakCheck, on_leak: OnLeak) -> str | None:
    if on_leak == "allow" and leaks.learned.height:
        learned = leaks.learned.height
        return (
            f"LEAK ALLOWED: {learned} of {counted(leaks.images, 'test image')} {were(learned)} trained on. "
            "Not a test result."
        )
    return None
