"""Figures with intervals over patients that several questions need; above all what remains of an AUROC above chance."""

from collections.abc import Sequence

import numpy as np

from carina.statistics.bootstrap import bootstrap_estimates
from carina.statistics.curves import weighted_auroc
from carina.statistics.delong import auroc_components, delong_interval, mean_auroc_interval
from carina.statistics.intervals import (
    BoolArray,
    Estimate,
    FloatArray,
    IntArray,
    not_applicable,
    proportion_interval,
)
from carina.statistics.subgroups import FEWEST_PATIENTS
from carina.wording import counted

# With less above chance the share of it is a ratio of two noises.
_LEAST_ABOVE_CHANCE = 0.01


def macro_auroc(truth: IntArray, scores: FloatArray, groups: IntArray | None) -> Estimate:
    """Return the mean one-vs-rest AUROC over the findings that occur, with its DeLong interval."""
    present = np.unique(truth)
    if len(present) < 2:
        return not_applicable("the images show a single finding")
    parts = [auroc_components(truth == i, scores[:, i], groups) for i in present]
    return mean_auroc_interval(parts, np.ones(len(present)))


def auroc_by_finding(truth: IntArray, scores: FloatArray, groups: IntArray | None) -> tuple[Estimate, ...]:
    """Return the one-vs-rest AUROC of each finding."""
    return tuple(delong_interval(truth == i, scores[:, i], groups) for i in range(scores.shape[1]))


def remaining_shares(
    truth: IntArray,
    reference: FloatArray,
    others: Sequence[FloatArray],
    groups: IntArray | None,
    *,
    replicates: int,
    seed: int,
) -> tuple[Estimate, ...]:
    """Return for each other table of scores which share of the reference's macro AUROC above 0.5 it reaches.

    (A_other - 0.5) / (A_reference - 0.5), both on the same images; whole groups are drawn for both at once. The
    heads are taken as they are: the interval is about the test images and not about other training images.

    Parameters
    ----------
    truth
        int (n,).
    reference, others
        float (n, k) each, columns in the order of `truth`'s numbers.
    """
    present = np.unique(truth)
    reason = "the model itself is not better than chance, so nothing above chance can remain"
    if len(present) < 2:
        return tuple(not_applicable("the images show a single finding") for _ in others)
    above = macro_auroc(truth, reference, groups)
    if above.value is None or above.low is None or above.value < 0.5 + _LEAST_ABOVE_CHANCE or above.low <= 0.5:
        return tuple(not_applicable(reason) for _ in others)

    def macro(scores: FloatArray, weights: IntArray) -> FloatArray:
        areas = [weighted_auroc(truth == i, scores[:, i], weights) for i in present]
        return np.asarray(np.mean(areas, axis=0) - 0.5)

    def statistic(weights: IntArray) -> FloatArray:
        whole = macro(reference, weights)
        whole = np.where(whole >= _LEAST_ABOVE_CHANCE, whole, np.nan)
        return np.stack([macro(scores, weights) / whole for scores in others], axis=1)

    return bootstrap_estimates(statistic, truth=truth, groups=groups, replicates=replicates, seed=seed)


def mean_estimates(
    columns: FloatArray, truth: IntArray, groups: IntArray | None, *, replicates: int, seed: int, signed: bool = False
) -> tuple[Estimate, ...]:
    """Return the mean of each column, float ``(n, m)``, a row for each image; differences are `signed`."""

    def statistic(weights: IntArray) -> FloatArray:
        drawn = weights.astype(np.float64)
        return np.asarray(drawn @ columns / drawn.sum(axis=1, keepdims=True))

    return bootstrap_estimates(statistic, truth=truth, groups=groups, replicates=replicates, seed=seed, signed=signed)


def proportion_of_enough(success: BoolArray, groups: IntArray) -> Estimate:
    """Return a proportion, and of fewer than `FEWEST_PATIENTS` patients only its counts."""
    patients = len(np.unique(groups))
    if patients >= FEWEST_PATIENTS:
        return proportion_interval(success, groups)
    reason = f"too few: {counted(patients, 'patient')}, {FEWEST_PATIENTS} are the least"
    return not_applicable(reason, numerator=int(success.sum()), denominator=len(success))


def weighted_sum(proportions: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """Return a weighted sum of independent proportions; its interval exists at 0 % and 100 % too, as theirs do.

    Source: the method of variance estimates recovery, Zou and Donner 2008, doi:10.1002/sim.3095.
    """
    known = [(item.value, item.low, item.high) for item in proportions]
    parts = np.array(known, dtype=np.float64) * np.array(weights)[:, np.newaxis]
    value, ends = parts[:, 0], np.sort(parts[:, 1:], axis=1)
    total = float(value.sum())
    down, up = (float(np.sqrt(((value - ends[:, place]) ** 2).sum())) for place in (0, 1))
    least, most = (sum(weight for weight in weights if sign * weight > 0) for sign in (-1, 1))
    low, high = max(least, total - down), min(most, total + up)
    return Estimate(total, low, high, "recovered from Wilson intervals")
