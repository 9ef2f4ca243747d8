"""The areas under the ROC curve and the precision-recall curve: AUROC and AUPRC.

A decision is positive where `score >= threshold`. Images with equal scores cannot be told apart, so a curve
has one point per distinct score and AUROC counts a tied pair as one half.
"""

from __future__ import annotations

import numpy as np

from carina.errors import DataError
from carina.statistics.intervals import BoolArray, FloatArray, IntArray, refuse_rows


def checked_scores(positive: BoolArray, score: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Return both arrays as bool (n,) and float64 (n,).

    Raises
    ------
    DataError
        If the lengths differ, a score is NaN, or `positive` holds anything but True and False (0 and 1).
    """
    flags, values = np.asarray(positive), np.asarray(score, dtype=np.float64)
    if flags.ndim != 1 or flags.shape != values.shape:
        msg = f"positive has shape {flags.shape} and score {values.shape}. Give two arrays of one length."
        raise DataError(msg)
    if flags.dtype != np.bool_:
        wrong = ~np.isin(flags, (0, 1))
        refuse_rows(wrong, lambda row: f"positive is {flags[row]}. Unknown is not negative: drop the row.")
    refuse_rows(np.isnan(values), lambda _: "the score is NaN. Predict this image again.")
    return flags.astype(np.bool_), values


def missing_side(positive: BoolArray) -> str | None:
    """Return why a measure that needs images with and without the finding does not exist; None where it does."""
    if positive.any() and not positive.all():
        return None
    return f"no image {'without' if positive.any() else 'with'} this finding"


def require_both_sides(positive: BoolArray) -> None:
    """Refuse a set that has no AUROC."""
    if missing := missing_side(positive):
        msg = f"The AUROC does not exist: {missing}. Evaluate a set that has both."
        raise DataError(msg)


def _tie_ends(falling: FloatArray) -> IntArray:
    """Return the position of the last image of each run of equal scores."""
    return np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(falling) - 1)


def auroc(positive: BoolArray, score: FloatArray) -> float:
    """Return the area under the ROC curve: the share of (positive, negative) pairs in right order, ties 1/2.

    Source: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747.

    Raises
    ------
    DataError
        If only one side is present, the lengths differ, or a score is NaN.
    """
    positive, score = checked_scores(positive, score)
    require_both_sides(positive)
    above, _ = placements(positive, score)
    return float(above.sum() / (len(above) * (len(score) - len(above))))


def weighted_auprc(positive: BoolArray, score: FloatArray, weights: IntArray) -> FloatArray:
    """Return the average precision under each row of weights; NaN where a row has no positive.

    It is the sum over thresholds of (rise in recall) x precision. Steps and not trapezoids: linear interpolation
    between points of the precision-recall curve is too optimistic.

    Source: Davis and Goadrich 2006, doi:10.1145/1143844.1143874.

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

    Parameters and result are those of `weighted_auprc`.
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


def placements(positive: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
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
