"""The bootstrap: whole patients are drawn, and its interval of a share is the binomial's."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from carina.errors import CarinaError
from carina.statistics.bootstrap import bootstrap_estimates
from carina.statistics.intervals import Estimate, FloatArray, IntArray


def total(weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of the images with an odd index under each row of weights."""
    odd = np.arange(weights.shape[1]) % 2
    return ((weights * odd).sum(axis=1) / weights.sum(axis=1))[:, None]


def test_draws_keep_the_size_of_each_finding_and_the_whole_of_each_patient() -> None:
    truth = np.array([0] * 6 + [1] * 4)
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    seen = []

    def statistic(weights: Any) -> Any:
        seen.append(weights)
        return total(weights)

    bootstrap_estimates(statistic, truth=truth, replicates=50)
    assert (seen[0][:, :6].sum(axis=1) == 6).all()
    assert (seen[0][:, 6:].sum(axis=1) == 4).all()
    assert len(np.unique(seen[0], axis=0)) > 10
    seen.clear()
    bootstrap_estimates(statistic, truth=truth, groups=groups, replicates=50)
    assert (seen[0][:, ::2] == seen[0][:, 1::2]).all()
    assert (seen[0][:, :6].sum(axis=1) == 6).all()


def test_a_patient_belongs_to_the_finding_of_most_images() -> None:
    truth = np.array([0, 0, 1, 0, 1, 1, 1, 2])
    groups = np.array([0, 0, 0, 1, 2, 2, 3, 4])
    seen = []

    def statistic(weights: Any) -> Any:
        seen.append(weights)
        return total(weights)

    bootstrap_estimates(statistic, truth=truth, groups=groups, replicates=40)
    # Patients 0 and 1 stand for finding 0, 2 and 3 for finding 1 (two of each are drawn), 4 for finding 2.
    assert (seen[0][:, 7] == 1).all()
    assert (seen[0][:, [0, 3]].sum(axis=1) == 2).all()
    assert (seen[0][:, [4, 6]].sum(axis=1) == 2).all()


def test_bootstrap_of_a_share_is_that_of_the_binomial() -> None:
    truth = np.zeros(400, int)
    (got,) = bootstrap_estimates(total, truth=truth, replicates=4000, seed=5)
    # Half of the images are odd: standard error sqrt(0.25 / 400) = 0.025.
    assert got.value == 0.5
    assert got.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.004)
    assert got.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.004)
    assert (got.method, got.note) == ("bootstrap (stratified)", None)


def test_the_seed_decides_the_interval() -> None:
    truth = np.repeat([0, 1], 37)
    first, same, other = (bootstrap_estimates(total, truth=truth, replicates=300, seed=s) for s in (1, 1, 2))
    assert first == same
    assert first != other


def test_whole_patients_give_a_wider_interval() -> None:
    truth = np.zeros(200, int)
    groups = np.arange(200) % 2 + 2 * (np.arange(200) // 10)  # five equal images a patient
    (plain,) = bootstrap_estimates(total, truth=truth, replicates=1000)
    (grouped,) = bootstrap_estimates(total, truth=truth, groups=groups, replicates=1000)
    assert grouped.high - grouped.low > 1.8 * (plain.high - plain.low)
    assert grouped.method == "bootstrap (stratified, by patient)"


def test_the_interval_of_a_share_is_symmetric_on_the_logit_scale() -> None:
    # 28 of 30 even images drawn by weights: a share near 1 whose replicates pile up there.
    right = np.arange(30) >= 2
    (got,) = bootstrap_estimates(lambda w: ((w * right).sum(axis=1) / w.sum(axis=1))[:, None], truth=np.zeros(30, int))
    low, value, high = (math.log(v / (1 - v)) for v in (got.low, got.value, got.high))
    assert high - value == pytest.approx(value - low)
    # Binomial standard error on the logit scale: 1 / sqrt(n p (1 - p)).
    assert high - value == pytest.approx(1.96 / math.sqrt(30 * (28 / 30) * (2 / 30)), rel=0.05)


def test_a_number_that_is_no_share_gets_percentiles() -> None:
    (got,) = bootstrap_estimates(lambda w: 3 + total(w), truth=np.zeros(400, int), replicates=4000)
    assert (got.low, got.value, got.high) == pytest.approx((3.451, 3.5, 3.549), abs=0.005)


def test_undefined_replicates_are_dropped_and_counted() -> None:
    def statistic(weights: Any) -> Any:
        return np.where(weights[:, :1] == 0, np.nan, total(weights))

    (got,) = bootstrap_estimates(statistic, truth=np.zeros(20, int), replicates=500)
    # An image is left out of a replicate with probability 0.95^20 = 0.358.
    dropped = int(got.note.split()[2])
    assert 130 < dropped < 230
    assert got.note == f"undefined in {dropped} of 500 replicates, which were dropped"


def test_no_spread_is_no_interval() -> None:
    (got,) = bootstrap_estimates(lambda w: np.ones((len(w), 1)), truth=np.zeros(20, int), replicates=50)
    assert (got.value, got.low, got.high, got.method) == (1.0, None, None, "none")
    assert "every replicate gave the same value" in got.note


def test_a_lonely_image_is_pointed_out() -> None:
    (got,) = bootstrap_estimates(total, truth=np.array([0, 0, 0, 0, 0, 0, 1]), replicates=50)
    assert "a single image or patient" in got.note


def test_an_undefined_value_does_not_apply() -> None:
    (got,) = bootstrap_estimates(lambda w: np.full((len(w), 1), np.nan), truth=np.zeros(3, int), replicates=5)
    assert (got.value, got.note) == (None, "undefined on this set")


def test_blocks_stay_small() -> None:
    largest = []
    bootstrap_estimates(lambda w: (largest.append(w.size), total(w))[1], truth=np.zeros(30_000, int), replicates=100)
    assert max(largest) <= 1_000_000
    assert sum(largest) == 101 * 30_000


@pytest.mark.parametrize(
    ("truth", "replicates", "message"),
    [([], 10, "keep at least one"), ([0, -1], 10, "Drop unknown"), ([0, 1], 0, "Give at least 1")],
)
def test_what_cannot_be_drawn_is_refused(truth: list[Any], replicates: int, message: str) -> None:
    with pytest.raises(CarinaError, match=message):
        bootstrap_estimates(total, truth=np.array(truth, int), replicates=replicates)


def test_the_interval_of_a_difference_is_that_of_its_mirror_image() -> None:
    gains = np.repeat([0.0, 1.0], [18, 2])

    def mean(sign: int) -> Estimate:
        def statistic(weights: IntArray) -> FloatArray:
            return np.asarray(sign * (weights @ gains) / weights.sum(axis=1))[:, np.newaxis]

        (found,) = bootstrap_estimates(statistic, truth=np.zeros(20, np.int_), signed=True)
        return found

    one, other = mean(1), mean(-1)
    assert one.low is not None
    assert other.low is not None
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    # Two of twenty: no difference is not left out, as it would be by a share's interval.
    assert one.low == 0
