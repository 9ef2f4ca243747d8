"""Triage: a finding with its probabilities becomes a priority with its reason.

This is the reading that the authors of the published baseline give of their own result: a COVID-19 call at high
specificity is fit to be fast-tracked (isolation, confirmatory test), while a Normal call must not be dismissed where
disease is frequent. A priority only orders the reading; it never removes a study and never says that disease is absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from carina.decisions.operating_point import OperatingPoint
from carina.findings import COVID_19, NORMAL
from carina.proportion import wilson_bounds

Priority = Literal["fast-track", "expedite", "secondary-review", "routine", "not-assessable"]

# Of the radiographs read as Normal, the share that may hold the finding of the operating point before all of them
# are sent to a second reading.
MAX_MISSED_SHARE = 0.01


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
    finding: str,
    probabilities: Mapping[str, float],
    operating_point: OperatingPoint,
    *,
    prevalence: float | None = None,
) -> Triage:
    """Return the priority of a radiograph that could be judged.

    Parameters
    ----------
    finding
        The most probable finding.
    probabilities
        Of every finding, summing to 1.
    operating_point
        Of the finding that is fast-tracked.
    prevalence
        The share of the operating point's finding among those who are radiographed, 0 to 1; by default that of the
        data the operating point was chosen on.
    """
    target = operating_point.finding
    probability = probabilities[target]
    if probability >= operating_point.threshold:
        seen = (
            f"P({target}) = {probability:.2f} is at or above the threshold {operating_point.threshold:.2f}, which "
            f"reached specificity {operating_point.specificity:.3f} on {operating_point.chosen_on}"
        )
        if target == COVID_19:
            return Triage("fast-track", f"{seen}: isolate as local rules say, and confirm by test.")
        return Triage("expedite", f"{seen}: read soon.")
    if finding not in (NORMAL, target):
        return Triage(
            "expedite",
            f"{finding} is the most probable finding (P = {probabilities[finding]:.2f}): read soon.",
        )
    if finding == target:
        return Triage(
            "expedite",
            f"{target} is the most probable finding (P = {probability:.2f}), but under the threshold "
            f"{operating_point.threshold:.2f}: read soon.",
        )
    return _triage_of_normal(operating_point, prevalence)


def _triage_of_normal(operating_point: OperatingPoint, prevalence: float | None) -> Triage:
    assumed = operating_point.positives / (operating_point.positives + operating_point.negatives)
    share = assumed if prevalence is None else prevalence
    missed = missed_share(operating_point, share)
    basis = f"at {'the assumed' if prevalence is None else 'a'} prevalence of {share:.1%}"
    expectation = f"{basis}, up to {missed:.1%} of radiographs below the threshold may hold {operating_point.finding}"
    # Without a stated prevalence nothing is called routine; a figure that is no number is not small.
    if prevalence is not None and missed <= MAX_MISSED_SHARE:
        return Triage("routine", f"Normal is the most probable finding; {expectation}. It is still to be read.")
    return Triage(
        "secondary-review", f"Normal is the most probable finding, but {expectation}: a second reading is due."
    )


def missed_share(operating_point: OperatingPoint, prevalence: float) -> float:
    """Return the share of radiographs below the threshold that may hold the finding: 1 - NPV at a prevalence.

    By Bayes' rule, from the lower 95 % Wilson bounds of sensitivity and specificity on the data that chose the
    operating point: three of three found is no proof that none is missed.
    """
    sensitivity, _ = wilson_bounds(operating_point.sensitivity, operating_point.positives)
    specificity, _ = wilson_bounds(operating_point.specificity, operating_point.negatives)
    missed = (1 - sensitivity) * prevalence
    cleared = specificity * (1 - prevalence)
    # A prevalence that is no number gives no number, which no comparison finds small.
    return missed / (missed + cleared) if missed + cleared != 0 else 0.0
