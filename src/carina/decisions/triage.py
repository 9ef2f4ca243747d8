"""Triage: a radiograph's probabilities become a priority with its reason.

This is the reading that the authors of the published baseline give of their own result: a COVID-19 call that is seldom
wrong is fit to be fast-tracked, while a Normal call must not be dismissed where disease is frequent. What "seldom"
means is promised by the bands (`carina.decisions.bands`). A priority only orders the reading; it never removes a study
and never says that disease is absent. A reason says what was found and why it is ranked so. It tells nobody what to do:
isolation, tests and second readings are for each site to decide.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from carina.decisions.bands import BandThresholds, check_prevalence
from carina.decisions.policy import Policy
from carina.findings import NORMAL, OTHER_OPACITY

Priority = Literal["fast-track", "expedite", "secondary-review", "routine", "not-assessable"]
# The names of all priorities, and the place of each in the reading order. What could not be judged has the place of the
# second readings: it must not wait behind what was judged to be Normal.
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
READING_PLACES: Mapping[Priority, int] = {
    "fast-track": 0,
    "expedite": 1,
    "secondary-review": 2,
    "not-assessable": 2,
    "routine": 3,
}

ReasonCode = Literal[
    "flag-in-band",
    "flag-below-band",
    "flag-no-band",
    "flag-most-likely",
    "other-finding",
    "other-opacity",
    "normal-in-band",
    "normal-below-band",
    "normal-no-band",
    "refused",
    "no-number",
]
REASON_CODES: tuple[ReasonCode, ...] = get_args(ReasonCode)

_NOTHING_SAID = "nothing is said about its findings"


@dataclass(frozen=True, slots=True)
class Triage:
    """A priority and why.

    Attributes
    ----------
    priority
        The study's place in the reading order.
    code
        The rule that gave the priority, as a stable word for programs and tables; `code_meanings` says what each means.
    reason
        The same with its figures: one sentence, without patient data. It never says what is to be done.
    """

    priority: Priority
    code: ReasonCode
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
        Why the radiograph must not be judged, if so: it is ``not-assessable``.

    Raises
    ------
    ConfigurationError
        If the prevalence lies outside 0 to 1.
    """
    check_prevalence(prevalence)
    if refused is not None:
        return Triage("not-assessable", "refused", f"Not judged: {refused.strip().rstrip('.')}; {_NOTHING_SAID}.")
    if not all(math.isfinite(probability) for probability in probabilities.values()):
        return Triage("not-assessable", "no-number", f"Not judged: the model gave no number; {_NOTHING_SAID}.")
    bands = policy.thresholds_at(prevalence)
    flag = policy.flag_finding
    finding = max(probabilities, key=probabilities.__getitem__)
    if bands.fast_track is not None and probabilities[flag] >= bands.fast_track:
        return Triage(
            "fast-track",
            "flag-in-band",
            f"{_compared(flag, probabilities[flag], bands.fast_track)} of the fast-track band, where at most "
            f"{_percent(bands.fast_track_share)} are not {flag} ({_basis(bands, flag)}).",
        )
    if probabilities[flag] >= policy.operating_point.threshold:
        return _triage_of_flag(probabilities[flag], policy, bands)
    if finding != NORMAL:
        return _triage_of_finding(finding, probabilities[finding], policy)
    return _triage_of_normal(probabilities[NORMAL], bands, flag)


def code_meanings(policy: Policy, *, prevalence: float | None = None) -> dict[ReasonCode, str]:
    """Return what each code means for a model, with its thresholds and promises: plain sentences for a legend.

    Parameters
    ----------
    policy
        Of the model.
    prevalence
        See `choose_triage`.

    Raises
    ------
    ConfigurationError
        If the prevalence lies outside 0 to 1.
    """
    bands, flag, point = policy.thresholds_at(prevalence), policy.flag_finding, policy.operating_point
    threshold = _number(point.threshold)
    over = (
        f"P({flag}) is at or above the threshold {threshold}, which reached specificity {point.specificity:.3f} on "
        f"{point.chosen_on}"
    )
    flag_band = "" if bands.fast_track is None else _number(bands.fast_track)
    normal_band = "" if bands.routine is None else _number(bands.routine)
    likeliest = "Normal is the most probable finding"
    return {
        "flag-in-band": f"P({flag}) is at or above the threshold {flag_band} of the fast-track band. At most "
        f"{_percent(bands.fast_track_share)} of such images are not {flag}.",
        "flag-below-band": f"{over}, but under the threshold {flag_band} of the fast-track band.",
        "flag-no-band": f"{over}, but no fast-track band can be promised.",
        "flag-most-likely": f"{flag} is the most probable finding, but P({flag}) is under the threshold {threshold}.",
        "other-finding": f"The most probable finding is neither {flag} nor Normal.",
        "other-opacity": "The most probable finding is an opacity of another kind, which the model does not name.",
        "normal-in-band": f"P(Normal) is at or above the threshold {normal_band} of the routine band. At most "
        f"{_percent(bands.routine_share)} of such images are not Normal. No finding is ruled out.",
        "normal-below-band": f"{likeliest}, but P(Normal) is under the threshold {normal_band} of the routine band.",
        "normal-no-band": f"{likeliest}, but no routine band can be promised.",
        "refused": "The image must not be judged: its note says why. Nothing is said about its findings.",
        "no-number": "The model gave no number. Nothing is said about the image's findings.",
    }


def promise_basis(policy: Policy, *, prevalence: float | None = None) -> str:
    """Return what the promises of `code_meanings` hold at, as a sentence; parameters as there."""
    bands, flag = policy.thresholds_at(prevalence), policy.flag_finding
    confidence = f"Promises hold with {_percent(bands.confidence)} confidence"
    if bands.stated:
        return f"{confidence} at the stated prevalence of {flag}, {_percent(bands.prevalence)}."
    if mix := mix_in_text(policy):
        return f"{confidence} where findings are as frequent as the model's recipe assumes: {mix}."
    return f"{confidence} at a prevalence of {flag} of {_percent(bands.prevalence)}, as in the calibration data."


def mix_in_text(policy: Policy) -> str | None:
    """Return how frequent each finding is assumed to be, as a list; None where the recipe states no mix."""
    if policy.bands.mix is None:
        return None
    shares = zip(policy.findings, policy.bands.mix, strict=True)
    return ", ".join(f"{finding} {_percent(share)}" for finding, share in shares)


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


def _triage_of_flag(probability: float, policy: Policy, bands: BandThresholds) -> Triage:
    flag, point = policy.flag_finding, policy.operating_point
    reached = (
        f"{_compared(flag, probability, point.threshold, bands.fast_track)}, which reached specificity "
        f"{point.specificity:.3f} on {point.chosen_on}"
    )
    basis = _basis(bands, flag)
    if bands.fast_track is None:
        return Triage("expedite", "flag-no-band", f"{reached}, but no fast-track band can be promised ({basis}).")
    below = f"but under the threshold {_number(bands.fast_track, probability)} of the fast-track band ({basis})"
    return Triage("expedite", "flag-below-band", f"{reached}, {below}.")


def _triage_of_finding(finding: str, probability: float, policy: Policy) -> Triage:
    why = "findings other than Normal are expedited"
    if finding == policy.flag_finding:
        threshold = policy.operating_point.threshold
        reason = (
            f"{finding} is the most probable finding (P = {_number(probability, threshold)}), but under the threshold "
            f"{_number(threshold, probability)}: {why}."
        )
        return Triage("expedite", "flag-most-likely", reason)
    shown = f"is the most probable finding (P = {_number(probability)}): {why}."
    if finding == OTHER_OPACITY:
        return Triage(
            "expedite", "other-opacity", f"An opacity of another kind, which the model does not name, {shown}"
        )
    return Triage("expedite", "other-finding", f"{finding} {shown}")


def _triage_of_normal(probability: float, bands: BandThresholds, flag: str) -> Triage:
    promise = f"at most {_percent(bands.routine_share)} are not Normal ({_basis(bands, flag)})"
    if bands.routine is None:
        reason = (
            f"Normal is the most probable finding (P = {_number(probability)}), but at no threshold can it be promised "
            f"that {promise}."
        )
        return Triage("secondary-review", "normal-no-band", reason)
    if probability >= bands.routine:
        reason = f"{_compared(NORMAL, probability, bands.routine)} of the routine band, where {promise}"
        return Triage("routine", "normal-in-band", f"{reason}; no finding is ruled out.")
    reason = (
        f"Normal is the most probable finding, but P(Normal) = {_number(probability, bands.routine)} is under the "
        f"threshold {_number(bands.routine, probability)} of the routine band, where {promise}."
    )
    return Triage("secondary-review", "normal-below-band", reason)


def _compared(finding: str, probability: float, threshold: float, other: float | None = None) -> str:
    """Return a clause that a threshold is reached; `other` is one that the probability will be set beside, too."""
    beside = (threshold,) if other is None else (threshold, other)
    return (
        f"P({finding}) = {_number(probability, *beside)} is at or above the threshold {_number(threshold, probability)}"
    )


def _basis(bands: BandThresholds, flag: str) -> str:
    """Return confidence and prevalence as a phrase."""
    confidence = f"{_percent(bands.confidence)} confidence"
    if math.isnan(bands.prevalence):
        return f"{confidence}, prevalence of {flag} unknown"
    return f"{confidence}, {'stated' if bands.stated else 'assumed'} prevalence of {flag} {_percent(bands.prevalence)}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _number(probability: float, *beside: float) -> str:
    """Return a probability with three decimals, or as many as it takes not to be shown as 1 or as one beside it."""
    decimals = 3
    distance = min((abs(probability - other) for other in (1.0, *beside) if other != probability), default=1.0)
    if distance < 0.01:
        decimals = max(decimals, min(12, 1 + math.ceil(-math.log10(distance))))
    return f"{probability:.{decimals}f}"
