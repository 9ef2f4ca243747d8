"""Triage bands: thresholds with a promise of what is found beyond them.

- ``routine``: P(Normal) at or above its threshold. Of such radiographs at most a share `alpha` is not Normal.
- ``fast-track``: P(flagged finding) at or above its threshold. Of such, at most a share `beta` is anything else.

Each promise holds with a stated confidence over the draw of the calibration data, whatever the model is worth and
however few images there were: where little is known the band is small, or there is none.

**The population** is a mix of findings: the one that the recipe states, else the mix of the testing images; or, where a
prevalence of the flagged finding is stated, that prevalence and the others in their proportions. The mix is an
assumption, not estimated.

**At one threshold, with the data's own mix**, one exact one-sided binomial bound (Clopper-Pearson) at level 1 -
confidence says how many of all radiographs beyond it may be wrong. The numbers of each finding are fixed, not drawn,
which makes the bound a little wide.

**At one threshold, with a stated mix or prevalence**: what the model does with images *of* a finding does not
change with the mix, and Bayes' rule joins the two. One bound from above for the share of all wrong findings beyond the
threshold, together and weighed by the mix, and one from below for the right finding. The wrong ones get four fifths of
the level: their bound is the wider one. Bounds for each finding apart (Bonferroni) would need twice as many images.

**Over the thresholds**: fixed-sequence testing, in an order that was fixed before the testing images were looked at:
from a start towards laxer thresholds, up to the first where the bound exceeds the promise. A threshold that breaks the
promise is reported only if the *first* such in the order passed its test, which happens with probability 1 - confidence
at most. A start that fails ends it all, so there are two, each with half of 1 - confidence: a lax one, with many images
beyond it, and a strict one. The order is read from other patients: the **fitting** third of the calibration data, on
which the calibration map was fitted as well, so that both are independent of the **testing** two thirds. The start is
the strictest threshold at which the promise would be kept with room to spare (little for the strict start, much for the
lax one) if the testing images were as the fitting ones. Where it never would, the strict start is the strictest
threshold that is nearly the best, and the lax start the middle one of these.

The promise holds for each prevalence that is stated without a look at the testing images, not for all of them at once.

**Patients** are what is counted: of several images of one finding, the one that speaks against the band. Images of one
patient are no independent trials; the worst keeps the promise for whichever image is taken.

Why so, and what it costs: docs/decisions/0040-bands.md and 0041-two-thirds-test-the-bands.md.

Source: Angelopoulos et al. 2021, "Learn then Test", arXiv:2110.01052 (fixed-sequence testing, its order from a split).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from carina.errors import ConfigurationError
from carina.findings import NORMAL
from carina.statistics.proportion import clopper_pearson_lower, clopper_pearson_upper, weighted_share_upper

BandName = Literal["routine", "fast-track"]
Counts = tuple[tuple[int, ...], ...]

# Probabilities 0.56 to 0.999994, evenly spaced as logits, so that 0.9999 and 0.99999 are as far apart as 0.9 and 0.99.
# Above a half the finding is also the most probable. Fixed, whatever the data; finer steps would cost no confidence.
THRESHOLDS = tuple(1 / (1 + math.exp(-step / 4)) for step in range(1, 49))

# How far from the best expected bound to the promise a start may lie, as ratios go.
STARTS = (0.25, 0.75)
# The part of a promise's level that goes to the band's own finding.
OF_THE_RIGHT = 0.2
# How much worse than the best the start of the order may look, where no threshold is expected to keep the promise.
NEARLY_BEST = 1.1


class BandCounts(BaseModel):
    """How many patients are beyond each threshold: one row per finding, one number per threshold.

    Attributes
    ----------
    fitting, testing
        In the part that orders the thresholds, and in the part that tests them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fitting: Counts
    testing: Counts


@dataclass(frozen=True, slots=True)
class BandThresholds:
    """The bands at a prevalence.

    Attributes
    ----------
    routine
        Least P(Normal) of the routine band; None where nothing can be promised: all goes to a second reading.
    fast_track
        Least P(flagged finding) of the fast-track band; None where nothing can be promised: nothing is fast-tracked.
    routine_share, fast_track_share
        The largest share that does not belong there, as promised.
    confidence
        Of each promise.
    prevalence
        Of the flagged finding, 0 to 1, or NaN, at which nothing is promised.
    stated
        Whether the prevalence was stated, or assumed to be that of the calibration data.
    """

    routine: float | None
    fast_track: float | None
    routine_share: float
    fast_track_share: float
    confidence: float
    prevalence: float
    stated: bool


@dataclass(frozen=True, slots=True, eq=False)
class PromiseBounds:
    """What a band's promise rests on, in two parts: what the fitting patients let expect, and what the testing show.

    Attributes
    ----------
    beyond
        int ``(2, k, thresholds)``: patients of each finding beyond each threshold, of as many as are in `patients`.
    patients
        float64 ``(k,)``: testing patients of each finding.
    right
        float64 ``(2, thresholds)``: the lower bound of the share of the band's own finding beyond each threshold.
    level
        Of the bound for all other findings together; see `carina.statistics.proportion.weighted_share_upper`.
    """

    beyond: NDArray[np.int64]
    patients: NDArray[np.float64]
    right: NDArray[np.float64]
    level: float


class Bands(BaseModel):
    """Everything that the bands at any prevalence follow from.

    Attributes
    ----------
    findings
        In the order of all counts.
    flag_finding
        The finding that is fast-tracked.
    thresholds
        Probabilities, rising.
    fitting_patients, testing_patients
        Patients of each finding in the two parts of the calibration data.
    routine, fast_track
        Patients beyond each threshold; no routine band without the finding Normal.
    mix
        The share of each finding among those who are radiographed, as the recipe states it, summing to 1; None where
        it is that of the calibration data.
    alpha, beta
        The largest shares that do not belong in routine and in fast-track.
    confidence
        Of each promise.
    chosen_on
        The name of the data.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    findings: tuple[str, ...] = Field(min_length=1)
    flag_finding: str
    thresholds: tuple[float, ...] = Field(min_length=1)
    fitting_patients: tuple[int, ...]
    testing_patients: tuple[int, ...]
    routine: BandCounts | None
    fast_track: BandCounts
    mix: tuple[float, ...] | None = None
    alpha: float = Field(gt=0, lt=1)
    beta: float = Field(gt=0, lt=1)
    confidence: float = Field(gt=0, lt=1)
    chosen_on: str

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.flag_finding not in self.findings or self.flag_finding == NORMAL:
            msg = f"flag_finding is {self.flag_finding!r}; name one of the findings that is not Normal"
            raise ValueError(msg)
        if list(self.thresholds) != sorted(self.thresholds):
            msg = "thresholds must rise"
            raise ValueError(msg)
        if self.mix is not None and (len(self.mix) != len(self.findings) or not is_mix(self.mix)):
            msg = "mix needs one share per finding, 0 to 1, which sum to 1"
            raise ValueError(msg)
        for counts in (self.fast_track, self.routine):
            if counts is None:
                continue
            for patients, rows in (
                (self.fitting_patients, counts.fitting),
                (self.testing_patients, counts.testing),
            ):
                shape = {len(row) for row in rows} == {len(self.thresholds)}
                if not (shape and len(rows) == len(patients) == len(self.findings)):
                    msg = "counts need one row per finding and one number per threshold"
                    raise ValueError(msg)
                if any(not 0 <= count <= most for most, row in zip(patients, rows, strict=True) for count in row):
                    msg = "a finding has more patients beyond a threshold than it has"
                    raise ValueError(msg)
        return self

    def mix_at(self, prevalence: float | None) -> NDArray[np.float64]:
        """Return the share of each finding in the population, float64 ``(k,)``; NaN where there is no telling.

        Raises
        ------
        ConfigurationError
            If the prevalence lies outside 0 to 1.
        """
        check_prevalence(prevalence)
        if prevalence is None and self.mix is not None:
            return np.array(self.mix)
        if prevalence is None:
            tested = np.array(self.testing_patients, dtype=np.float64)
            return tested / tested.sum() if tested.sum() else np.full(len(tested), np.nan)
        shares = np.array(self.mix or np.add(self.fitting_patients, self.testing_patients), dtype=np.float64)
        flag = self.findings.index(self.flag_finding)
        shares[flag] = 0
        others = shares.sum()
        mix = shares * ((1 - prevalence) / others if others else math.nan)
        mix[flag] = prevalence
        return mix

    def thresholds_at(self, prevalence: float | None = None, *, routine_above: float = 0.0) -> BandThresholds:
        """Return the bands at a prevalence of the flagged finding.

        Parameters
        ----------
        prevalence
            0 to 1; by default that of the recipe's mix, else of the calibration data. At NaN nothing is promised.
        routine_above
            The routine band begins above this probability: where another rule takes radiographs out of the band, the
            promise holds only for a threshold beyond its reach.

        Raises
        ------
        ConfigurationError
            If the prevalence lies outside 0 to 1.
        """
        return _thresholds_at(self, prevalence, routine_above)


def promise_bounds(bands: Bands, name: BandName) -> PromiseBounds | None:
    """Return what a band's promise rests on, for whoever computes it at many prevalences; None where it has none."""
    counted = _beyond(bands, name)
    if counted is None:
        return None
    (beyond, band), level, patients = counted, _level_of(bands), bands.testing_patients
    own = [[clopper_pearson_lower(n, patients[band], OF_THE_RIGHT * level) for n in part[band]] for part in beyond]
    return PromiseBounds(
        np.array(beyond, dtype=np.int64),
        np.array(patients, dtype=np.float64),
        np.array(own),
        (1 - OF_THE_RIGHT) * level,
    )


def bounds_as_drawn(bands: Bands, name: BandName) -> NDArray[np.float64] | None:
    """Return the bound of the share that does not belong to a band, for the data's own mix; none where it has none.

    float64 ``(2, thresholds)``: what the fitting patients let expect, and what the testing show.
    """
    counted = _beyond(bands, name)
    if counted is None:
        return None
    beyond, band = counted
    return np.stack([_largest_share_as_drawn(part, band, _level_of(bands)) for part in beyond])


def _beyond(bands: Bands, name: BandName) -> tuple[tuple[Counts, Counts], int] | None:
    """Return the patients beyond each threshold in both parts, and the place of the band's own finding."""
    of, counts = (NORMAL, bands.routine) if name == "routine" else (bands.flag_finding, bands.fast_track)
    return None if counts is None else (_counted(bands, counts), bands.findings.index(of))


def is_mix(shares: Iterable[float]) -> bool:
    """Return whether some shares are each between 0 and 1 and sum to 1."""
    given = tuple(shares)
    return all(0 <= share <= 1 for share in given) and math.isclose(sum(given), 1.0, abs_tol=1e-6)


def check_prevalence(prevalence: float | None) -> None:
    """Raise unless the prevalence is between 0 and 1, not stated, or not a number (which promises nothing).

    Raises
    ------
    ConfigurationError
        If it lies outside 0 to 1.
    """
    if prevalence is not None and (prevalence < 0 or prevalence > 1):
        msg = f"The prevalence is {prevalence}. Give a share between 0 and 1, such as 0.05."
        raise ConfigurationError(msg)


@lru_cache(maxsize=256)
def _thresholds_at(bands: Bands, prevalence: float | None, routine_above: float) -> BandThresholds:
    mix = bands.mix_at(prevalence)
    flag = bands.findings.index(bands.flag_finding)
    return BandThresholds(
        routine=_laxest(bands, "routine", prevalence, bands.alpha, routine_above),
        fast_track=_laxest(bands, "fast-track", prevalence, bands.beta, 0.0),
        routine_share=bands.alpha,
        fast_track_share=bands.beta,
        confidence=bands.confidence,
        prevalence=float(mix[flag]),
        stated=prevalence is not None,
    )


def _laxest(bands: Bands, name: BandName, prevalence: float | None, promise: float, above: float) -> float | None:
    """Return the lowest threshold above `above` that fixed-sequence testing passes."""
    found = _bounds_at(bands, name, prevalence)
    if found is None:
        return None
    expected, share = found
    best = float(expected.min())
    nearly = np.flatnonzero(expected <= NEARLY_BEST * best)
    chosen = None
    for way, otherwise in zip(STARTS, (nearly[-1], nearly[len(nearly) // 2]), strict=True):
        enough = best ** (1 - way) * promise**way
        start = int(np.flatnonzero(expected <= enough)[-1] if enough > NEARLY_BEST * best else otherwise)
        for place in range(start, -1, -1):
            if share[place] > promise or bands.thresholds[place] <= above:
                break
            chosen = min(chosen or 1.0, bands.thresholds[place])
    return chosen


def _bounds_at(bands: Bands, name: BandName, prevalence: float | None) -> NDArray[np.float64] | None:
    """Return `bounds_as_drawn` at a prevalence; none where nothing can be promised."""
    mix = bands.mix_at(prevalence)
    # Of a finding that was never tested nothing is known, even where the mix holds none of it.
    if not all(bands.testing_patients) or not np.isfinite(mix).all():
        return None
    if prevalence is None and bands.mix is None:
        return bounds_as_drawn(bands, name)
    bounds = promise_bounds(bands, name)
    if bounds is None:
        return None
    band = bands.findings.index(NORMAL if name == "routine" else bands.flag_finding)
    return np.stack([_largest_share(bounds, part, band, mix) for part in (0, 1)])


def _level_of(bands: Bands) -> float:
    return (1 - bands.confidence) / len(STARTS)


def _counted(bands: Bands, counts: BandCounts) -> tuple[Counts, Counts]:
    """Return the fitting part's counts as if it had as many patients as the testing part, and those of the latter."""
    sizes = zip(bands.fitting_patients, bands.testing_patients, counts.fitting, strict=True)
    scaled = ([round((testing / fitting if fitting else 0.0) * n) for n in row] for fitting, testing, row in sizes)
    return tuple(map(tuple, scaled)), counts.testing


def _largest_share_as_drawn(beyond: Counts, band: int, level: float) -> NDArray[np.float64]:
    """Return the upper bound of the share that does not belong beyond each threshold, float64 ``(thresholds,)``."""
    counts = np.array(beyond)
    total = counts.sum(axis=0)
    return np.array(
        [clopper_pearson_upper(int(n - right), int(n), level) for right, n in zip(counts[band], total, strict=True)]
    )


def _largest_share(bounds: PromiseBounds, part: int, band: int, mix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the same for a stated mix of findings, from one part's counts."""
    others = np.arange(len(mix)) != band
    wrong = weighted_share_upper(bounds.beyond[part][others], bounds.patients[others], mix[others], bounds.level)
    total = wrong + mix[band] * bounds.right[part]
    # Where there may be no radiograph at all, all of them may be wrong.
    return np.asarray(np.where(total > 0, wrong, 1.0) / np.where(total > 0, total, 1.0))
