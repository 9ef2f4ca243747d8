"""Calibration slope and intercept: by what a finding's logits must be multiplied, and moved, to mean what they say."""

import math

import numpy as np
from scipy.optimize import brentq, root

from carina.statistics.curves import missing_side
from carina.statistics.intervals import BoolArray, Estimate, FloatArray, IntArray, group_codes, not_applicable
from carina.statistics.proportion import normal_quantile

# Farther from 0 and 1 than the last digit of a double near 1, so that a probability of exactly 0 or 1 has a logit.
_NEAREST_TO_CERTAIN = 1e-12


def recalibration(
    positive: BoolArray, probability: FloatArray, groups: IntArray | None = None
) -> tuple[Estimate, Estimate]:
    """Return calibration intercept and slope of one finding against the rest.

    The slope b is that of the logistic regression a + b logit(p), and the intercept that with b held at 1
    (calibration in the large). Variances are the sandwich's, by patient, and never less than the model's.
    Probabilities nearer to 0 or 1 than 1e-12 are taken to be as near as that.

    Source: Cox 1958, doi:10.1093/biomet/45.3-4.562; Van Calster et al. 2019, doi:10.1186/s12916-019-1466-7;
    White 1982, doi:10.2307/1912526.

    Parameters
    ----------
    positive
        bool (n,), whether the image shows the finding.
    probability
        float (n,), range [0, 1].
    groups
        int (n,) patient or duplicate group ids, or None.
    """
    if missing := missing_side(positive):
        return not_applicable(missing), not_applicable(missing)
    clipped = np.clip(probability, _NEAREST_TO_CERTAIN, 1 - _NEAREST_TO_CERTAIN)
    moved = int((clipped != probability).sum())
    if moved == len(probability):
        return (not_applicable("every probability is 0 or 1"),) * 2
    note = f"{moved} probabilities nearer to 0 or 1 than 1e-12 are taken as 1e-12 from it" if moved else None
    logit = np.log(clipped) - np.log1p(-clipped)
    truth = positive.astype(np.float64)
    codes = group_codes(groups, len(truth))
    ones = np.ones((len(truth), 1))
    added = _fit_intercept(truth, logit)
    intercept = _wald(added, _variance(ones, truth, added + logit, codes), codes, note)
    if np.ptp(logit) < 1e-9:
        return intercept, not_applicable("all images have the same probability")
    with_finding, without = logit[positive], logit[~positive]
    if without.max() <= with_finding.min() or with_finding.max() <= without.min():
        return intercept, not_applicable("the probabilities part the finding from the rest completely: no finite slope")
    # Scaled, so that the two columns are of one size; the slope is scaled back.
    middle, scale = float(logit.mean()), float(logit.std())
    design = np.column_stack([ones[:, 0], (logit - middle) / scale])
    fitted = _fit_logistic(design, truth)
    if fitted is None:
        return intercept, not_applicable("the logistic regression did not converge")
    variance = _variance(design, truth, design @ fitted, codes)
    slope = None if variance is None else variance / scale**2
    return intercept, _wald(float(fitted[1]) / scale, slope, codes, note)


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _fit_intercept(truth: FloatArray, logit: FloatArray) -> float:
    """Return the a at which the mean of sigmoid(a + logit) is that of the truth; both findings occur."""
    share = float(truth.mean())
    centre = math.log(share / (1 - share))

    def gap(value: float) -> float:
        return float((_sigmoid(value + logit) - truth).sum())

    # The mean is too low at one end and too high at the other. A little more, since there it may be equal.
    low, high = centre - float(logit.max()) - 1, centre - float(logit.min()) + 1
    return float(brentq(gap, low, high, xtol=1e-12))


def _fit_logistic(design: FloatArray, truth: FloatArray) -> FloatArray | None:
    """Return the coefficients of a logistic regression or None where they do not settle."""

    def score(weights: FloatArray) -> FloatArray:
        return np.asarray(design.T @ (truth - _sigmoid(design @ weights)))

    start = np.zeros(design.shape[1])
    found = root(score, start, jac=lambda weights: -_information(design, design @ weights), tol=1e-12)
    return np.asarray(found.x) if float(np.abs(found.fun).max()) < 1e-9 * len(truth) else None


def _information(design: FloatArray, x: FloatArray) -> FloatArray:
    probability = _sigmoid(x)
    return np.asarray(design.T @ (design * (probability * (1 - probability))[:, None]))


def _variance(design: FloatArray, truth: FloatArray, x: FloatArray, codes: IntArray | None) -> float | None:
    """Return the variance of the last coefficient; None where a single patient shows no spread.

    The sandwich's, but never less than the model's, inflated as the sandwich is by the patients' several images.
    """
    n = len(truth)
    if n < 2 or (codes is not None and codes.max() == 0):
        return None
    inverse = np.linalg.inv(_information(design, x))
    influence = (design * (truth - _sigmoid(x))[:, None]) @ inverse[:, -1]
    robust = n / (n - 1) * float(influence @ influence)
    model = float(inverse[-1, -1])
    if codes is None:
        return max(robust, model)
    by_patient, count = np.bincount(codes, weights=influence), int(codes.max()) + 1
    clustered = count / (count - 1) * float(by_patient @ by_patient)
    return max(clustered, model * max(1.0, clustered / robust))


def _wald(value: float, variance: float | None, codes: IntArray | None, note: str | None) -> Estimate:
    """Return a coefficient with its normal interval."""
    if variance is None:
        return Estimate(value, None, None, "none", note="a single patient, so the data show no spread")
    half = normal_quantile() * math.sqrt(variance)
    method = "sandwich" if codes is None else "sandwich (by patient)"
    return Estimate(value, value - half, value + half, method, note=note)
