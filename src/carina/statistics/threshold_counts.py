"""What many thresholds make of one finding: the four counts at each, and how far patients' images repeat each other.

A finding is called where its probability is ``>=`` the threshold, here as everywhere in Carina. One sort serves all
thresholds; `carina.statistics.binary_metrics.at_operating_point` gives the same numbers for one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carina.statistics.curves import checked_scores
from carina.statistics.intervals import BoolArray, FloatArray, IntArray, group_codes


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdCounts:
    """Counts of images at each threshold, called present at ``probability >= threshold``.

    Parameters
    ----------
    thresholds
        float64 (t,), in the order that they were asked for.
    true_positive, false_positive, false_negative, true_negative
        int (t,).
    sensitivity_effect, specificity_effect
        float64 (t,), at least 1: by how much images of one patient inflate the variance; see `intervals.design_effect`.
    """

    thresholds: FloatArray
    true_positive: IntArray
    false_positive: IntArray
    false_negative: IntArray
    true_negative: IntArray
    sensitivity_effect: FloatArray
    specificity_effect: FloatArray

    @property
    def positives(self) -> int:
        """Number of images with the finding."""
        return int(self.true_positive[0] + self.false_negative[0]) if len(self.thresholds) else 0

    @property
    def negatives(self) -> int:
        """Number of images without the finding."""
        return int(self.false_positive[0] + self.true_negative[0]) if len(self.thresholds) else 0


def count_at_thresholds(
    positive: BoolArray, score: FloatArray, thresholds: FloatArray, groups: IntArray | None = None
) -> ThresholdCounts:
    """Return the four counts, and design effects where patients have several images, at each threshold.

    Parameters
    ----------
    positive
        bool (n,), whether the image shows the finding.
    score
        float (n,), its probability.
    thresholds
        float (t,), in any order.
    groups
        int (n,) patient or duplicate group ids, or None.

    Raises
    ------
    DataError
        If the lengths differ, a score is NaN, or a group id is negative.
    """
    positive, score = checked_scores(positive, score)
    thresholds = np.asarray(thresholds, dtype=np.float64)
    codes = group_codes(groups, len(score))
    falling = np.argsort(-score, kind="stable")
    flags = positive[falling]
    hits = np.append(0, np.cumsum(flags))
    called = len(score) - np.searchsorted(score[falling[::-1]], thresholds, side="left")
    true_positive = hits[called]
    false_positive = called - true_positive
    positives = int(hits[-1])
    # A proportion and its complement have one variance: of the negatives, those called are counted.
    effects = [np.ones(len(thresholds))] * 2
    if codes is not None:
        ranked = codes[falling]
        effects = [_effects(ranked[flags])[true_positive], _effects(ranked[~flags])[false_positive]]
    return ThresholdCounts(
        thresholds,
        true_positive,
        false_positive,
        positives - true_positive,
        len(score) - positives - false_positive,
        *effects,
    )


def _effects(codes: IntArray) -> FloatArray:
    """Return the design effect of the share of chosen images, when 0, 1 … all n are chosen in order: float64 (n + 1,).

    From sums over patients, as `intervals.design_effect` does from the patients; codes are int (n,).
    """
    n = len(codes)
    if n == 0:
        return np.ones(1)
    sizes = np.bincount(codes)
    patients, squares = int((sizes > 0).sum()), int((sizes**2).sum())
    if patients == n:
        return np.ones(n + 1)
    order = np.argsort(codes, kind="stable")
    earlier = np.empty(n, np.int_)  # images of the same patient that were chosen before
    earlier[order] = np.arange(n) - np.searchsorted(codes[order], codes[order])
    share = np.arange(n + 1) / n
    chosen_squared = np.append(0, np.cumsum(2 * earlier + 1))
    products = np.append(0, np.cumsum(sizes[codes]))
    scatter = chosen_squared - 2 * share * products + share**2 * squares
    binomial = share * (1 - share)
    spread = (binomial > 0) & (patients > 1)
    variance = patients / max(patients - 1, 1) * scatter / n
    effect = np.where(spread, variance / np.where(spread, binomial, 1.0), squares / n)
    return np.maximum(1.0, effect)
