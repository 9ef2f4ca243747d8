"""Decision curve: whether acting on a finding's probability is worth more than acting on all, or on nobody.

Whoever acts at a *threshold probability* t says that a missed finding is worse than a needless action by the odds
(1 - t) / t. The *net benefit* counts found images less needless actions at that price, per image:

    net benefit = prevalence × sensitivity − (1 − prevalence) × (1 − specificity) × t / (1 − t)

Acting on nobody has 0, acting on all has the same with sensitivity 1 and specificity 0, and the best possible is the
prevalence.

Source: Vickers and Elkin 2006, doi:10.1177/0272989X06295361.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carina.errors import ConfigurationError
from carina.statistics.curves import checked_scores, missing_side
from carina.statistics.intervals import BoolArray, FloatArray, IntArray
from carina.statistics.resampling import wilson_along
from carina.statistics.threshold_counts import ThresholdCounts, count_at_thresholds

THRESHOLDS = (0.001, 0.002, 0.005, *(percent / 100 for percent in range(1, 100)))


@dataclass(frozen=True, slots=True, eq=False)
class NetBenefit:
    """Net benefit of one way to act, with pointwise intervals.

    Parameters
    ----------
    value, low, high
        float64 (t,), per image, at most the prevalence.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class DecisionCurve:
    """Net benefit over threshold probabilities.

    Parameters
    ----------
    finding
        Its name.
    note
        Why there is no curve, or None. All arrays are empty where there is a note.
    prevalence
        That the net benefit is for, and whether it was stated or is that of the set.
    stated
        Whether the prevalence was stated.
    thresholds
        float64 (t,), threshold probabilities, rising, strictly between 0 and 1.
    model
        Acting where the probability is ``>=`` the threshold probability.
    flag
        Acting on every flagged image, ``>=`` the operating point whatever the threshold probability; None without one.
    treat_all
        float64 (t,). No interval: it is arithmetic of the prevalence.
    """

    finding: str
    note: str | None
    prevalence: float
    stated: bool
    thresholds: FloatArray
    model: NetBenefit
    flag: NetBenefit | None
    treat_all: FloatArray

    @property
    def better(self) -> BoolArray:
        """Where the whole interval of the model lies above both acting on all and acting on nobody: bool (t,)."""
        return np.asarray(self.model.low > np.maximum(self.treat_all, 0.0))


def decision_curve(
    finding: str,
    positive: BoolArray,
    probability: FloatArray,
    groups: IntArray | None = None,
    *,
    prevalence: float | None = None,
    calibrated_at: float | None = None,
    operating_point: float | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> DecisionCurve:
    """Return the net benefit of acting on a finding's probability, at a prevalence that is taken as known.

    The net benefit is a weighted difference of two proportions on different images, sensitivity and false positive
    rate. Its interval joins their Wilson intervals (at their design effects where patients have several images) by
    the method of variance estimates recovery, so that it has a width where nothing or everything is found. Where
    patients have images with and without the finding, what these share is left out, which widens it.

    Source: Zou and Donner 2008, doi:10.1002/sim.3095 (MOVER); moving probabilities to another prevalence: Saerens,
    Latinne and Decaestecker 2002, doi:10.1162/089976602753284446.

    Parameters
    ----------
    finding
        Its name, carried into the result.
    positive
        bool (n,), whether the image shows the finding.
    probability
        float (n,), its calibrated probability, range [0, 1].
    groups
        int (n,) patient or duplicate group ids, or None.
    prevalence
        Where the model is to be used, strictly between 0 and 1; by default that of the set.
    calibrated_at
        The prevalence of the data that the probabilities were calibrated on. Where given, each probability is moved
        from it to `prevalence` by Bayes' rule before it is compared, as by a user who knows both. By default
        probabilities are taken as the model gives them.
    operating_point
        The shipped threshold of the probability as the model gives it, for `DecisionCurve.flag`.
    thresholds
        Threshold probabilities, strictly between 0 and 1.

    Raises
    ------
    DataError
        If the lengths differ or a probability is NaN.
    ConfigurationError
        If a prevalence or a threshold probability does not lie strictly between 0 and 1.
    """
    positive, probability = checked_scores(positive, probability)
    at = np.unique(np.asarray(thresholds, dtype=np.float64))
    shares = {"prevalence": prevalence, "calibrated_at": calibrated_at}
    for name, share in (*shares.items(), *(("threshold probability", value) for value in at)):
        if share is not None and not 0 < share < 1:
            msg = f"The {name} is {share}. Give a number strictly between 0 and 1, such as 0.05."
            raise ConfigurationError(msg)
    used = prevalence if prevalence is not None else float(positive.mean()) if len(positive) else 0.0
    stated = prevalence is not None
    if note := missing_side(positive):
        nothing = np.zeros(0)
        return DecisionCurve(finding, note, used, stated, nothing, NetBenefit(nothing, nothing, nothing), None, nothing)
    # A probability p moved by Bayes' rule reaches t where p itself reaches t moved back.
    compared = at if calibrated_at is None else _moved(at, used, calibrated_at)
    price = at / (1 - at)
    model = _net_benefit(count_at_thresholds(positive, probability, compared, groups), used, price)
    flag = None
    if operating_point is not None:
        counts = count_at_thresholds(positive, probability, np.full(len(at), operating_point), groups)
        flag = _net_benefit(counts, used, price)
    return DecisionCurve(finding, None, used, stated, at, model, flag, used - (1 - used) * price)


def _moved(probability: FloatArray, start: float, end: float) -> FloatArray:
    """Return probabilities moved from one prevalence to another by Bayes' rule."""
    odds = probability / (1 - probability) * (end / (1 - end)) / (start / (1 - start))
    return np.asarray(odds / (1 + odds))


def _net_benefit(counts: ThresholdCounts, prevalence: float, price: FloatArray) -> NetBenefit:
    gain, loss = prevalence, (1 - prevalence) * price
    found, alarm = counts.true_positive / counts.positives, counts.false_positive / counts.negatives
    found_low, found_high = wilson_along(found, counts.positives / counts.sensitivity_effect)
    alarm_low, alarm_high = wilson_along(alarm, counts.negatives / counts.specificity_effect)
    value = gain * found - loss * alarm
    return NetBenefit(
        value,
        value - np.hypot(gain * (found - found_low), loss * (alarm_high - alarm)),
        value + np.hypot(gain * (found_high - found), loss * (alarm - alarm_low)),
    )
