"""Triage: a radiograph's probabilities become a priority with its reason.

This is the reading that the authors of the published baseline give of their own result: a COVID-19 call that is seldom
wrong is fit to be fast-tracked (isolation, confirmatory test), while a Normal call must not be dismissed where disease
is frequent. What "seldom" means is promised by the bands (`carina.decisions.bands`). A priority only orders the
reading; it never removes a study and never says that disease is absent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from carina.decisions.bands import BandThresholds, check_prevalence
from carina.decisions.policy import Policy
from carina.findings import COVID_19, NORMAL, OTHER_OPACITY

Priority = Literal["fast-track", "expedite", "secondary-review", "routine", "not-assessable"]


@dataclass(frozen=True, slots=True)
class Triage:
    """A priority and why.

    Attributes
    ----------
    priority
        Where the study stands in the reading order.
    reason
        One sentence, without patient data.
    """

    priority: Priority
    reason: str


def choose_triage(
    probabilities: Mapping[str, float],
    policy: Policy,
    *,
    prevalence: float | None = None,
    refused: str | None = None,
) -> Triage:
    """Return the priority of a radiograph.

    ``fast-track`` in the fast-track band; else ``expedite`` where the flagged finding is at or above the operating
    point or the most probable finding is not Normal; else ``routine`` in the routine band; else ``secondary-review``.

    Parameters
    ----------
    probabilities
        Calibrated, of every finding, summing to 1.
    policy
        Of the model that gave them.
    prevalence
        The share of the flagged finding among those who are radiographed, 0 to 1; by default that of the calibration
        data. At NaN nothing is promised: nothing is ``fast-track`` or ``routine``.
    refused
        Why the radiograph must not be judged, in words, if so: it is ``not-assessable``.

    Raises
    ------
    ConfigurationError
        If the prevalence lies outside 0 to 1.
    """
    check_prevalence(prevalence)
    if refused is not None:
        return Triage("not-assessable", f"Not judged: {refused.strip().rstrip('.')}; it is to be read as it is.")
    if not all(math.isfinite(probability) for probability in probabilities.values()):
        return Triage("not-assessable", "Not judged: the model gave no number; it is to be read as it is.")
    bands = policy.thresholds_at(prevalence)
    flag = policy.flag_finding
    finding = max(probabilities, key=probabilities.__getitem__)
    if bands.fast_track is not None and probabilities[flag] >= bands.fast_track:
        then = "isolate as local rules say, and confirm by test" if flag == COVID_19 else "read first"
        return Triage(
            "fast-track",
            f"{_compared(flag, probabilities[flag], bands.fast_track)} of the fast-track band, where at most "
            f"{_percent(bands.fast_track_share)} is anything else ({_basis(bands, flag)}): {then}.",
        )
    if probabilities[flag] >= policy.operating_point.threshold or finding != NORMAL:
        return Triage("expedite", _why_expedited(finding, probabilities, policy, bands))
    return _triage_of_normal(probabilities[NORMAL], bands, flag)


def decide(probabilities: NDArray[np.floating], policy: Policy) -> list[tuple[str, Priority]]:
    """Return what is decided on each radiograph: the most probable finding, and the priority.

    Parameters
    ----------
    probabilities
        Calibrated: float ``(n, findings)``, in the order of the policy's findings.
    policy
        Of the model that gave them.
    """
    decided = []
    for row in probabilities.tolist():
        of_finding = dict(zip(policy.findings, row, strict=True))
        decided.append((max(of_finding, key=of_finding.__getitem__), choose_triage(of_finding, policy).priority))
    return decided


def _why_expedited(finding: str, probabilities: Mapping[str, float], policy: Policy, bands: BandThresholds) -> str:
    flag, point = policy.flag_finding, policy.operating_point
    if probabilities[flag] >= point.threshold:
        if bands.fast_track is None:
            beyond = f"no fast-track can be promised ({_basis(bands, flag)})"
        else:
            shown = _number(bands.fast_track, probabilities[flag])
            beyond = f"it is under the threshold {shown} of the fast-track band"
            beyond += f" ({_basis(bands, flag)})"
        return (
            f"{_compared(flag, probabilities[flag], point.threshold, bands.fast_track)}, which reached specificity "
            f"{point.specificity:.3f} on {point.chosen_on}, but {beyond}: read soon."
        )
    if finding == flag:
        return (
            f"{flag} is the most probable finding (P = {_number(probabilities[flag], point.threshold)}), but "
            f"under the threshold {_number(point.threshold, probabilities[flag])}: read soon."
        )
    if finding == OTHER_OPACITY:
        return (
            f"Most probable is an opacity of another kind, which the model does not name (P = "
            f"{_number(probabilities[finding])}): read soon."
        )
    return f"{finding} is the most probable finding (P = {_number(probabilities[finding])}): read soon."


def _triage_of_normal(probability: float, bands: BandThresholds, flag: str) -> Triage:
    promise = f"at most {_percent(bands.routine_share)} is not Normal ({_basis(bands, flag)})"
    if bands.routine is None:
        reason = (
            f"Normal is the most probable finding (P = {_number(probability)}), but at no threshold can it be promised "
            f"that {promise}: a second reading is due."
        )
        return Triage("secondary-review", reason)
    if probability >= bands.routine:
        reason = f"{_compared(NORMAL, probability, bands.routine)} of the routine band, where {promise}"
        return Triage("routine", f"{reason}; it is still to be read.")
    reason = (
        f"Normal is the most probable finding, but P(Normal) = {_number(probability, bands.routine)} is under the "
        f"threshold {_number(bands.routine, probability)} of the routine band, where {promise}: a second reading is "
        "due."
    )
    return Triage("secondary-review", reason)


def _compared(finding: str, probability: float, threshold: float, other: float | None = None) -> str:
    """Return in words that a threshold is reached; `other` is one that the probability will be set beside, too."""
    beside = (threshold,) if other is None else (threshold, other)
    return (
        f"P({finding}) = {_number(probability, *beside)} is at or above the threshold {_number(threshold, probability)}"
    )


def _basis(bands: BandThresholds, flag: str) -> str:
    """Return confidence and prevalence in words."""
    confidence = f"{_percent(bands.confidence)} confidence"
    if math.isnan(bands.prevalence):
        return f"{confidence}, prevalence of {flag} unknown"
    return f"{confidence}, {'stated' if bands.stated else 'assumed'} prevalence of {flag} {_percent(bands.prevalence)}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _number(probability: float, *beside: float) -> str:
    """Return a probability with two decimals, or as many more as it takes not to be shown as 1, or as one beside it."""
    distance = min((abs(probability - other) for other in (1.0, *beside) if other != probability), default=1.0)
    decimals = 2 if distance >= 0.01 else min(12, 1 + math.ceil(-math.log10(distance)))
    return f"{probability:.{decimals}f}"
