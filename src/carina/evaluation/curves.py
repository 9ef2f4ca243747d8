"""Curves over all thresholds and their areas: ROC and precision-recall, AUROC with DeLong intervals, AUPRC.

A decision is positive where `score >= threshold`. Images with equal scores cannot be told apart, so a curve
has one point a distinct score and AUROC counts a tied pair as one half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from carina.errors import DataError
from carina.evaluation.intervals import BoolArray, Estimate, FloatArray, IntArray, group_codes, not_applicable
from carina.proportion import normal_quantile

# Placements are exact half-integers, so rounding leaves a variance of about 1e-32 where there is none, while
# one misplaced pair among a million images gives 1e-24. Below this the variance is 0.
NO_VARIANCE = 1e-28


@dataclass(frozen=True, slots=True, eq=False)
class RocCurve:
    """Sensitivity and specificity at each threshold.

    Parameters
    ----------
    thresholds
        float64 (t,), falling: infinity (nothing is positive), then each distinct score.
    sensitivity
        float64 (t,), range [0, 1], rising from 0 to 1.
    specificity
        float64 (t,), range [0, 1], falling from 1 to 0.
    """

    thresholds: FloatArray
    sensitivity: FloatArray
    specificity: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecallCurve:
    """Precision (PPV) and recall (sensitivity) at each threshold.

    Parameters
    ----------
    thresholds
        float64 (t,), falling: each distinct score.
    precision
        float64 (t,), range [0, 1].
    recall
        float64 (t,), range (0, 1] at its end, rising to 1.
    """

    thresholds: FloatArray
    precision: FloatArray
    recall: FloatArray


def checked_scores(positive: BoolArray, score: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Return both arrays as bool (n,) and float64 (n,).

    Raises
    ------
    DataError
        If the lengths differ, a score is NaN, or `positive` holds anything but True and False (0 and 1).
    """
    flags, values = np.asarray(positive), np.asarray(score, dtype=np.float64)
    if flags.ndim != 1 or flags.shape != values.shape:
        raise DataError(f"positive has shape {flags.shape} and score {values.shape}. Give two arrays of one length.")
    if flags.dtype != np.bool_ and not np.isin(flags, (0, 1)).all():
        row = int(np.argmin(np.isin(flags, (0, 1))))
        raise DataError(f"Row {row} (from 0): positive is {flags[row]}. Unknown is not negative: drop the row.")
    if np.isnan(values).any():
        raise DataError(f"Row {int(np.argmax(np.isnan(values)))} (from 0): the score is NaN. Predict this image again.")
    return flags.astype(np.bool_), values


def _both_sides(positive: BoolArray, curve: str) -> None:
    """Refuse a set on which the curve does not exist."""
    if positive.all() or not positive.any():
        side = "without" if positive.any() else "with"
        raise DataError(f"The {curve} does not exist: no image {side} the finding. Evaluate a set that has both.")


def _steps(positive: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the distinct scores, falling, with the true and false positives at `score >= threshold`."""
    order = np.argsort(-score, kind="stable")
    ends = _tie_ends(score[order])
    hits = np.cumsum(positive[order])[ends].astype(np.float64)
    return score[order][ends], hits, ends + 1.0 - hits


def _tie_ends(falling: FloatArray) -> IntArray:
    """Return the position of the last image of each run of equal scores."""
    return np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)


def roc_curve(positive: BoolArray, score: FloatArray) -> RocCurve:
    """Return sensitivity and specificity at every distinct score, for the decision `score >= threshold`.

    Parameters
    ----------
    positive
        bool (n,), whether the image shows the finding.
    score
        float (n,), higher means more likely.

    Raises
    ------
    DataError
        If only one side is present, the lengths differ, or a score is NaN.
    """
    positive, score = checked_scores(positive, score)
    _both_sides(positive, "ROC curve")
    thresholds, hits, alarms = _steps(positive, score)
    return RocCurve(
        thresholds=np.append(np.inf, thresholds),
        sensitivity=np.append(0.0, hits / hits[-1]),
        specificity=np.append(1.0, 1 - alarms / alarms[-1]),
    )


def precision_recall_curve(positive: BoolArray, score: FloatArray) -> PrecisionRecallCurve:
    """Return precision and recall at every distinct score, for the decision `score >= threshold`.

    Parameters
    ----------
    positive
        bool (n,), whether the image shows the finding.
    score
        float (n,), higher means more likely.

    Raises
    ------
    DataError
        If only one side is present, the lengths differ, or a score is NaN.
    """
    positive, score = checked_scores(positive, score)
    _both_sides(positive, "precision-recall curve")
    thresholds, hits, alarms = _steps(positive, score)
    return PrecisionRecallCurve(thresholds, hits / (hits + alarms), hits / hits[-1])


def auroc(positive: BoolArray, score: FloatArray) -> float:
    """Return the area under the ROC curve: the share of (positive, negative) pairs in right order, ties 1/2.

    Source: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747.

    Raises
    ------
    DataError
        If only one side is present, the lengths differ, or a score is NaN.
    """
    positive, score = checked_scores(positive, score)
    _both_sides(positive, "AUROC")
    above, _ = _placements(positive, score)
    return float(above.sum() / (len(above) * (len(score) - len(above))))


def auprc(positive: BoolArray, score: FloatArray) -> float:
    """Return the average precision: the sum over thresholds of (rise in recall) x precision.

    Steps and not trapezoids: linear interpolation between points of this curve is too optimistic.

    Source: Davis and Goadrich 2006, doi:10.1145/1143844.1143874.

    Raises
    ------
    DataError
        If only one side is present, the lengths differ, or a score is NaN.
    """
    positive, score = checked_scores(positive, score)
    _both_sides(positive, "AUPRC")
    return float(weighted_auprc(positive, score, np.ones((1, len(score)), dtype=np.int_))[0])


def weighted_auprc(positive: BoolArray, score: FloatArray, weights: IntArray) -> FloatArray:
    """Return the average precision under each row of weights; NaN where a row has no positive.

    Parameters
    ----------
    positive
        bool (n,).
    score
        float (n,), no NaN.
    weights
        int (r, n), how often each image counts: one row a bootstrap replicate.

    Returns
    -------
    float64 (r,), range [0, 1].
    """
    order = np.argsort(-score, kind="stable")
    ends = _tie_ends(score[order])
    # Images run along the first axis, so that sorting moves whole rows and sums run along contiguous memory.
    drawn = np.ascontiguousarray(weights.T)[order].astype(np.float64)
    called = np.cumsum(drawn, axis=0)[ends]
    drawn *= positive[order][:, None]
    hits = np.cumsum(drawn, axis=0)[ends]
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    total = hits[-1]
    area = (np.diff(hits, axis=0, prepend=0.0) * precision).sum(axis=0)
    # The sum may pass 1 by a rounding.
    mean: FloatArray = np.divide(area, total, out=np.full_like(total, np.nan), where=total > 0)
    return np.minimum(mean, 1.0, out=mean)


def weighted_auroc(positive: BoolArray, score: FloatArray, weights: IntArray) -> FloatArray:
    """Return the AUROC under each row of weights, ties one half; NaN where a row has only one side.

    Parameters
    ----------
    positive
        bool (n,).
    score
        float (n,), no NaN.
    weights
        int (r, n), how often each image counts: one row a bootstrap replicate.

    Returns
    -------
    float64 (r,), range [0, 1].
    """
    order = np.argsort(score, kind="stable")
    rising = score[order]
    starts = np.append(0, np.flatnonzero(rising[1:] != rising[:-1]) + 1)
    drawn = np.ascontiguousarray(weights.T)[order].astype(np.float64)
    flags = positive[order][:, None]
    hits = np.add.reduceat(drawn * flags, starts, axis=0)
    alarms = np.add.reduceat(drawn * ~flags, starts, axis=0)
    below = np.cumsum(alarms, axis=0)
    pairs = hits.sum(axis=0) * below[-1]
    right = (hits * (below - alarms / 2)).sum(axis=0)
    share: FloatArray = np.divide(right, pairs, out=np.full_like(right, np.nan), where=pairs > 0)
    return share


def _placements(positive: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return for each positive how many negatives lie below it, for each negative how many positives above.

    Ties count one half, so all numbers are exact half-integers. Two sorts do it: O(n log n), the speed of the
    midrank method of Sun and Xu, and the same numbers.
    """
    with_finding, without = score[positive], score[~positive]
    ranked_with, ranked_without = np.sort(with_finding), np.sort(without)
    below = np.searchsorted(ranked_without, with_finding, "left")
    below_or_tied = np.searchsorted(ranked_without, with_finding, "right")
    not_above = np.searchsorted(ranked_with, without, "left") + np.searchsorted(ranked_with, without, "right")
    return (below + below_or_tied) / 2.0, len(with_finding) - not_above / 2.0


@dataclass(frozen=True, slots=True, eq=False)
class AurocComponents:
    """What each patient (or image, without groups) adds to an AUROC's deviation from its true value.

    Sums and differences of these are the components of sums and differences of AUROCs on the same images,
    which is what a comparison of two models and an average over findings need.

    Parameters
    ----------
    auroc
        The area.
    positive, negative
        float64 (g,): the share of the positive and of the negative images of each group.
    positive_groups, negative_groups
        Number of groups that have a positive, and a negative, image.
    pairs
        Number of (positive, negative) pairs that can be laid out without using a group twice.
    clustered
        Whether a group has several images.
    """

    auroc: float
    positive: FloatArray
    negative: FloatArray
    positive_groups: int
    negative_groups: int
    pairs: int
    clustered: bool

    def variance(self) -> float | None:
        """Return the variance of the AUROC, or None where a side is a single group and so shows no spread."""
        if min(self.positive_groups, self.negative_groups) < 2:
            return None
        groups = len(self.positive)
        both = groups / (groups - 1) * float(self.positive @ self.negative)
        return (
            self.positive_groups / (self.positive_groups - 1) * float(self.positive @ self.positive)
            + self.negative_groups / (self.negative_groups - 1) * float(self.negative @ self.negative)
            + 2 * both
        )


def auroc_components(positive: BoolArray, score: FloatArray, groups: IntArray | None = None) -> AurocComponents:
    """Return the components of DeLong's variance, summed by group where groups are given.

    Source: DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595; Sun and Xu 2014,
    doi:10.1109/LSP.2014.2337313; groups: Obuchowski 1997, doi:10.2307/2533958.

    Raises
    ------
    DataError
        If only one side is present, the lengths differ, or a score is NaN.
    """
    positive, score = checked_scores(positive, score)
    _both_sides(positive, "AUROC")
    codes = group_codes(groups, len(score))
    clustered = codes is not None
    codes = np.arange(len(score)) if codes is None else codes
    above, below = _placements(positive, score)
    m, n = len(above), len(below)
    area = float(above.sum() / (m * n))
    count = int(codes.max()) + 1
    deviation_with = np.bincount(codes[positive], weights=(above / n - area) / m, minlength=count)
    deviation_without = np.bincount(codes[~positive], weights=(below / m - area) / n, minlength=count)
    has_with = np.bincount(codes[positive], minlength=count) > 0
    has_without = np.bincount(codes[~positive], minlength=count) > 0
    groups_with, groups_without = int(has_with.sum()), int(has_without.sum())
    pairs = max(1, min(groups_with, groups_without, count // 2))
    return AurocComponents(
        area,
        np.asarray(deviation_with, dtype=np.float64),
        np.asarray(deviation_without, dtype=np.float64),
        groups_with,
        groups_without,
        pairs,
        clustered,
    )


def delong_variance(positive: BoolArray, score: FloatArray, groups: IntArray | None = None) -> float | None:
    """Return DeLong's variance of the AUROC, or None where a side has a single image (or patient).

    With groups the variance is Obuchowski's, so that several radiographs of one patient do not narrow it.

    Source: DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595; Obuchowski 1997, doi:10.2307/2533958.

    Parameters
    ----------
    positive
        bool (n,), whether the image shows the finding.
    score
        float (n,), higher means more likely.
    groups
        int (n,) patient or duplicate group ids, or None.

    Raises
    ------
    DataError
        If only one side is present, the lengths differ, or a score is NaN.
    """
    return auroc_components(positive, score, groups).variance()


def delong_interval(
    positive: BoolArray,
    score: FloatArray,
    groups: IntArray | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the AUROC with its DeLong interval, n/a where the set has only one side.

    The interval is symmetric on the logit scale, so it stays within [0, 1] and covers better near 1 than the
    plain one. Where DeLong's variance is 0 or does not exist (a perfect separation, a single positive), the
    interval is that of `independent_pairs_interval` instead: a perfect AUROC on 20 images is no certainty.

    Source: DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595; logit: Pepe 2003, The Statistical
    Evaluation of Medical Tests for Classification and Prediction, chapter 5.

    Parameters
    ----------
    positive
        bool (n,), whether the image shows the finding.
    score
        float (n,), higher means more likely.
    groups
        int (n,) patient or duplicate group ids, or None.
    confidence
        Two-sided confidence level.

    Raises
    ------
    DataError
        If the lengths differ or a score is NaN.
    """
    positive, score = checked_scores(positive, score)
    if positive.all() or not positive.any():
        return not_applicable(f"no image {'without' if positive.any() else 'with'} this finding")
    parts = auroc_components(positive, score, groups)
    return _interval_from_variance(parts.auroc, parts.variance(), parts.pairs, parts.clustered, confidence)


def mean_auroc_interval(
    components: Sequence[AurocComponents], weights: FloatArray, confidence: float = 0.95
) -> Estimate:
    """Return a weighted mean of one-vs-rest AUROCs on the same images, with its DeLong interval.

    Analytic and not bootstrapped: the mean of AUROCs is a sum over patients of their components, so its
    variance (with all covariances between the findings) is one sum of squares: exact to first order, quick,
    and without a seed. The weights are taken as fixed.

    Source: DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595; Obuchowski 1997, doi:10.2307/2533958.

    Parameters
    ----------
    components
        One a finding, from `auroc_components` on the same images and groups; at least one.
    weights
        float (k,), not negative, made to sum to 1.
    confidence
        Two-sided confidence level.
    """
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    value = float(sum(share * part.auroc for share, part in zip(shares, components, strict=True)))
    if all(part.auroc == 1 for part in components):
        value = 1.0  # the shares may sum to 1 less a rounding, which would hide that the separation is perfect
    # Some finding's AUROC is no larger than the mean, so the fewest pairs bound the mean too.
    pairs = min(part.pairs for part in components)
    clustered = components[0].clustered
    variance: float | None = None
    if all(part.variance() is not None for part in components):
        total = np.zeros_like(components[0].positive)
        for share, part in zip(shares, components, strict=True):
            # The square roots make each finding's own share of the variance exactly DeLong's.
            total += share * math.sqrt(part.positive_groups / (part.positive_groups - 1)) * part.positive
            total += share * math.sqrt(part.negative_groups / (part.negative_groups - 1)) * part.negative
        variance = float(total @ total)
    return _interval_from_variance(value, variance, pairs, clustered, confidence)


def _interval_from_variance(
    value: float, variance: float | None, pairs: int, clustered: bool, confidence: float
) -> Estimate:
    """Return the logit interval, or the one from independent pairs where there is no variance."""
    value = min(max(value, 0.0), 1.0)
    if variance is None or variance < NO_VARIANCE or value in (0.0, 1.0):
        return independent_pairs_interval(value, pairs, confidence)
    centre = math.log(value / (1 - value))
    half = normal_quantile(confidence) * math.sqrt(variance) / (value * (1 - value))
    low, high = (1 / (1 + math.exp(-max(end, -700.0))) for end in (centre - half, centre + half))
    return Estimate(value, min(low, value), max(high, value), "DeLong (clustered)" if clustered else "DeLong")


def independent_pairs_interval(value: float, pairs: int, confidence: float = 0.95) -> Estimate:
    """Return an AUROC with the Clopper-Pearson interval of its independent pairs, wide but always valid.

    Among m positives and n negatives min(m, n) pairs share no image, and each is in right order with the
    probability that is the true AUROC. A perfect AUROC needs all of them in order, so at a true AUROC A it
    has a probability of at most A ** min(m, n): the lower bound (alpha / 2) ** (1 / min(m, n)) holds for any
    distribution.

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404; the argument above.

    Parameters
    ----------
    value
        The AUROC, range [0, 1].
    pairs
        Number of pairs without a common image (or patient).
    confidence
        Two-sided confidence level.
    """
    tail = 0.5 - confidence / 2
    right = value * pairs
    low = 0.0 if value == 0 else float(betaincinv(right, pairs - right + 1, tail))
    high = 1.0 if value == 1 else float(betaincinv(right + 1, pairs - right, 1 - tail))
    note = f"DeLong's variance does not exist here; conservative interval from {pairs} independent pairs"
    return Estimate(value, min(low, value), max(high, value), "independent pairs", note=note)
