"""Selective reading: how often the model errs among the images that it is most certain of, as more of them are taken.

*Coverage* is the share of images on which the model's call is taken; the others go to somebody else. *Risk* is the
share of errors among those taken. Images are taken by falling certainty, the probability of the called finding; images
of equal certainty cannot be put in order, so that a cut through them takes a proportional part of their errors.

Source: El-Yaniv and Wiener 2010, Journal of Machine Learning Research 11:1605-1641; Geifman and El-Yaniv 2017,
arXiv:1705.08500; area and what is left of it beyond the best order: Geifman, Uziel and El-Yaniv 2019, arXiv:1805.08206.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma

from carina.statistics.bootstrap import draw_weights, estimate_from_replicates
from carina.statistics.curves import checked_scores
from carina.statistics.intervals import BoolArray, Estimate, FloatArray, IntArray, not_applicable
from carina.statistics.resampling import count_cells, kish_effect, running_sums, wilson_from_replicates

COVERAGES = tuple(step / 200 for step in range(2, 201))
_CELLS = 1000
_FEWEST = 10  # at a coverage of fewer images nothing is said


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """The risk-coverage curve of one prediction table.

    Parameters
    ----------
    n, errors
        Images, and how many of them are called wrongly.
    coverage
        float64 (t,), rising to 1.
    certainty
        float64 (t,), the least certainty among the images taken.
    risk, low, high
        float64 (t,), range [0, 1], with pointwise intervals by patient.
    area
        Mean risk over all coverages (AURC), 0 is best; with a bootstrap interval.
    area_best, area_random
        What the same number of errors would give if they were the least certain, and if certainty told nothing.
    """

    n: int
    errors: int
    coverage: FloatArray
    certainty: FloatArray
    risk: FloatArray
    low: FloatArray
    high: FloatArray
    area: Estimate
    area_best: float
    area_random: float


def measure_risk_coverage(
    right: BoolArray,
    certainty: FloatArray,
    groups: IntArray | None = None,
    *,
    replicates: int = 1000,
    seed: int = 1234,
) -> RiskCoverage:
    """Return the risk at each coverage, and the area below, with intervals.

    The bootstrap draws whole patients from the whole set, since which images are easy is part of what varies; each
    replicate chooses its own most certain images. For the pointwise intervals see `resampling.wilson_from_replicates`.

    Parameters
    ----------
    right
        bool (n,), whether the called finding is the true one.
    certainty
        float (n,), the called finding's probability (or any number that is higher for a surer call).
    groups, replicates, seed
        As `metrics.measure` takes them.

    Raises
    ------
    DataError
        If the lengths differ, a certainty is NaN, or there are no images.
    ConfigurationError
        If replicates is below 1.
    """
    right, certainty = checked_scores(right, certainty)
    n = len(right)
    draws = draw_weights(np.zeros(n, dtype=np.int_), groups=groups, replicates=replicates, seed=seed, stratified=False)
    levels, run = np.unique(-certainty, return_inverse=True)
    run = run.astype(np.int_)
    images = np.bincount(run).astype(np.float64)
    wrong = np.bincount(run, weights=~right, minlength=len(levels)).astype(np.float64)
    # Replicates are counted in cells of neighbouring runs: a thousandth of the images wide, wider only where they tie.
    middle = np.cumsum(images) - images / 2
    cell = np.unique(np.floor(middle * _CELLS / n), return_inverse=True)[1].astype(np.int_)[run]
    cells = int(cell.max()) + 1
    (drawn,) = count_cells(draws, [2 * cell + ~right], [2 * cells])
    replicated = _Taken(running_sums(drawn[:, ::2] + drawn[:, 1::2]), running_sums(drawn[:, 1::2]))
    whole = _Taken(running_sums(images[None]), running_sums(wrong[None]))
    coverage = np.array([share for share in COVERAGES if share * n >= min(_FEWEST, n)])
    risk = whole.risk_at(coverage)[0]
    counted = coverage * n
    low, high = wilson_from_replicates(risk, replicated.risk_at(coverage), counted, kish_effect(groups, n))
    errors = int((~right).sum())
    area = estimate_from_replicates(float(whole.area()[0]), replicated.area(), draws)
    if n == 1:
        area = not_applicable("a single image has no order")
    last = np.minimum(np.searchsorted(np.cumsum(images), np.floor(counted + 1e-9), side="left"), len(levels) - 1)
    return RiskCoverage(
        n=n,
        errors=errors,
        coverage=coverage,
        certainty=-levels[last],
        risk=risk,
        low=low,
        high=high,
        area=area,
        area_best=float(_Taken(np.array([[0.0, n - errors, n]]), np.array([[0.0, 0.0, errors]])).area()[0]),
        area_random=errors / n,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """Images and errors taken after each cell, float64 (r, c + 1), the most certain first, from none to all."""

    images: FloatArray
    errors: FloatArray

    def risk_at(self, coverage: FloatArray) -> FloatArray:
        """Return the share of errors among a share of all images: float64 (r, levels)."""
        rows = [
            np.interp(coverage * images[-1], images, errors) / (coverage * images[-1])
            for images, errors in zip(self.images, self.errors, strict=True)
        ]
        return np.array(rows)

    def area(self) -> FloatArray:
        """Return the mean of the risk at 1, 2 … all images: float64 (r,).

        Within a cell the number of errors rises in a straight line, e = a + b k, so that the mean of e / k has the
        sum of 1 / k in it: a difference of digamma functions.
        """
        start, end = self.images[:, :-1], self.images[:, 1:]
        width = end - start
        slope = np.divide(np.diff(self.errors, axis=1), width, out=np.zeros_like(width), where=width > 0)
        offset = self.errors[:, :-1] - slope * start
        harmonic = digamma(end + 1) - digamma(start + 1)
        sums = (offset * harmonic + slope * width).sum(axis=1)
        return np.asarray(np.clip(sums / self.images[:, -1], 0.0, 1.0))
