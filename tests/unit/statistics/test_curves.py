"""Areas under curves against hand computation, scikit-learn and repeated images."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from amount import sampled
from carina.errors import DataError
from carina.statistics.curves import auroc, weighted_auprc, weighted_auroc
from carina.statistics.delong import auroc_components, delong_interval
from unit.statistics.drawn import tables

quick = settings(deadline=None, database=None, max_examples=sampled(60))

POSITIVE = np.array([True, False, True, False, False, True])
SCORE = np.array([0.9, 0.8, 0.8, 0.3, 0.1, 0.1])


def auprc(positive: Any, score: Any) -> Any:
    return weighted_auprc(positive, score, np.ones((1, len(score)), int))[0]


def delong_variance(positive: Any, score: Any) -> Any:
    return auroc_components(positive, score).variance()


def test_areas_by_hand_with_ties() -> None:
    # Pairs: 0.9 beats 3; 0.8 ties 0.8 and beats 2; 0.1 ties 0.1 and loses 2: (3 + 2.5 + 0.5) / 9.
    assert auroc(POSITIVE, SCORE) == pytest.approx(6 / 9)
    # Steps of 1/3 recall at precisions 1, 2/3 and 1/2.
    assert auprc(POSITIVE, SCORE) == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)


@quick
@given(tables())
def test_areas_agree_with_scikit_learn(table: Any) -> None:
    positive, score = table
    assert auroc(positive, score) == pytest.approx(sk.roc_auc_score(positive, score))
    assert auprc(positive, score) == pytest.approx(sk.average_precision_score(positive, score))


@quick
@given(tables(), st.randoms(use_true_random=False))
def test_areas_know_order_only(table: Any, random: Any) -> None:
    positive, score = table
    stretched = np.exp(3 * score) - 7
    rows = list(range(len(score)))
    random.shuffle(rows)
    for area in (auroc, auprc, delong_variance):
        expected = area(positive, score)
        assert area(positive, stretched) == pytest.approx(expected)
        assert area(positive[rows], score[rows]) == pytest.approx(expected)
    assert auroc(positive, -score) == pytest.approx(1 - auroc(positive, score))


@quick
@given(tables(max_size=20), st.data())
def test_weights_count_an_image_as_often_as_repeating_it(table: Any, data: Any) -> None:
    positive, score = table
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(score), max_size=len(score))))
    repeated, scores = np.repeat(positive, weights), np.repeat(score, weights)
    (got,) = weighted_auprc(positive, score, weights[None])
    if not repeated.any():
        assert math.isnan(got)
    else:
        assert got == pytest.approx(sk.average_precision_score(repeated, scores))


@pytest.mark.parametrize("digits", [1, 6])
def test_weighted_auroc_is_that_of_repeated_images(digits: int) -> None:
    rng = np.random.default_rng(4)
    positive = rng.random(60) < 0.4
    score = np.round(rng.random(60) + 0.3 * positive, digits)
    weights = rng.integers(0, 4, (20, 60))
    expected = [sk.roc_auc_score(np.repeat(positive, drawn), np.repeat(score, drawn)) for drawn in weights]
    np.testing.assert_allclose(weighted_auroc(positive, score, weights), expected, atol=1e-12)


def test_a_replicate_with_one_side_has_no_auroc() -> None:
    assert np.isnan(weighted_auroc(np.array([True, False]), np.array([1.0, 0.0]), np.array([[1, 0]]))[0])


@pytest.mark.parametrize("area", [auroc, delong_variance])
@pytest.mark.parametrize(("flag", "side"), [(True, "without"), (False, "with")])
def test_one_side_has_no_curve(area: Callable[..., Any], flag: bool, side: str) -> None:
    with pytest.raises(DataError, match=f"does not exist: no image {side} this finding"):
        area(np.full(3, flag), np.arange(3.0))
    interval = delong_interval(np.full(3, flag), np.arange(3.0))
    assert (interval.value, interval.note) == (None, f"no image {side} this finding")


def test_an_empty_set_has_no_curve() -> None:
    with pytest.raises(DataError, match="does not exist"):
        auroc(np.array([], bool), np.array([]))
    assert delong_interval(np.array([], bool), np.array([])).value is None


@pytest.mark.parametrize(
    ("positive", "score", "message"),
    [
        ([True, False], [0.1], "Give two arrays of one length"),
        ([True, False], [0.1, math.nan], r"Row 1 \(from 0\): the score is NaN"),
        ([1, 0, -1], [0.1, 0.2, 0.3], r"Row 2 \(from 0\): positive is -1. Unknown is not negative"),
    ],
)
def test_wrong_tables_are_refused(positive: list[Any], score: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        auroc(np.array(positive), np.array(score))
