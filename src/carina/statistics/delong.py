"""Intervals of AUROCs by DeLong's variance: of one, of an average over findings, and where no pair is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from carina.statistics.curves import checked_scores, missing_side, placements, require_both_sides
from carina.statistics.intervals import BoolArray, Estimate, FloatArray, IntArray, group_codes, not_applicable
from carina.statistics.proportion import TAILS, logit_bounds, normal_quantile

# Placements are exact half-integers, so rounding leaves a variance of about 1e-32 where there is none, while
# one misplaced pair among a million images gives 1e-24. Below this the variance is 0.
NO_VARIANCE = 1e-28


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

    With groups the variance is Obuchowski's, so that several radiographs of one patient do not narrow it.

    Source: DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595; Sun and Xu 2014,
    doi:10.1109/LSP.2014.2337313; groups: Obuchowski 1997, doi:10.2307/2533958.

    Raises
    ------
    DataError
        If only one side is present, the lengths differ, or a score is NaN.
    """
    positive, score = checked_scores(positive, score)
    require_both_sides(positive)
    codes = group_codes(groups, len(score))
    clustered = codes is not None
    codes = np.arange(len(score)) if codes is None else codes
    above, below = placements(positive, score)
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


def delong_interval(
    positive: BoolArray,
    score: FloatArray,
    groups: IntArray | None = None,
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

    Raises
    ------
    DataError
        If the lengths differ or a score is NaN.
    """
    positive, score = checked_scores(positive, score)
    if missing := missing_side(positive):
        return not_applicable(missing)
    parts = auroc_components(positive, score, groups)
    return _interval_from_variance(parts.auroc, parts.variance(), parts.pairs, parts.clustered)


def mean_auroc_interval(components: Sequence[AurocComponents], weights: FloatArray) -> Estimate:
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
    """
    shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    value = float(sum(share * part.auroc for share, part in zip(shares, components, strict=True)))
    if all(part.auroc == 1 for part in components):
        value = 1.0  # the shares may sum to 1 less a rounding, which would hide that the separation is perfect
    # Some finding's AUROC is no larger than the mean, so the fewest pairs bound the mean too.
    pairs = min(part.pairs for part in components)
    clustered = components[0].clustered
    return _interval_from_variance(value, _variance_of_mean(components, shares), pairs, clustered)


def mean_auroc_difference(first: Sequence[AurocComponents], second: Sequence[AurocComponents]) -> Estimate:
    """Return by how much the mean of one-vs-rest AUROCs is larger in the second table than in the first, in pairs.

    The same images, findings and groups are in both. Without variance, where both rank alike, there is no interval.

    Source: as of `mean_auroc_interval`.
    """
    between = [
        AurocComponents(
            after.auroc - before.auroc,
            after.positive - before.positive,
            after.negative - before.negative,
            before.positive_groups,
            before.negative_groups,
            before.pairs,
            before.clustered,
        )
        for before, after in zip(first, second, strict=True)
    ]
    value = float(np.mean([part.auroc for part in between]))
    variance = _variance_of_mean(between, np.full(len(between), 1 / len(between)))
    if variance is None or variance < NO_VARIANCE:
        return Estimate(value, None, None, "none", note="the difference has no variance")
    half = normal_quantile() * math.sqrt(variance)
    return Estimate(value, max(-1.0, value - half), min(1.0, value + half), "DeLong paired")


def _variance_of_mean(components: Sequence[AurocComponents], shares: FloatArray) -> float | None:
    if any(part.variance() is None for part in components):
        return None
    total = np.zeros_like(components[0].positive)
    for share, part in zip(shares, components, strict=True):
        # The square roots make each finding's own share of the variance exactly DeLong's.
        total += share * math.sqrt(part.positive_groups / (part.positive_groups - 1)) * part.positive
        total += share * math.sqrt(part.negative_groups / (part.negative_groups - 1)) * part.negative
    return float(total @ total)


def _interval_from_variance(value: float, variance: float | None, pairs: int, clustered: bool) -> Estimate:
    """Return the logit interval, or the one from independent pairs where there is no variance."""
    value = min(max(value, 0.0), 1.0)
    if variance is None or variance < NO_VARIANCE or value in (0.0, 1.0):
        return independent_pairs_interval(value, pairs)
    return Estimate(value, *logit_bounds(value, math.sqrt(variance)), "DeLong (clustered)" if clustered else "DeLong")


def independent_pairs_interval(value: float, pairs: int) -> Estimate:
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
    """
    right = value * pairs
    low = 0.0 if value == 0 else float(betaincinv(right, pairs - right + 1, TAILS[0]))
    high = 1.0 if value == 1 else float(betaincinv(right + 1, pairs - right, TAILS[1]))
    note = f"DeLong's variance does not exist here; conservative interval from {pairs} independent pairs"
    return Estimate(value, min(low, value), max(high, value), "independent pairs", note=note)
