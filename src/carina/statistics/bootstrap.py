"""Intervals of whatever can be counted again: patients are drawn with replacement, the statistic of each taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from carina.errors import ConfigurationError, DataError
from carina.statistics.intervals import Estimate, FloatArray, IntArray, group_codes, not_applicable
from carina.statistics.proportion import TAILS, logit_bounds

# A block of drawn weights holds at most this many numbers (8 MB). A statistic keeps around ten arrays of that
# shape alive, so the bootstrap stays below about 100 MB whatever the number of images and replicates.
_BLOCK_SIZE = 1_000_000


def bootstrap_estimates(
    statistic: Callable[[IntArray], FloatArray],
    *,
    truth: IntArray,
    groups: IntArray | None = None,
    replicates: int = 2000,
    seed: int = 1234,
    signed: bool = False,
) -> tuple[Estimate, ...]:
    """Return each number of a statistic with its bootstrap interval.

    Images are drawn with replacement within each true finding. Where a group has several images, whole groups
    are drawn, within the finding that most images of the group show. The interval of a share in (0, 1) takes
    the bootstrap's standard error on the logit scale; that of any other number is the percentile interval.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 12 and 13;
    groups: Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x.

    Parameters
    ----------
    statistic
        Takes int (r, n), how often each image was drawn in each of r replicates, and returns float64 (r, m);
        NaN where undefined in that draw. A row of ones is the data itself.
    truth
        int (n,), the index of the true finding, 0 or more.
    groups
        int (n,) patient or duplicate group ids, or None.
    replicates
        Number of draws.
    seed
        The same seed gives the same intervals.
    signed
        Whether the numbers are differences, which are no shares even if all replicates lie in [0, 1]: a share's
        interval never holds 0, so a positive difference would always look clear, and its mirror image would not.

    Raises
    ------
    DataError
        If there are no images or a truth is negative.
    ConfigurationError
        If `replicates` is below 1.
    """
    draws = draw_weights(truth, groups=groups, replicates=replicates, seed=seed)
    drawn = np.concatenate([statistic(block) for block in draws.blocks])
    values = statistic(np.ones((1, len(truth)), dtype=np.int_))[0]
    return tuple(
        estimate_from_replicates(float(value), drawn[:, column], draws, signed=signed)
        for column, value in enumerate(values)
    )


@dataclass(frozen=True, slots=True)
class Draws:
    """Bootstrap draws of images, in blocks that fit into memory.

    Parameters
    ----------
    blocks
        Each int (r, n): how often each image was drawn in each of r replicates. To be gone through once.
    method
        The method, as `Estimate.method` names it.
    lonely
        Whether some finding is shown by a single image or patient, so that it does not vary.
    """

    blocks: Iterator[IntArray]
    method: str
    lonely: bool


def draw_weights(
    truth: IntArray, *, groups: IntArray | None = None, replicates: int, seed: int, stratified: bool = True
) -> Draws:
    """Return bootstrap draws of whole images or patients; parameters and errors are those of `bootstrap_estimates`.

    Stratified draws hold the number of images (or patients) of each finding; in others it varies as in a new sample.
    """
    truth = np.asarray(truth)
    if len(truth) == 0 or truth.min() < 0:
        msg = "The bootstrap needs images with known findings. Drop unknown (-1) rows; keep at least one."
        raise DataError(msg)
    if replicates < 1:
        msg = f"replicates is {replicates}. Give at least 1; 2000 is usual."
        raise ConfigurationError(msg)
    n = len(truth)
    codes = group_codes(groups, n)
    unit_truth = truth if codes is None else _majority_finding(truth, codes)
    if not stratified:
        unit_truth = np.zeros_like(unit_truth)
    strata = [np.flatnonzero(unit_truth == finding) for finding in np.unique(unit_truth)]
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK_SIZE // n)

    def blocks() -> Iterator[IntArray]:
        for start in range(0, replicates, rows):
            counts = _draw_counts(strata, len(unit_truth), min(rows, replicates - start), rng)
            yield counts if codes is None else counts[:, codes]

    how = ["stratified"] * stratified + ["by patient"] * (codes is not None)
    method = f"bootstrap ({', '.join(how)})" if how else "bootstrap"
    return Draws(blocks(), method, min(len(members) for members in strata) == 1)


def _majority_finding(truth: IntArray, codes: IntArray) -> IntArray:
    """Return for each group the finding that most of its images show; the lower index where two tie."""
    findings, units = int(truth.max()) + 1, int(codes.max()) + 1
    table = np.bincount(codes * findings + truth, minlength=units * findings)
    return np.asarray(table.reshape(units, findings).argmax(axis=1))


def _draw_counts(strata: list[IntArray], units: int, rows: int, rng: np.random.Generator) -> IntArray:
    """Return int (rows, units): how often each unit was drawn, the size of each stratum kept."""
    counts = np.zeros((rows, units), dtype=np.int_)
    for members in strata:
        size = len(members)
        drawn = rng.integers(0, size, size=(rows, size))
        drawn += np.arange(rows)[:, None] * size
        counts[:, members] = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
    return counts


def estimate_from_replicates(value: float, drawn: FloatArray, draws: Draws, *, signed: bool = False) -> Estimate:
    """Return a number with the interval that its bootstrap replicates, float (r,), give; see `bootstrap_estimates`.

    Both are NaN where undefined.
    """
    if math.isnan(value):
        return not_applicable("undefined on this set")
    kept = drawn[~np.isnan(drawn)]
    notes = []
    if len(kept) < 0.99 * len(drawn):
        notes.append(f"undefined in {len(drawn) - len(kept)} of {len(drawn)} replicates, which were dropped")
    if draws.lonely:
        notes.append("a finding shown by a single image or patient does not vary between replicates")
    if len(kept) == 0 or np.ptp(kept) < 1e-12:
        notes.insert(0, "every replicate gave the same value, so the data show no spread")
        return Estimate(value, None, None, "none", note="; ".join(notes))
    share = not signed and 0 < value < 1 and kept.min() >= 0 and kept.max() <= 1
    # Neither percentiles nor BCa for a share: repeated images inflate average precision, so its replicates lie too
    # high, and near 1 they pile up at the border. On simulated sets of 150 and 200 images (AUPRC 0.85 to 0.99) the
    # 95 % percentile interval held the true AUPRC 84 to 90 % of the time, a bias-corrected one 87 to 92 %, the logit
    # one 89 to 94 %; F1 and balanced accuracy 87 to 94 %, 87 to 96 % and 90 to 96 %.
    # On nearly perfect small sets (macro AUPRC 0.998, 15 images of the rarest finding) none does: 67, 84, 82 %.
    low, high = logit_bounds(value, float(np.std(kept, ddof=1))) if share else _percentile_bounds(value, kept)
    return Estimate(value, low, high, draws.method, note="; ".join(notes) or None)


def _percentile_bounds(value: float, drawn: FloatArray) -> tuple[float, float]:
    """Return the percentile interval, stretched to hold the value: for a number that is no share."""
    low, high = np.quantile(drawn, TAILS)
    return min(float(low), value), max(float(high), value)
