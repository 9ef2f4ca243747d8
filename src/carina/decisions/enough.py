"""Whether calibration data were enough: how many more images a promise would take at the very least."""

import math

import numpy as np
from numpy.typing import NDArray

from carina.decisions.bands import OF_THE_RIGHT, STARTS, BandName, Bands
from carina.findings import NORMAL

# Beyond this many patients of a finding, "collect more" is no advice.
_LARGEST = 1_000_000
# One more in so many at a time.
_STEPS = 50


def patients_needed(bands: Bands, band: BandName, prevalence: float | None = None) -> dict[str, int] | None:
    """Return how many more patients of which finding a band needs for its promise to be possible at all.

    At the very least: if every radiograph were judged rightly. Of several ways to have enough, one that takes few:
    patients are added first where the next ones help most. Empty where there are enough; None where no number would
    do (no such band, or a prevalence at which nothing or nobody belongs in it). A third of what is added orders the
    thresholds and two thirds test them, which is counted in.

    Parameters
    ----------
    bands
        As fitted on the data that there are.
    band
        Which promise.
    prevalence
        Of the flagged finding, 0 to 1; by default that of the recipe's mix, else of the data.

    Raises
    ------
    ConfigurationError
        If the prevalence lies outside 0 to 1.
    """
    mix = bands.mix_at(prevalence)
    name, promise = (NORMAL, bands.alpha) if band == "routine" else (bands.flag_finding, bands.beta)
    if name not in bands.findings or not np.isfinite(mix).all() or mix[bands.findings.index(name)] == 0:
        return None
    right, level = bands.findings.index(name), (1 - bands.confidence) / len(STARTS)
    stated_mix = None if prevalence is None and bands.mix is None else mix
    have = np.array(bands.testing_patients)
    # One of each is needed whatever the mix: of a finding that was never tested nothing is promised.
    want = np.maximum(have, 1)
    while (share := _least_share(want, right, stated_mix, level)) > promise:
        ways = [want + np.maximum(1, want // _STEPS) * (np.arange(len(want)) == right)]
        if stated_mix is not None:
            # Of the wrong findings the one with most weight for each patient decides: all that weigh as much grow.
            weight = np.where(np.arange(len(want)) == right, 0, stated_mix) / want
            grown = np.ceil(stated_mix / (weight.max() * (1 - 1 / _STEPS))) if weight.any() else want
            ways.append(np.where(weight > 0, np.maximum(want, grown), want).astype(want.dtype))
        gains = [(share - _least_share(way, right, stated_mix, level)) / max(1, (way - want).sum()) for way in ways]
        want = ways[int(np.argmax(gains))]
        if want.max() > _LARGEST:
            return None
    return {
        finding: math.ceil(1.5 * more)
        for finding, more in zip(bands.findings, (want - have).tolist(), strict=True)
        if more
    }


def _least_share(
    patients: NDArray[np.integer], right: int, stated_mix: NDArray[np.float64] | None, level: float
) -> float:
    """Return the bound of the share of wrong ones where not one of these patients was judged wrongly."""
    if stated_mix is None:
        return float(1 - level ** (1 / patients[right]))
    others = np.arange(len(patients)) != right
    # `weighted_share_upper` of no mistake, but above 1 too, so that more patients always show.
    wrong = -math.log((1 - OF_THE_RIGHT) * level) * float((stated_mix / patients)[others].max(initial=0.0))
    own = stated_mix[right] * (OF_THE_RIGHT * level) ** (1 / patients[right])
    return float(wrong / (wrong + own))
