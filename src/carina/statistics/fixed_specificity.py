"""Sensitivity at a given specificity, read off the test set's own curve: for comparing models, not for use.

The threshold behind such a figure is chosen on the very images that it is reported on. A reading room's figure is that
of an operating point chosen elsewhere (`carina.statistics.binary_metrics.at_operating_point`).
"""

from collections.abc import Sequence

import numpy as np

from carina.statistics.bootstrap import bootstrap_estimates
from carina.statistics.curves import checked_scores
from carina.statistics.intervals import BoolArray, Estimate, FloatArray, IntArray, not_applicable

SPECIFICITIES = (0.97, 0.98, 0.99)


def sensitivity_at_specificity(
    positive: BoolArray,
    score: FloatArray,
    specificities: Sequence[float] = SPECIFICITIES,
    *,
    groups: IntArray | None = None,
    replicates: int = 2000,
) -> tuple[Estimate, ...]:
    """Return the largest sensitivity whose specificity is at least each of those given, with bootstrap intervals.

    Every replicate chooses its own threshold, so that the interval holds the choice as well.

    Parameters
    ----------
    positive
        bool ``(n,)``: whether the finding is present.
    score
        float ``(n,)``: its probability; called present at ``>=`` a threshold.
    specificities
        Each from 0 to 1.
    groups, replicates
        As `carina.statistics.metrics.measure` takes them.

    Raises
    ------
    DataError
        If the arrays do not fit each other.
    """
    if not positive.any() or positive.all():
        return tuple(not_applicable("needs images with and without the finding") for _ in specificities)
    positive, score = checked_scores(positive, score)
    order = np.argsort(-score, kind="stable")
    present, ranked = positive[order], score[order]
    # A threshold cannot part equal scores: only the last of each run of equals can be one.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))

    def statistic(weights: IntArray) -> FloatArray:
        called = weights[:, order]
        hits = np.cumsum(called * present, axis=1)[:, ends]
        alarms = np.cumsum(called * ~present, axis=1)[:, ends]
        sensitivities = np.zeros((len(weights), len(specificities)))
        for column, specificity in enumerate(specificities):
            allowed = (1 - specificity) * alarms[:, -1:] + 1e-9
            best = (alarms <= allowed).sum(axis=1) - 1
            reached = np.where(best >= 0, np.take_along_axis(hits, np.maximum(best, 0)[:, None], axis=1)[:, 0], 0)
            with np.errstate(invalid="ignore"):
                sensitivities[:, column] = reached / hits[:, -1]
        return sensitivities

    return bootstrap_estimates(statistic, truth=positive.astype(np.int_), groups=groups, replicates=replicates)
