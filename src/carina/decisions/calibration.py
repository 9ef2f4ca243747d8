"""Calibration: logits become probabilities that can be taken at their word.

A network's softmax is usually too sure of itself, and a head trained with weights or costs for findings leans to one
side. One temperature for all logits cures the first; a scale and an offset for each finding cure both.

Source: Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599 (temperature and vector scaling).
"""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from carina.decisions.probabilities import softmax
from carina.errors import ConfigurationError

Method = Literal["none", "temperature", "vector"]

# Scale = 1 / temperature. Data without a single mistake would ask for an infinite scale, noise for none at all.
_SMALLEST_SCALE, _LARGEST_SCALE = 1e-3, 20.0
# Ridges, in units of one image's likelihood: a standard deviation of 1 for the scale, of a half for a finding's scale
# beside the common one, and of 1 for an offset. A dozen images bend them, a hundred overrule them.
_SCALE_RIDGE, _RATIO_RIDGE, _OFFSET_RIDGE = 1.0, 4.0, 1.0
# A finding's scale stays at least this share of the common one: its logit may count less, never the wrong way round.
_SMALLEST_RATIO = 0.25


class Calibration(BaseModel):
    """How logits are changed before the softmax.

    Attributes
    ----------
    method
        ``temperature``: one scale for all; ``vector``: a scale and an offset for each finding.
    scale, offset
        One number per finding, in the order of the logits: a logit becomes ``logit * scale + offset``.
    fitted_on
        The name of the data.
    images
        How many there were.
    nll_before, nll_after
        Mean negative log-likelihood on these images, without and with the calibration, in nats. Among the findings
        that they hold: images without a finding cannot say how often it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method
    scale: tuple[float, ...] = Field(min_length=1)
    offset: tuple[float, ...] = Field(min_length=1)
    fitted_on: str
    images: int = Field(ge=0)
    nll_before: float
    nll_after: float

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.scale) != len(self.offset):
            msg = f"scale has {len(self.scale)} numbers and offset {len(self.offset)}; both need one a finding"
            raise ValueError(msg)
        if not np.isfinite([*self.scale, *self.offset]).all() or min(self.scale) <= 0:
            msg = "every scale must be positive and every offset finite"
            raise ValueError(msg)
        return self

    @property
    def temperature(self) -> float:
        """Return the temperature: 1 / scale, over several scales their geometric mean."""
        return float(np.exp(-np.mean(np.log(self.scale))))


def calibrate(logits: NDArray[np.floating], calibration: Calibration) -> NDArray[np.float64]:
    """Return calibrated probabilities, float64 ``(n, k)``, each row summing to 1.

    Raises
    ------
    ConfigurationError
        If `logits`, ``(n, k)``, are not as many a row as the calibration has findings.
    """
    if logits.ndim != 2 or logits.shape[1] != len(calibration.scale):
        msg = (
            f"The calibration is for {len(calibration.scale)} findings; received logits of shape {logits.shape}. "
            "Use the calibration of the same model."
        )
        raise ConfigurationError(msg)
    return softmax(logits.astype(np.float64) * np.array(calibration.scale) + np.array(calibration.offset))


def fit_calibration(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    method: Method,
    *,
    fitted_on: str,
    groups: NDArray[np.integer] | None = None,
) -> Calibration:
    """Return the calibration that makes the labels most likely.

    The likelihood is held by ridges: the scale towards 1, and a finding's own scale and offset towards the common
    scale and 0, so that data without a mistake ask for no infinite certainty. All are convex, so that there is one
    answer, and it never has a larger negative log-likelihood than no calibration. A finding without an image is left
    out of the likelihood, and keeps the common scale and the offset 0; offsets of the others sum to 0.

    Parameters
    ----------
    logits
        float ``(n, k)``, finite; one column per finding.
    labels
        int ``(n,)``, range [0, k): the column of each image's true finding.
    method
        See `Calibration`.
    fitted_on
        The name of the data.
    groups
        int ``(n,)``: the patient of each image. Each patient counts as one, however many images there are.

    Raises
    ------
    ConfigurationError
        If there is no image, a logit is not a number, or shapes and labels do not fit together.
    """
    _check(logits, labels, groups, fitted_on)
    weights = _weights(len(labels), groups)
    present, truth = np.unique(labels, return_inverse=True)
    seen = logits[:, present].astype(np.float64)
    before = after = _mean_nll(seen, truth, weights)
    scale, offset = np.ones(logits.shape[1]), np.zeros(logits.shape[1])
    # Images of a single finding say nothing of how sure to be.
    if method != "none" and len(present) > 1:
        common = _fit_scale(seen, truth, weights)
        scale[:] = common
        if method == "vector":
            ratios, offset[present] = _fit_vector(common * seen, truth, weights)
            scale[present] *= ratios
        after = _mean_nll(seen * scale[present] + offset[present], truth, weights)
    return Calibration(
        method=method,
        scale=tuple(scale.tolist()),
        offset=tuple(offset.tolist()),
        fitted_on=fitted_on,
        images=len(labels),
        nll_before=before,
        nll_after=after,
    )


def _check(
    logits: NDArray[np.floating], labels: NDArray[np.integer], groups: NDArray[np.integer] | None, fitted_on: str
) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or (groups is not None and groups.shape != labels.shape):
        msg = (
            "A calibration needs logits (n, k), labels (n,) and, if any, groups (n,). Received: "
            f"{logits.shape}, {labels.shape}, {None if groups is None else groups.shape}."
        )
        raise ConfigurationError(msg)
    if not len(labels):
        msg = f"A calibration cannot be fitted on no image; {fitted_on} has none. Name a split that has some."
        raise ConfigurationError(msg)
    if not np.isfinite(logits).all():
        wrong = int((~np.isfinite(logits).all(axis=1)).sum())
        msg = f"{wrong} of {len(labels)} images of {fitted_on} have a logit that is no finite number. Train again."
        raise ConfigurationError(msg)
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        msg = f"Labels must lie in 0 to {logits.shape[1] - 1}. Received: {labels.min()} to {labels.max()}."
        raise ConfigurationError(msg)


def _weights(images: int, groups: NDArray[np.integer] | None) -> NDArray[np.float64]:
    if groups is None:
        return np.ones(images)
    _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(1 / sizes[place])


def _mean_nll(logits: NDArray[np.float64], truth: NDArray[np.integer], weights: NDArray[np.float64]) -> float:
    return float(weights @ _nll(logits, truth) / weights.sum())


def _nll(logits: NDArray[np.float64], truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return -log softmax at the true finding, float64 ``(n,)``; finite where the probability itself would be 0."""
    top = logits.max(axis=1)
    total = np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return np.asarray(total + (top - logits[np.arange(len(truth)), truth]))


def _fit_scale(logits: NDArray[np.float64], truth: NDArray[np.integer], weights: NDArray[np.float64]) -> float:
    """Return the scale at which the slope of the convex loss changes sign, or the border that it lies beyond."""
    from scipy.optimize import brentq  # noqa: PLC0415  # predicting needs no optimiser, and starts faster without

    true_logits = logits[np.arange(len(truth)), truth]

    def slope(log_scale: float) -> float:
        scale = float(np.exp(log_scale))
        expected = (softmax(scale * logits) * logits).sum(axis=1)
        return float(weights @ (expected - true_logits)) + _SCALE_RIDGE * (scale - 1)

    # Sought on the logarithmic scale, since logits come in any size.
    low, high = float(np.log(_SMALLEST_SCALE)), float(np.log(_LARGEST_SCALE))
    if slope(low) >= 0 or slope(high) <= 0:
        return _SMALLEST_SCALE if slope(low) >= 0 else _LARGEST_SCALE
    log_scale = float(brentq(slope, low, high, xtol=1e-12))
    return float(np.exp(log_scale))


def _fit_vector(
    logits: NDArray[np.float64], truth: NDArray[np.integer], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a ratio and an offset for each finding, sought from ratio 1 and offset 0."""
    from scipy.optimize import minimize  # noqa: PLC0415  # as above

    images, findings = logits.shape
    start = np.concatenate([np.ones(findings), np.zeros(findings)])
    ridge = np.repeat([_RATIO_RIDGE, _OFFSET_RIDGE], findings)
    observed = np.zeros((images, findings))
    observed[np.arange(images), truth] = 1

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        moved = logits * at[:findings] + at[findings:]
        error = weights[:, None] * (softmax(moved) - observed)
        gradient = np.concatenate([(error * logits).sum(axis=0), error.sum(axis=0)]) + ridge * (at - start)
        return float(weights @ _nll(moved, truth) + ridge @ (at - start) ** 2 / 2), gradient

    def curvature(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return _curvature(logits, softmax(logits * at[:findings] + at[findings:]), weights) + np.diag(ridge)

    at = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-9}).x
    # On the straight line back to the start a convex loss never exceeds the start's.
    lowest = float(at[:findings].min())
    if lowest < _SMALLEST_RATIO:
        at = start + (at - start) * (1 - _SMALLEST_RATIO) / (1 - lowest)
    return at[:findings], at[findings:]


def _curvature(
    logits: NDArray[np.float64], probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the second derivatives of the likelihood by ratios and offsets, float64 ``(2 k, 2 k)``."""
    # Of one image with p: (diag(p) - p pᵀ), times the logit once for each ratio.
    slopes = np.concatenate([probabilities * logits, probabilities], axis=1)
    outer = slopes.T @ (weights[:, None] * slopes)
    weighted = weights[:, None] * probabilities
    ratios, mixed, offsets = (np.diag((weighted * logits**power).sum(axis=0)) for power in (2, 1, 0))
    return np.asarray(np.block([[ratios, mixed], [mixed, offsets]]) - outer)
