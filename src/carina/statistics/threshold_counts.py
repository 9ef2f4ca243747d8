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
class DesignEffects:
    """By how much images of one patient inflate the variance of each proportion; see `intervals.design_effect`.

    Parameters
    ----------
    sensitivity, specificity, ppv, npv
        float64 (t,), at least 1; 1 where no image is counted.
    """

    sensitivity: FloatArray
    specificity: FloatArray
    ppv: FloatArray
    npv: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdCounts:
    """Counts of images at each threshold, called present at ``probability >= threshold``.

    Parameters
    ----------
    thresholds
        float64 (t,), in the order that they were asked for.
    true_positive, false_positive, false_negative, true_negative
        int (t,).
    effects
        None if every image is independent: all are 1.
    """

    thresholds: FloatArray
    true_positive: IntArray
    false_positive: IntArray
    false_negative: IntArray
    true_negative: IntArray
    effects: DesignEffects | None

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
    effects = None
    if codes is not None:
        ranked = codes[falling]
        effects = DesignEffects(
            _effects_of_chosen(ranked[flags])[true_positive],
            # A proportion and its complement have one variance: of the negatives, those called are counted.
            _effects_of_chosen(ranked[~flags])[false_positive],
            _effects_of_first(flags, ranked)[called],
            _effects_of_first(~flags[::-1], ranked[::-1])[len(score) - called],
        )
    return ThresholdCounts(
        thresholds,
        true_positive,
        false_positive,
        positives - true_positive,
        len(score) - positives - false_positive,
        effects,
    )


def _earlier(values: IntArray, codes: IntArray) -> IntArray:
    """Return for each image the sum of the values of the earlier images of its patient, int (n,)."""
    order = np.argsort(codes, kind="stable")
    sums = np.cumsum(values[order]) - values[order]
    starts = np.append(True, np.diff(codes[order]) != 0)
    before = np.maximum.accumulate(np.where(starts, np.arange(len(codes)), 0))
    out = np.empty_like(sums)
    out[order] = sums - sums[before]
    return out


def _effects_of_chosen(codes: IntArray) -> FloatArray:
    """Return the design effect of the share of chosen images, when 0, 1 … all n are chosen in order: float64 (n + 1,).

    Parameters
    ----------
    codes
        int (n,), the patient of each image.
    """
    n = len(codes)
    if n == 0:
        return np.ones(1)
    sizes = np.bincount(codes)
    earlier = _earlier(np.ones(n, dtype=np.int_), codes)
    return _effect(
        chosen=np.arange(n + 1),
        images=np.full(n + 1, n),
        patients=np.full(n + 1, (sizes > 0).sum()),
        chosen_squared=np.append(0, np.cumsum(2 * earlier + 1)),
        products=np.append(0, np.cumsum(sizes[codes])),
        sizes_squared=np.full(n + 1, (sizes**2).sum()),
    )


def _effects_of_first(success: BoolArray, codes: IntArray) -> FloatArray:
    """Return the design effect of the share of successes among the first 0, 1 … n images: float64 (n + 1,).

    Parameters
    ----------
    success
        bool (n,).
    codes
        int (n,), the patient of each image.
    """
    hit = success.astype(np.int_)
    hits, images = _earlier(hit, codes), _earlier(np.ones_like(hit), codes)
    columns = (
        hit,
        np.ones_like(hit),
        images == 0,
        hit * (2 * hits + 1),
        hits + hit * (images + 1),
        2 * images + 1,
    )
    return _effect(*(np.append(0, np.cumsum(column)) for column in columns))


def _effect(
    chosen: IntArray,
    images: IntArray,
    patients: IntArray,
    chosen_squared: IntArray,
    products: IntArray,
    sizes_squared: IntArray,
) -> FloatArray:
    """Return the design effect from sums over patients, as `intervals.design_effect` does from the patients."""
    some = np.maximum(images, 1)
    share = chosen / some
    scatter = chosen_squared - 2 * share * products + share**2 * sizes_squared
    binomial = share * (1 - share)
    spread = (binomial > 0) & (patients > 1)
    variance = patients / np.maximum(patients - 1, 1) * scatter / some
    effect = np.where(spread, variance / np.where(spread, binomial, 1.0), sizes_squared / some)
    return np.where(patients == images, 1.0, np.maximum(1.0, effect))
