"""Labelled calibration images become triage bands: patients are parted, and counted beyond each threshold.

What the counts promise is in `carina.decisions.bands`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from carina.decisions.bands import THRESHOLDS, BandCounts, Bands
from carina.errors import ConfigurationError
from carina.findings import NORMAL

_FITTING_SHARE = 3
_SPLIT_SEED = 20211


def choose_fitting_part(labels: NDArray[np.integer], groups: NDArray[np.integer] | None = None) -> NDArray[np.bool_]:
    """Return which images fit the calibration map and order the thresholds, bool ``(n,)``; the others test them.

    A third of the patients of each finding, rounded up, drawn with a fixed seed; a patient is never in both parts. One
    with several findings counts under the rarest of them.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    _, place = np.unique(groups, return_inverse=True)
    common = np.argsort(np.argsort(-np.bincount(labels, minlength=1), kind="stable"))
    rarity = np.full(place.max(initial=-1) + 1, -1)
    np.maximum.at(rarity, place, common[labels])
    rng = np.random.default_rng(_SPLIT_SEED)
    chosen = np.zeros(len(rarity), bool)
    for stratum in np.unique(rarity):
        members = rng.permutation(np.flatnonzero(rarity == stratum))
        chosen[members[: -(-len(members) // _FITTING_SHARE)]] = True
    return np.asarray(chosen[place])


def fit_bands(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    findings: Sequence[str],
    flag_finding: str,
    *,
    fitting: NDArray[np.bool_],
    chosen_on: str,
    alpha: float = 0.02,
    beta: float = 0.05,
    confidence: float = 0.95,
    groups: NDArray[np.integer] | None = None,
    mix: Mapping[str, float] | None = None,
) -> Bands:
    """Return the bands that calibration data allow.

    Parameters
    ----------
    probabilities
        float ``(n, k)``, range [0, 1], from a model and a calibration map that the testing images had no part in.
    labels
        int ``(n,)``, range [0, k): the column of each image's true finding.
    findings, flag_finding
        Names of the columns, and which of them is fast-tracked.
    fitting
        bool ``(n,)``: see `choose_fitting_part`.
    chosen_on
        The name of the data.
    alpha, beta, confidence
        See `Bands`.
    groups
        int ``(n,)``: the patient of each image; by default each image is a patient of its own.
    mix
        The share of each finding among those who are radiographed, summing to 1; by default that of the data.

    Raises
    ------
    ConfigurationError
        If the flagged finding is Normal, or not among the findings, or the mix is not of these findings.
    """
    findings = tuple(findings)
    if flag_finding not in findings or flag_finding == NORMAL:
        msg = f"The flagged finding is {flag_finding!r}. Name one that is not Normal, of: {', '.join(findings)}."
        raise ConfigurationError(msg)
    if mix is not None and set(mix) != set(findings):
        msg = (
            f"decisions.mix names {', '.join(sorted(mix))}. It needs each of the data's findings, and no other: "
            f"{', '.join(findings)}."
        )
        raise ConfigurationError(msg)
    groups = np.arange(len(labels)) if groups is None else groups

    def patients(part: NDArray[np.bool_]) -> tuple[int, ...]:
        return tuple(len(np.unique(groups[part & (labels == finding)])) for finding in range(len(findings)))

    def beyond(band: int) -> BandCounts:
        of_fitting, of_testing = (
            _patients_beyond(probabilities[part, band], labels[part], groups[part], band, len(findings))
            for part in (fitting, ~fitting)
        )
        return BandCounts(fitting=of_fitting, testing=of_testing)

    return Bands(
        findings=findings,
        flag_finding=flag_finding,
        thresholds=THRESHOLDS,
        fitting_patients=patients(fitting),
        testing_patients=patients(~fitting),
        routine=beyond(findings.index(NORMAL)) if NORMAL in findings else None,
        fast_track=beyond(findings.index(flag_finding)),
        mix=None if mix is None else tuple(mix[finding] for finding in findings),
        alpha=alpha,
        beta=beta,
        confidence=confidence,
        chosen_on=chosen_on,
    )


def _patients_beyond(
    probability: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: NDArray[np.integer],
    band: int,
    findings: int,
) -> tuple[tuple[int, ...], ...]:
    """Return for each finding how many patients lie at or above each threshold, by the image against the band."""
    rows = []
    for finding in range(findings):
        of_finding = labels == finding
        _, place = np.unique(groups[of_finding], return_inverse=True)
        against, nothing = (np.minimum, np.inf) if finding == band else (np.maximum, -np.inf)
        worst = np.full(place.max(initial=-1) + 1, nothing)
        against.at(worst, place, probability[of_finding])
        below = np.searchsorted(np.sort(worst), THRESHOLDS, side="left")
        rows.append(tuple((len(worst) - below).tolist()))
    return tuple(rows)
