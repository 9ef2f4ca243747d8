"""A bootstrap of curves: counts in cells instead of images, and intervals that also hold at 0 and 1.

A curve over thresholds depends on an image only through the cell that it lies in (between which two thresholds, and
whether it shows the finding). So patients are drawn once, all curves are counted from the same draws, and a replicate
is some hundred counts instead of all images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from carina.statistics.bootstrap import Draws
from carina.statistics.intervals import FloatArray, IntArray, group_codes
from carina.statistics.proportion import normal_quantile


def count_cells(draws: Draws, cells: Sequence[IntArray], sizes: Sequence[int]) -> list[FloatArray]:
    """Return how many drawn images lie in each cell, in each replicate.

    Parameters
    ----------
    draws
        From `bootstrap.draw_weights`; used up.
    cells
        For each curve int (n,), the cell of each image.
    sizes
        For each curve the number of its cells.

    Returns
    -------
    For each curve float64 (replicates, cells), whole numbers.
    """
    starts = np.cumsum([0, *sizes])
    n = len(cells[0])
    places = np.concatenate([cell + start for cell, start in zip(cells, starts[:-1], strict=True)])
    shape = (int(starts[-1]), n)
    membership = sparse.csr_array((np.ones(len(places)), (places, np.tile(np.arange(n), len(cells)))), shape=shape)
    blocks = [(membership @ block.T.astype(np.float64)).T for block in draws.blocks]
    counts: FloatArray = np.concatenate(blocks)
    return [np.ascontiguousarray(part) for part in np.split(counts, starts[1:-1], axis=1)]


def running_sums(counts: FloatArray) -> FloatArray:
    """Return the sums of counts in cells, float64 (r, c), from none to all: float64 (r, c + 1)."""
    return np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0)))


def kish_effect(groups: IntArray | None, n: int) -> float:
    """Return by how much patients of several images inflate a variance at most: fully alike images of a patient.

    Source: Kish 1965, Survey Sampling, chapter 11.

    Parameters
    ----------
    groups
        int (n,) patient or duplicate group ids, or None.
    n
        Number of images, more than 0.
    """
    codes = group_codes(groups, n)
    return 1.0 if codes is None else float((np.bincount(codes).astype(np.float64) ** 2).sum() / n)


def wilson_from_replicates(
    share: FloatArray, drawn: FloatArray, images: FloatArray, kish: float
) -> tuple[FloatArray, FloatArray]:
    """Return pointwise intervals of shares along a curve: Wilson's at the number of images that the bootstrap allows.

    A bootstrap alone gives no interval where the share is 0 or 1, and on the plain scale one that leaves [0, 1] beside
    it. Here it gives the variance, which holds all that moves (patients, and where on the curve each replicate lies),
    and Wilson's interval is that of as many independent images as have this variance: never more than were counted.
    At 0 and 1 the images of one patient count as one.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953; effective sizes: Rao and Scott 1992, doi:10.2307/2532311.

    Parameters
    ----------
    share
        float (t,), range [0, 1], on the data itself.
    drawn
        float (r, t), in each replicate; NaN where undefined.
    images
        float (t,), how many images each share was counted on, more than 0.
    kish
        See `kish_effect`.

    Returns
    -------
    Low and high ends, float64 (t,), with ``low <= share <= high``.
    """
    variance = _variance(drawn)
    binomial = share * (1 - share)
    known = (binomial > 0) & (variance > 0)
    effective = np.where(known, binomial / np.where(known, variance, 1.0), images / kish)
    return wilson_along(share, np.minimum(effective, images))


def wilson_along(share: FloatArray, images: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return `proportion.wilson_bounds` of shares that were counted on so many images each, float64 (t,)."""
    z2 = normal_quantile() ** 2
    centre = (share + z2 / (2 * images)) / (1 + z2 / images)
    half = np.sqrt(z2 * (share * (1 - share) / images + z2 / (4 * images**2))) / (1 + z2 / images)
    low = np.where(share == 0, 0.0, np.minimum(np.maximum(centre - half, 0.0), share))
    high = np.where(share == 1, 1.0, np.maximum(np.minimum(centre + half, 1.0), share))
    return low, high


def _variance(drawn: FloatArray) -> FloatArray:
    """Return the variance over replicates, 0 where fewer than two are defined: float64 (t,)."""
    defined = ~np.isnan(drawn)
    count = defined.sum(axis=0)
    values = np.where(defined, drawn, 0.0)
    mean = values.sum(axis=0) / np.maximum(count, 1)
    squares = (np.where(defined, drawn - mean, 0.0) ** 2).sum(axis=0)
    return np.asarray(squares / np.maximum(count - 1, 1))
