"""DeLong's variance and its intervals against all pairs written out, Obuchowski's, and repetition."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtri

from amount import sampled
from carina.statistics.delong import (
    auroc_components,
    delong_interval,
    independent_pairs_interval,
    mean_auroc_interval,
)
from unit.statistics.drawn import tables

quick = settings(deadline=None, database=None, max_examples=sampled(60))


def brute_delong(
    positive: NDArray[np.bool_], score: NDArray[np.float64], groups: NDArray[np.int64] = None
) -> np.float64:
    """DeLong's (Obuchowski's with groups) variance from all pairs, in plain loops."""
    x, y = score[positive], score[~positive]
    groups = np.arange(len(score)) if groups is None else groups
    kernel = np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x])
    m, n, area = len(x), len(y), kernel.mean()
    names = sorted(set(groups.tolist()))
    sums_10, sums_01 = [], []
    for name in names:
        mine_x, mine_y = groups[positive] == name, groups[~positive] == name
        sums_10.append(sum(kernel[i].mean() - area for i in np.flatnonzero(mine_x)))
        sums_01.append(sum(kernel[:, j].mean() - area for j in np.flatnonzero(mine_y)))
    i10, i01, i = len(set(groups[positive])), len(set(groups[~positive])), len(names)
    s10 = i10 / ((i10 - 1) * m) * sum(v**2 for v in sums_10)
    s01 = i01 / ((i01 - 1) * n) * sum(v**2 for v in sums_01)
    s11 = i / (i - 1) * sum(v * w for v, w in zip(sums_10, sums_01, strict=True))
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def test_delong_variance_by_hand() -> None:
    # Positives 3, 1 against negatives 2, 0: placements of positives 1, 1/2; of negatives 1/2, 1; area 3/4.
    # S10 = S01 = ((1/4)^2 + (1/4)^2) / 1 = 1/8; variance 1/16 + 1/16.
    positive = np.array([True, True, False, False])
    assert auroc_components(positive, np.array([3.0, 1, 2, 0])).variance() == pytest.approx(1 / 8)


@quick
@given(tables(min_size=6))
def test_delong_variance_agrees_with_all_pairs(table: Any) -> None:
    positive, score = table
    assume(2 <= positive.sum() <= len(score) - 2)
    assert auroc_components(positive, score).variance() == pytest.approx(brute_delong(positive, score), abs=1e-12)


@quick
@given(tables(min_size=8), st.data())
def test_clustered_variance_agrees_with_obuchowski_written_out(table: Any, data: Any) -> None:
    positive, score = table
    groups = np.array(data.draw(st.lists(st.integers(0, 6), min_size=len(score), max_size=len(score))))
    got = auroc_components(positive, score, groups).variance()
    if min(len(set(groups[positive])), len(set(groups[~positive]))) < 2:
        assert got is None
    else:
        assert got == pytest.approx(brute_delong(positive, score, groups), abs=1e-12)


@quick
@given(tables(), st.booleans())
def test_intervals_hold_their_value(table: Any, grouped: Any) -> None:
    positive, score = table
    groups = np.arange(len(score)) // 3 if grouped else None
    got = delong_interval(positive, score, groups)
    assert 0 <= got.low <= got.value <= got.high <= 1
    assert got.low < got.high


def test_delong_interval_is_symmetric_on_the_logit_scale() -> None:
    rng = np.random.default_rng(1)
    positive = np.arange(200) < 50
    score = rng.normal(size=200) + positive
    got = delong_interval(positive, score)
    logit = [math.log(v / (1 - v)) for v in (got.low, got.value, got.high)]
    se = math.sqrt(brute_delong(positive, score)) / (got.value * (1 - got.value))
    assert logit[1] - logit[0] == pytest.approx(1.959964 * se, rel=1e-6)
    assert logit[2] - logit[1] == pytest.approx(1.959964 * se, rel=1e-6)
    assert got.method == "DeLong"


@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_delong_interval_covers_the_truth(shift: float) -> None:
    rng = np.random.default_rng(11)
    positive = np.arange(100) < 40
    true_area = 0.5 * (1 + math.erf(shift / 2))  # Phi(shift / sqrt 2)
    covered = 0
    for _ in range(600):
        got = delong_interval(positive, rng.normal(size=100) + shift * positive)
        covered += got.low <= true_area <= got.high
    assert 0.92 <= covered / 600 <= 0.98


def test_clustered_interval_covers_the_truth_and_the_plain_one_does_not() -> None:
    rng = np.random.default_rng(12)
    groups = np.repeat(np.arange(80), 4)
    positive = groups < 32
    true_area = 0.5 * (1 + math.erf(1 / 2))
    covered = plain = 0
    for _ in range(400):
        score = np.repeat(rng.normal(size=80), 4) * 0.8 + rng.normal(size=320) * 0.6 + positive
        clustered, naive = delong_interval(positive, score, groups), delong_interval(positive, score)
        covered += clustered.low <= true_area <= clustered.high
        plain += naive.low <= true_area <= naive.high
    assert 0.92 <= covered / 400 <= 0.98
    assert plain / 400 < 0.85


def test_duplicates_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(2)
    positive, score = np.arange(40) < 15, rng.normal(size=40)
    score[positive] += 1
    once = delong_interval(positive, score)
    four = delong_interval(np.repeat(positive, 4), np.repeat(score, 4), np.repeat(np.arange(40), 4))
    naive = delong_interval(np.repeat(positive, 4), np.repeat(score, 4))
    assert (four.low, four.high) == (pytest.approx(once.low), pytest.approx(once.high))
    assert four.method == "DeLong (clustered)"
    assert naive.high - naive.low < 0.6 * (once.high - once.low)


def test_a_perfect_area_on_few_images_is_no_certainty() -> None:
    positive = np.arange(20) < 8
    got = delong_interval(positive, positive + np.arange(20) / 100)
    # 8 pairs without a common image, all in order: (0.025)^(1/8).
    assert (got.value, got.low, got.high) == (1.0, pytest.approx(0.025 ** (1 / 8)), 1.0)
    assert got.method == "independent pairs"
    assert "8 independent pairs" in got.note
    worst = delong_interval(positive, -1.0 * positive)
    assert (worst.value, worst.low, worst.high) == (0.0, 0.0, pytest.approx(1 - 0.025 ** (1 / 8)))


def test_a_perfect_area_counts_patients_and_not_images() -> None:
    positive = np.repeat([True, False], 10)
    groups = np.concatenate([np.repeat([0, 1], 5), np.repeat([2, 3, 4, 5, 6], 2)])
    assert delong_interval(positive, 1.0 * positive, groups).low == pytest.approx(0.025 ** (1 / 2))
    # Patients that show both sides serve one side only: 3 patients make 1 pair.
    both = np.array([0, 0, 1, 1, 2, 2])
    assert auroc_components(np.tile([True, False], 3), np.arange(6.0), both).pairs == 1


def test_the_bound_of_a_perfect_area_is_never_too_narrow() -> None:
    # At a true area equal to the bound, a perfect separation may be seen in at most 2.5 % of sets.
    bound = 0.025 ** (1 / 6)
    shift = math.sqrt(2) * float(ndtri(bound))
    rng = np.random.default_rng(4)
    perfect = np.mean((rng.normal(size=(4000, 6)) + shift).min(axis=1) > rng.normal(size=(4000, 9)).max(axis=1))
    assert perfect <= 0.025
    assert independent_pairs_interval(1.0, 6).low == pytest.approx(bound)


@pytest.mark.parametrize("score", [np.full(20, 0.5), np.arange(20.0)])
def test_equal_scores_and_a_single_positive_get_the_wide_interval(score: NDArray[np.float64]) -> None:
    positive = np.arange(20) < 8 if score[0] else np.arange(20) == 7
    got = delong_interval(positive, score)
    assert got.method == "independent pairs"
    assert got.high - got.low > 0.4


# --- means over findings --------------------------------------------------------------------------


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exps = np.exp(logits)
    return exps / exps.sum(axis=1, keepdims=True)


def test_mean_area_has_the_variance_that_repetition_shows() -> None:
    rng = np.random.default_rng(6)
    truth = np.repeat([0, 1, 2], [40, 90, 20])
    means, widths = [], []
    for _ in range(400):
        logits = rng.normal(size=(150, 3))
        logits[np.arange(150), truth] += 1.2
        table = softmax(logits)
        parts = [auroc_components(truth == k, table[:, k]) for k in range(3)]
        got = mean_auroc_interval(parts, np.ones(3))
        means.append(got.value)
        widths.append(math.log(got.high / (1 - got.high)) - math.log(got.low / (1 - got.low)))
    logits = np.log(np.array(means) / (1 - np.array(means)))
    covered = np.abs(logits - logits.mean()) <= np.array(widths) / 2
    # The truth is unknown in closed form; the mean of 400 repetitions is taken for it.
    assert 0.92 <= covered.mean() <= 0.98
    # Findings are correlated: taking them as independent would miss the spread.
    assert np.std(logits) == pytest.approx(np.mean(widths) / 2 / 1.96, rel=0.15)


def test_mean_of_one_area_is_that_area() -> None:
    positive, score = np.arange(30) % 3 == 0, np.random.default_rng(0).normal(size=30)
    alone = mean_auroc_interval([auroc_components(positive, score)], np.ones(1))
    assert alone == delong_interval(positive, score)


def test_mean_of_perfect_areas_keeps_the_bound_of_the_rarest() -> None:
    truth = np.repeat([0, 1, 2], [4, 9, 30])
    table = np.eye(3)[truth]
    parts = [auroc_components(truth == k, table[:, k]) for k in range(3)]
    got = mean_auroc_interval(parts, np.array([4.0, 9.0, 30.0]))
    assert (got.value, got.low, got.high) == (1.0, pytest.approx(0.025 ** (1 / 4)), 1.0)
