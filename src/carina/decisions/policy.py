"""A model's policy: from logits to calibrated probabilities, operating points and triage bands, as fitted together."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from carina.decisions.band_fitting import choose_fitting_part, fit_bands
from carina.decisions.bands import Bands, BandThresholds, is_mix
from carina.decisions.calibration import Calibration, Method, calibrate, fit_calibration
from carina.decisions.operating_point import (
    OperatingPoint,
    OperatingPointRule,
    ThresholdRule,
    choose_operating_point,
)
from carina.errors import ConfigurationError

# Shown beside the shipped operating point, whatever it is.
_ALWAYS = (ThresholdRule(rule="youden"), ThresholdRule(rule="sensitivity-at-least", target=0.95))


class PolicySettings(BaseModel):
    """How logits are to become decisions: a recipe's table `[decisions]`.

    Attributes
    ----------
    calibration
        How logits become calibrated probabilities: not at all, by one temperature, or by a scale and an offset for
        each finding (``vector``).
    extra_operating_points
        Thresholds of the flagged finding that are kept beside the shipped one and those that always are.
    alpha
        The largest share of radiographs in the routine band that is not Normal.
    beta
        The largest share of radiographs in the fast-track band without the flagged finding.
    confidence
        The confidence with which each of these two promises holds.
    mix
        The share of each finding among those who are radiographed, summing to 1: the promises are made for this mix.
        By default it is that of the calibration data. State it where these are no hospital's mix, because data sets
        were added for the sake of their findings, for example.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    calibration: Method = "vector"
    extra_operating_points: tuple[ThresholdRule, ...] = ()
    alpha: float = Field(default=0.02, gt=0, lt=1)
    beta: float = Field(default=0.05, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    mix: dict[str, float] | None = None

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        if self.mix is not None and not is_mix(self.mix.values()):
            msg = f"mix needs shares between 0 and 1 that sum to 1. Received: {self.mix}."
            raise ValueError(msg)
        return self


class Policy(BaseModel):
    """Everything between a model's logits and a decision.

    Attributes
    ----------
    findings
        In the order of the logits.
    flag_finding
        The finding of the operating points, which is fast-tracked.
    calibration
        How logits become probabilities. Fitted on the fitting third of the calibration data.
    operating_points
        The first is the shipped one. Chosen on all of the calibration data.
    bands
        Ordered on the fitting third, and tested on the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    findings: tuple[str, ...] = Field(min_length=2)
    flag_finding: str
    calibration: Calibration
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)
    bands: Bands

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.calibration.scale) != len(self.findings) or self.bands.findings != self.findings:
            msg = f"calibration and bands must be for the findings {', '.join(self.findings)}"
            raise ValueError(msg)
        if {self.bands.flag_finding, *(point.finding for point in self.operating_points)} != {self.flag_finding}:
            msg = f"operating points and bands must be for {self.flag_finding}"
            raise ValueError(msg)
        return self

    @property
    def operating_point(self) -> OperatingPoint:
        """Return the shipped operating point."""
        return self.operating_points[0]

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return calibrated probabilities, float64 ``(n, k)``, of logits ``(n, k)``.

        Raises
        ------
        ConfigurationError
            If the logits are not as many a row as there are findings.
        """
        return calibrate(logits, self.calibration)

    def thresholds_at(self, prevalence: float | None = None) -> BandThresholds:
        """Return the bands at a prevalence of the flagged finding, 0 to 1; by default see `Bands.thresholds_at`.

        The routine band begins where no radiograph can be flagged: a radiograph at or above the operating point is
        expedited however probable Normal is, and the promise is for all that lie beyond the band's threshold.

        Raises
        ------
        ConfigurationError
            If the prevalence lies outside 0 to 1.
        """
        return self.bands.thresholds_at(prevalence, routine_above=1 - self.operating_point.threshold)


def fit_policy(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    findings: Sequence[str],
    rule: OperatingPointRule,
    settings: PolicySettings,
    *,
    chosen_on: str,
    groups: NDArray[np.integer] | None = None,
) -> Policy:
    """Return the policy that calibration data give.

    The calibration map is fitted on a third of the patients, and the bands are tested on the others, so that their
    promise does not rest on probabilities that saw the images it is tested on. Operating points promise nothing
    beyond their own data, and use all of it.

    Parameters
    ----------
    logits
        float ``(n, k)``, finite.
    labels
        int ``(n,)``, range [0, k): the column of each image's true finding.
    findings
        Names of the columns.
    rule
        Of the shipped operating point. Its finding is the one that is fast-tracked.
    settings
        Everything else that may be chosen.
    chosen_on
        The name of the data.
    groups
        int ``(n,)``: the patient of each image; by default each image is a patient of its own.

    Raises
    ------
    ConfigurationError
        If the rule's finding is Normal or unknown, no image has or lacks it, there is no image, or a logit is not
        finite.
    """
    if logits.ndim != 2 or logits.shape[1] != len(findings):
        msg = f"Logits need a column for each of {', '.join(findings)}. Received: shape {logits.shape}."
        raise ConfigurationError(msg)
    flag = rule.finding
    if flag not in findings:
        msg = f"The operating point is for {flag!r}. Name one of: {', '.join(findings)}."
        raise ConfigurationError(msg)
    fitting = choose_fitting_part(labels, groups)
    calibration = fit_calibration(
        logits[fitting],
        labels[fitting],
        settings.calibration,
        fitted_on=f"{chosen_on} (fitting third)",
        groups=None if groups is None else groups[fitting],
    )
    probabilities = calibrate(logits, calibration)
    column = list(findings).index(flag)
    extra = (
        OperatingPointRule(finding=flag, **wanted.model_dump())
        for wanted in (*settings.extra_operating_points, *_ALWAYS)
    )
    points = tuple(
        choose_operating_point(labels == column, probabilities[:, column], wanted, chosen_on=chosen_on)
        for wanted in dict.fromkeys((rule, *extra))
    )
    bands = fit_bands(
        probabilities,
        labels,
        findings,
        flag,
        fitting=fitting,
        chosen_on=chosen_on,
        alpha=settings.alpha,
        beta=settings.beta,
        confidence=settings.confidence,
        groups=groups,
        mix=settings.mix,
    )
    return Policy(
        findings=tuple(findings), flag_finding=flag, calibration=calibration, operating_points=points, bands=bands
    )
