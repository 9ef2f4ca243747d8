"""How well one set of predictions agrees with the truth: every measure with its interval.

Rows of a confusion matrix are the true finding, columns the predicted one. Each finding is measured against
the rest. A finding that never occurs in the truth has no sensitivity and no AUROC: these are n/a, with the
reason, and averages are taken over the findings that occur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carina.statistics.binary_metrics import binary_estimates
from carina.statistics.bootstrap import bootstrap_estimates
from carina.statistics.calibration_measures import CalibrationMeasures, measure_calibration
from carina.statistics.checked_table import (
    check_findings,
    check_predicted,
    check_prevalences,
    check_probabilities,
    check_truth,
)
from carina.statistics.curves import weighted_auprc
from carina.statistics.delong import auroc_components, delong_interval, mean_auroc_interval
from carina.statistics.intervals import (
    Estimate,
    FloatArray,
    IntArray,
    Record,
    group_codes,
    likelihood_ratio,
    not_applicable,
    predictive_value_at,
    proportion_interval,
)


@dataclass(frozen=True, slots=True)
class FindingMetrics(Record):
    """One finding against the rest.

    Parameters
    ----------
    finding
        Its name.
    n
        Number of images that show it.
    prevalence
        Its share of this set, range [0, 1].
    sensitivity, specificity
        At the prediction (the most probable finding, unless others were given).
    ppv, npv
        As counted, so at the prevalence of this set.
    stated_prevalence
        The prevalence that `ppv_at` and `npv_at` are for; None where none was given.
    ppv_at, npv_at
        Carried to the stated prevalence by Bayes' theorem.
    f1
        Harmonic mean of sensitivity and PPV.
    likelihood_ratio_positive, likelihood_ratio_negative
        LR+ and LR-.
    auroc, auprc
        Areas over all thresholds of this finding's probability.
    """

    finding: str
    n: int
    prevalence: float
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    stated_prevalence: float | None
    ppv_at: Estimate
    npv_at: Estimate
    f1: Estimate
    likelihood_ratio_positive: Estimate
    likelihood_ratio_negative: Estimate
    auroc: Estimate
    auprc: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class Metrics(Record):
    """All measures of one prediction table.

    Parameters
    ----------
    findings
        Names, in the order of the confusion matrix.
    n
        Number of images.
    groups
        Number of patients (or duplicate groups); None if every image is independent.
    confusion
        int (k, k), rows = truth, columns = predicted; read-only.
    accuracy
        Share of images whose finding was predicted.
    balanced_accuracy
        Mean sensitivity over the findings that occur.
    macro_f1, macro_auroc, macro_auprc
        Plain means over the findings that occur.
    weighted_f1, weighted_auroc, weighted_auprc
        Means weighted by each finding's number of images.
    per_finding
        One a finding, in the order of `findings`.
    calibration
        Whether the probabilities mean what they say.
    """

    findings: tuple[str, ...]
    n: int
    groups: int | None
    confusion: IntArray
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    weighted_f1: Estimate
    macro_auroc: Estimate
    weighted_auroc: Estimate
    macro_auprc: Estimate
    weighted_auprc: Estimate
    per_finding: tuple[FindingMetrics, ...]
    calibration: CalibrationMeasures


def count_confusion(truth: IntArray, predicted: IntArray, findings: int) -> IntArray:
    """Return int (k, k), how many images of each true finding (row) were predicted as each (column)."""
    return np.bincount(truth * findings + predicted, minlength=findings**2).reshape(findings, findings)


def measure(
    truth: IntArray,
    probabilities: FloatArray,
    findings: Sequence[str],
    *,
    predicted: IntArray | None = None,
    groups: IntArray | None = None,
    prevalence: Mapping[str, float] | None = None,
    replicates: int = 2000,
    seed: int = 1234,
) -> Metrics:
    """Return all measures of a prediction table, each with its interval.

    Proportions have Wilson intervals, AUROCs DeLong's, F1 and AUPRC a stratified bootstrap; for calibration see
    `carina.statistics.calibration_measures.measure_calibration`. Where `groups` holds several images of a patient, all
    respect it (design effect, Obuchowski, whole patients drawn).

    Parameters
    ----------
    truth
        int (n,), index of the true finding. Unknown (-1) is refused: drop such rows first.
    probabilities
        float (n, k), calibrated probabilities, rows sum to 1.
    findings
        k names in column order.
    predicted
        int (n,), the predicted finding; by default the most probable one, the first where two tie.
    groups
        int (n,) patient or duplicate group ids, or None.
    prevalence
        Share of each finding (of some or all) where the model is to be used; gives `ppv_at` and `npv_at`.
    replicates
        Bootstrap draws.
    seed
        The same seed gives the same intervals.

    Raises
    ------
    DataError
        If the table is empty, lengths differ, a finding is unknown or out of range, or a row's probabilities
        are NaN, outside [0, 1] or do not sum to 1 within 0.001.
    ConfigurationError
        If a stated prevalence is not a share of a known finding, or replicates is below 1.
    """
    names = check_findings(findings)
    truth = check_truth(truth, len(names))
    probabilities = check_probabilities(probabilities, len(truth), len(names))
    predicted = check_predicted(predicted, probabilities)
    table = _Table(truth, probabilities, predicted, group_codes(groups, len(truth)))
    stated = check_prevalences(prevalence, names)
    confusion = count_confusion(truth, predicted, len(names))
    confusion.setflags(write=False)
    drawn = _bootstrap_all(table, replicates, seed)
    macro_auroc, weighted_auroc = _mean_aurocs(table)
    calibration = measure_calibration(
        truth,
        probabilities,
        names,
        predicted=predicted,
        groups=table.codes,
        replicates=replicates,
        seed=seed,
    )
    note = _absence_note(confusion, names)
    calibration = replace(
        calibration,
        mean_ece=_with_note(calibration.mean_ece, note),
        mean_ece_if_calibrated=_with_note(calibration.mean_ece_if_calibrated, note),
    )
    averages = {name: _with_note(drawn[name], note) for name in _AVERAGES}
    return Metrics(
        findings=names,
        n=len(truth),
        groups=None if table.codes is None else int(table.codes.max()) + 1,
        confusion=confusion,
        accuracy=proportion_interval(predicted == truth, table.codes),
        macro_auroc=_with_note(macro_auroc, note),
        weighted_auroc=_with_note(weighted_auroc, note),
        per_finding=tuple(
            _measure_finding(table, index, name, stated.get(name), drawn) for index, name in enumerate(names)
        ),
        calibration=calibration,
        **averages,
    )


_AVERAGES = ("balanced_accuracy", "macro_f1", "weighted_f1", "macro_auprc", "weighted_auprc")
_ONE_FINDING = "the set shows a single finding"


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """A checked prediction table; `codes` numbers the patients, None if every image is independent."""

    truth: IntArray
    probabilities: FloatArray
    predicted: IntArray
    codes: IntArray | None


def _measure_finding(
    table: _Table, index: int, name: str, stated: float | None, drawn: Mapping[str, Estimate]
) -> FindingMetrics:
    """Return the measures of one finding against the rest."""
    positive = table.truth == index
    cells, proportions = binary_estimates(positive, table.predicted == index, table.codes)
    if stated is None:
        ppv_at = npv_at = not_applicable("no prevalence stated")
    else:
        ppv_at = predictive_value_at(cells, stated, positive_call=True)
        npv_at = predictive_value_at(cells, stated, positive_call=False)
    no_positive, no_negative = (not_applicable(f"no image {side} this finding") for side in ("with", "without"))
    return FindingMetrics(
        finding=name,
        n=cells.positives,
        prevalence=cells.positives / len(positive),
        **proportions,
        stated_prevalence=stated,
        ppv_at=ppv_at,
        npv_at=npv_at,
        f1=drawn.get(f"f1 {index}", no_positive),
        likelihood_ratio_positive=likelihood_ratio(cells, positive_call=True),
        likelihood_ratio_negative=likelihood_ratio(cells, positive_call=False),
        auroc=delong_interval(positive, table.probabilities[:, index], table.codes),
        auprc=drawn.get(f"auprc {index}", no_negative if positive.all() else no_positive),
    )


def _bootstrap_all(table: _Table, replicates: int, seed: int) -> dict[str, Estimate]:
    """Return all that needs the bootstrap from one set of draws: averages, and F1 and AUPRC by finding."""
    truth, probabilities = table.truth, table.probabilities
    n, k = probabilities.shape
    support = np.bincount(truth, minlength=k)
    present = np.flatnonzero(support > 0)
    ranked = present if len(present) > 1 else present[:0]
    cells: NDArray[np.float64] = np.zeros((n, k * k))
    cells[np.arange(n), truth * k + table.predicted] = 1

    def statistic(weights: IntArray) -> FloatArray:
        # As float64: integer matrix products do not go through BLAS and are an order of magnitude slower.
        confusion = (weights.astype(np.float64) @ cells).reshape(-1, k, k)
        right = np.diagonal(confusion, axis1=1, axis2=2)[:, present]
        shown = confusion.sum(axis=2)[:, present]
        called = confusion.sum(axis=1)[:, present]
        # Only whole patients drawn by groups can leave a finding out of a replicate: undefined there, so NaN.
        recall = np.divide(right, shown, out=np.full_like(shown, np.nan), where=shown > 0)
        f1 = np.divide(2 * right, shown + called, out=np.full_like(shown, np.nan), where=shown > 0)
        share = shown / shown.sum(axis=1, keepdims=True)
        columns = [recall.mean(axis=1), f1.mean(axis=1), (f1 * share).sum(axis=1), *f1.T]
        if len(ranked):
            areas = np.stack([weighted_auprc(truth == i, probabilities[:, i], weights) for i in ranked], axis=1)
            columns += [areas.mean(axis=1), (areas * share).sum(axis=1), *areas.T]
        # A weighted mean of ones may pass 1 by a rounding.
        return np.asarray(np.minimum(np.stack(columns, axis=1), 1.0))

    names = ["balanced_accuracy", "macro_f1", "weighted_f1", *(f"f1 {i}" for i in present)]
    if len(ranked):
        names += ["macro_auprc", "weighted_auprc", *(f"auprc {i}" for i in ranked)]
    estimates = bootstrap_estimates(
        statistic,
        truth=truth,
        groups=table.codes,
        replicates=replicates,
        seed=seed,
    )
    missing = not_applicable(_ONE_FINDING)
    return {"macro_auprc": missing, "weighted_auprc": missing, **dict(zip(names, estimates, strict=True))}


def _mean_aurocs(table: _Table) -> tuple[Estimate, Estimate]:
    """Return macro and weighted AUROC over the findings that occur."""
    support = np.bincount(table.truth, minlength=table.probabilities.shape[1])
    present = np.flatnonzero(support > 0)
    if len(present) < 2:
        return not_applicable(_ONE_FINDING), not_applicable(_ONE_FINDING)
    parts = [auroc_components(table.truth == i, table.probabilities[:, i], table.codes) for i in present]
    return (
        mean_auroc_interval(parts, np.ones(len(present))),
        mean_auroc_interval(parts, support[present].astype(np.float64)),
    )


def _absence_note(confusion: IntArray, names: tuple[str, ...]) -> str | None:
    """Return which findings an average leaves out because no image shows them."""
    absent = [name for name, count in zip(names, confusion.sum(axis=1), strict=True) if count == 0]
    return f"averaged without {', '.join(absent)}: no image with this finding" if absent else None


def _with_note(estimate: Estimate, note: str | None) -> Estimate:
    """Return the estimate with one more remark."""
    if note is None:
        return estimate
    return replace(estimate, note=note if estimate.note is None else f"{estimate.note}; {note}")
