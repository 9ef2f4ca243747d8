"""Operating points: a threshold with the rule and the data that chose it, and what it reached there."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from carina.errors import ConfigurationError

# A target of 0.55 is met by 55 of 100, though 0.55 has no exact float.
_ROUNDING = 1e-12

Rule = Literal["specificity-at-least", "sensitivity-at-least"]


class OperatingPointRule(BaseModel):
    """How a threshold is to be chosen.

    Attributes
    ----------
    finding
        The finding that is called present where its probability is at or above the threshold.
    rule
        What must hold on the data that it is chosen on; the other figure is then made as high as it can be.
    target
        The figure that must be reached, 0 to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    finding: str
    rule: Rule
    target: float = Field(gt=0, lt=1)


class OperatingPoint(BaseModel):
    """A threshold with where it comes from.

    Attributes
    ----------
    finding
        Called present where its probability is ``>=`` the threshold.
    rule, target
        What was asked for; see `OperatingPointRule`.
    threshold
        A probability, 0 to 1.
    chosen_on
        The data that chose it, in words.
    positives, true_positives, negatives, true_negatives
        Counts on that data: sensitivity and specificity with all that an interval needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    finding: str
    rule: Rule
    target: float
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


def choose_operating_point(
    present: NDArray[np.bool_], probability: NDArray[np.floating], rule: OperatingPointRule, *, chosen_on: str
) -> OperatingPoint:
    """Return the threshold that meets the rule and makes the other figure as high as it can be.

    Parameters
    ----------
    present
        bool ``(n,)``: whether the finding is present.
    probability
        float ``(n,)``, range [0, 1]: its probability.
    rule
        What must hold.
    chosen_on
        The data, in words, kept with the threshold.

    Raises
    ------
    ConfigurationError
        If there is no positive or no negative image to choose on.
    """
    positives, negatives = int(present.sum()), int((~present).sum())
    if not positives or not negatives:
        msg = (
            f"An operating point for {rule.finding} needs images with and without it to be chosen on; {chosen_on} has "
            f"{positives} with and {negatives} without. Name another finding in the recipe's operating_point."
        )
        raise ConfigurationError(msg)
    # Candidates: every probability seen; above the largest nothing is called present.
    candidates = np.append(np.unique(probability), np.nextafter(probability.max(), np.inf))
    true_positives = positives - np.searchsorted(np.sort(probability[present]), candidates, side="left")
    true_negatives = np.searchsorted(np.sort(probability[~present]), candidates, side="left")
    # Sensitivity falls and specificity rises along the candidates.
    if rule.rule == "specificity-at-least":
        best = int(np.flatnonzero(true_negatives / negatives >= rule.target - _ROUNDING)[0])
    else:
        best = int(np.flatnonzero(true_positives / positives >= rule.target - _ROUNDING)[-1])
    return OperatingPoint(
        finding=rule.finding,
        rule=rule.rule,
        target=rule.target,
        threshold=_between(candidates, best),
        chosen_on=chosen_on,
        positives=positives,
        true_positives=int(true_positives[best]),
        negatives=negatives,
        true_negatives=int(true_negatives[best]),
    )


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
