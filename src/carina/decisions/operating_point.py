"""Operating points: a threshold with the rule and the data that chose it, and what it reached there."""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from carina.errors import ConfigurationError
from carina.statistics.proportion import wilson_bounds

# A target of 0.55 is met by 55 of 100, though 0.55 has no exact float.
_ROUNDING = 1e-12

Rule = Literal["specificity-at-least", "sensitivity-at-least", "youden", "lowest-expected-cost"]

_NEEDS: dict[Rule, tuple[str, ...]] = {
    "specificity-at-least": ("target",),
    "sensitivity-at-least": ("target",),
    "youden": (),
    "lowest-expected-cost": ("prevalence", "cost_missed", "cost_false_alarm"),
}


class ThresholdRule(BaseModel):
    """How a threshold is to be chosen, whatever the finding.

    Attributes
    ----------
    rule
        ``specificity-at-least``, ``sensitivity-at-least``: the figure named reaches the target on the data that the
        threshold is chosen on, and the other is made as high as it can be. ``youden``: the sum of both is made as
        high as it can be (Youden 1950, doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3).
        ``lowest-expected-cost``: what mistakes cost, at a prevalence, is made as low as it can be.
    target
        The figure that must be reached, 0 to 1. For the two at-least rules only.
    prevalence
        The share of patients that has the finding, 0 to 1. For ``lowest-expected-cost`` only.
    cost_missed, cost_false_alarm
        What a missed finding and a false alarm cost, in one unit. For ``lowest-expected-cost`` only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Rule
    target: float | None = Field(default=None, gt=0, lt=1)
    prevalence: float | None = Field(default=None, gt=0, lt=1)
    cost_missed: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    cost_false_alarm: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        needed = _NEEDS[self.rule]
        for name in ("target", "prevalence", "cost_missed", "cost_false_alarm"):
            if name in needed and getattr(self, name) is None:
                msg = f"rule {self.rule} needs {name}"
                raise ValueError(msg)
            if name not in needed and getattr(self, name) is not None:
                msg = f"{name} does not belong to rule {self.rule}: take it away"
                raise ValueError(msg)
        return self

    def in_words(self) -> str:
        """Return the rule with its figures, such as ``specificity-at-least 0.98``."""
        if self.rule == "lowest-expected-cost":
            return (
                f"{self.rule} (prevalence {self.prevalence:g}, cost {self.cost_missed:g} missed, "
                f"{self.cost_false_alarm:g} false alarm)"
            )
        return self.rule if self.target is None else f"{self.rule} {self.target:g}"


class OperatingPointRule(ThresholdRule):
    """How the threshold of a finding is to be chosen; the other attributes are those of `ThresholdRule`.

    Attributes
    ----------
    finding
        The finding that is called present where its probability is at or above the threshold.
    """

    finding: str


class OperatingPoint(OperatingPointRule):
    """A threshold with where it comes from; the other attributes are those of the rule that was asked for.

    Attributes
    ----------
    threshold
        A probability, 0 to 1. The finding is called present where its probability is ``>=`` the threshold.
    chosen_on
        The name of the data that chose it.
    positives, true_positives, negatives, true_negatives
        Counts on that data: sensitivity and specificity with all that an interval needs.
    """

    threshold: float
    chosen_on: str
    positives: int
    true_positives: int
    negatives: int
    true_negatives: int

    @property
    def sensitivity(self) -> float:
        """Return the share of positives at or above the threshold, on the data that chose it."""
        return self.true_positives / self.positives

    @property
    def specificity(self) -> float:
        """Return the share of negatives below the threshold, on the data that chose it."""
        return self.true_negatives / self.negatives

    @property
    def is_trivial(self) -> bool:
        """Return whether it calls every image of that data, or no positive one: such a rule was met by not choosing."""
        return self.true_positives == 0 or self.true_negatives == 0

    def sensitivity_bounds(self) -> tuple[float, float]:
        """Return 95 % Wilson bounds of the sensitivity; images count as independent."""
        return wilson_bounds(self.sensitivity, self.positives)

    def specificity_bounds(self) -> tuple[float, float]:
        """Return 95 % Wilson bounds of the specificity; images count as independent."""
        return wilson_bounds(self.specificity, self.negatives)


def choose_operating_point(
    present: NDArray[np.bool_], probability: NDArray[np.floating], rule: OperatingPointRule, *, chosen_on: str
) -> OperatingPoint:
    """Return the threshold that does what the rule asks for.

    Among thresholds that do it equally well, an at-least rule takes the one that makes the other figure as high as it
    can be, and the other two rules the lowest, which misses fewest. An at-least rule can always be met: by calling
    nothing, or everything. The counts then say so, and `OperatingPoint.is_trivial`.

    Parameters
    ----------
    present
        bool ``(n,)``: whether the finding is present.
    probability
        float ``(n,)``, range [0, 1]: its probability.
    rule
        What must hold.
    chosen_on
        The name of the data, kept with the threshold.

    Raises
    ------
    ConfigurationError
        If there is no positive or no negative image to choose on.
    """
    positives, negatives = int(present.sum()), int((~present).sum())
    if not positives or not negatives:
        msg = (
            f"An operating point for {rule.finding} needs images with and without it to be chosen on; {chosen_on} has "
            f"{positives} with and {negatives} without. Add the images that are missing."
        )
        raise ConfigurationError(msg)
    # Candidates: every probability seen; above the largest nothing is called present.
    candidates = np.append(np.unique(probability), np.nextafter(probability.max(), np.inf))
    true_positives = positives - np.searchsorted(np.sort(probability[present]), candidates, side="left")
    true_negatives = np.searchsorted(np.sort(probability[~present]), candidates, side="left")
    best = _best(true_positives, positives, true_negatives, negatives, rule)
    return OperatingPoint(
        **rule.model_dump(include=set(OperatingPointRule.model_fields)),
        threshold=_between(candidates, best),
        chosen_on=chosen_on,
        positives=positives,
        true_positives=int(true_positives[best]),
        negatives=negatives,
        true_negatives=int(true_negatives[best]),
    )


def _best(
    true_positives: NDArray[np.integer],
    positives: int,
    true_negatives: NDArray[np.integer],
    negatives: int,
    rule: ThresholdRule,
) -> int:
    """Return the place of the candidate that the rule asks for; sensitivity falls, specificity rises along them."""
    if rule.rule == "specificity-at-least" and rule.target is not None:
        return int(np.flatnonzero(true_negatives / negatives >= rule.target - _ROUNDING)[0])
    if rule.rule == "sensitivity-at-least" and rule.target is not None:
        return int(np.flatnonzero(true_positives / positives >= rule.target - _ROUNDING)[-1])
    # Youden's J is an expected cost, too: one at which both kinds of image weigh the same.
    missed_cost = false_alarm_cost = 1.0
    if rule.prevalence is not None and rule.cost_missed is not None and rule.cost_false_alarm is not None:
        missed_cost = rule.prevalence * rule.cost_missed
        false_alarm_cost = (1 - rule.prevalence) * rule.cost_false_alarm
    cost = missed_cost * (1 - true_positives / positives) + false_alarm_cost * (1 - true_negatives / negatives)
    return int(np.flatnonzero(cost <= cost.min() + _ROUNDING * (missed_cost + false_alarm_cost))[0])


def _between(candidates: NDArray[np.floating], best: int) -> float:
    """Return the middle between a candidate and the next lower one (zero below the lowest).

    A threshold that equals an image's probability would flip with the last digit of another processor.
    """
    if best == 0:
        # Everything is called present; half the lowest probability leaves room on both sides.
        return float(candidates[0]) / 2
    lower, upper = float(candidates[best - 1]), float(candidates[best])
    middle = (lower + upper) / 2
    # Neighbouring floats have no middle: it would round to the lower one, which must not be called.
    return middle if middle > lower else upper
