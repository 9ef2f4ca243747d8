"""What remains of an AUROC above chance, with an interval that knows both AUROCs come from the same images."""

from collections.abc import Sequence

import numpy as np

from carina.statistics.bootstrap import bootstrap_estimates
from carina.statistics.curves import weighted_auroc
from carina.statistics.delong import auroc_components, delong_interval, mean_auroc_interval
from carina.statistics.intervals import Estimate, FloatArray, IntArray, not_applicable

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
