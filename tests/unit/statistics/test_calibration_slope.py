"""Slope and intercept against statsmodels, on distorted logits, and where they do not exist."""

import math

import numpy as np
import pytest
import statsmodels.api as sm

from carina.statistics.calibration_measures import measure_calibration
from carina.statistics.calibration_slope import recalibration
from unit.statistics.drawn import drawn_table


@pytest.mark.parametrize("seed", range(4))
def test_slope_and_intercept_are_those_of_a_logistic_regression(seed: int) -> None:
    truth, table = drawn_table(300, seed, sharpness=(0.5, 1, 2, 3)[seed])
    positive, p = truth == 0, table[:, 0]
    logit = np.log(p / (1 - p))
    intercept, slope = recalibration(positive, p)
    free = sm.Logit(positive, sm.add_constant(logit)).fit(disp=0)
    fixed = sm.GLM(positive, np.ones(300), sm.families.Binomial(), offset=logit).fit()
    assert slope.value == pytest.approx(free.params[1], rel=1e-6)
    assert intercept.value == pytest.approx(fixed.params[0], abs=1e-6)
    for got, theirs, robust in (
        (slope, free, sm.Logit(positive, sm.add_constant(logit)).fit(disp=0, cov_type="HC0")),
        (intercept, fixed, sm.GLM(positive, np.ones(300), sm.families.Binomial(), offset=logit).fit(cov_type="HC0")),
    ):
        error = max(theirs.bse[-1], robust.bse[-1] * math.sqrt(300 / 299))
        assert (got.high - got.low) / 2 == pytest.approx(1.959964 * error, rel=1e-4)


@pytest.mark.parametrize("sharpness", [0.4, 3.0])
def test_the_sandwich_by_patient_is_that_of_statsmodels(sharpness: float) -> None:
    # Some images of a patient share the truth; the second image's probability is another's.
    truth, table = drawn_table(200, 3, sharpness)
    groups = np.arange(200) // 2
    truth[1::2] = np.where(np.arange(100) % 3 > 0, truth[::2], truth[1::2])
    p = table[:, 1]
    logit = np.log(p / (1 - p))
    model = sm.Logit(truth == 1, sm.add_constant(logit))
    clustered = model.fit(disp=0, cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}).bse[1] ** 2
    robust, plain = model.fit(disp=0, cov_type="HC0").bse[1] ** 2 * 200 / 199, model.fit(disp=0).bse[1] ** 2
    clustered *= 100 / 99
    _, slope = recalibration(truth == 1, p, groups)
    expected = max(clustered, plain * max(1, clustered / robust))
    assert (slope.high - slope.low) / 2 == pytest.approx(1.959964 * math.sqrt(expected), rel=1e-4)
    assert slope.method == "sandwich (by patient)"


@pytest.mark.parametrize(("sharpness", "slope"), [(0.5, 2.0), (1.0, 1.0), (2.0, 0.5)])
def test_a_distortion_of_the_logits_comes_back_as_the_slope(sharpness: float, slope: float) -> None:
    # Two findings, so that one-vs-rest logits are those that were drawn from.
    truth, table = drawn_table(20_000, 5, sharpness, k=2)
    item = measure_calibration(truth, table, "ab", replicates=2).per_finding[0]
    assert item.slope.value == pytest.approx(slope, rel=0.04)
    p = table[:, 0]
    shifted = 1 / (1 + np.exp(-(np.log(p / (1 - p)) / sharpness + 0.7)))
    intercept, again = recalibration(truth == 0, p)[0], recalibration(truth == 0, shifted)
    assert intercept.value == pytest.approx(0, abs=0.06)
    assert again[0].value == pytest.approx(-0.7, abs=0.06)  # below 0: the probabilities are too high


# --- what does not exist --------------------------------------------------------------------------


@pytest.mark.parametrize(("present", "side"), [(True, "without"), (False, "with")])
def test_a_set_of_one_side_has_neither(present: bool, side: str) -> None:
    intercept, slope = recalibration(np.full(5, present), np.linspace(0.1, 0.9, 5))
    assert intercept.value is slope.value is None
    assert intercept.note == slope.note == f"no image {side} this finding"


def test_some_certain_probabilities_and_one_of_those_wrong_are_finite_and_the_note_says_what_was_done() -> None:
    table = drawn_table(60, 1)[1]
    truth = np.resize([0, 1, 2], 60)
    table[:6] = np.eye(3)[[0, 1, 2, 0, 1, 1]]
    intercept, slope = recalibration(truth == 0, table[:, 0])
    assert slope.note == intercept.note == "6 probabilities nearer to 0 or 1 than 1e-12 are taken as 1e-12 from it"
    assert math.isfinite(slope.value)


@pytest.mark.parametrize(
    ("probability", "reason"),
    [
        ([0.5] * 6, "all images have the same probability"),
        ([0.1, 0.2, 0.3, 0.7, 0.8, 0.9], "part the finding from the rest completely"),
        ([0.9, 0.8, 0.7, 0.3, 0.2, 0.1], "part the finding from the rest completely"),
        ([0.1, 0.2, 0.5, 0.5, 0.8, 0.9], "part the finding from the rest completely"),
    ],
)
def test_a_slope_that_is_not_finite_is_not_applicable(probability: list[float], reason: str) -> None:
    intercept, slope = recalibration(np.array([0, 0, 0, 1, 1, 1], bool), np.array(probability))
    assert slope.value is None
    assert reason in slope.note
    assert intercept.value == pytest.approx(0, abs=1e-9)  # the mean is right
