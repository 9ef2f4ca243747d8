"""Counts in cells are those of the drawn images, and intervals hold at 0 and 1."""

import numpy as np
import pytest
from numpy.typing import NDArray

from carina.statistics.bootstrap import draw_weights
from carina.statistics.proportion import wilson_bounds
from carina.statistics.resampling import count_cells, kish_effect, wilson_from_replicates


@pytest.mark.parametrize("groups", [None, np.array([0, 0, 1, 2, 2, 2, 3, 4])])
def test_cells_count_the_drawn_images(groups: NDArray[np.int64] | None) -> None:
    truth = np.array([0, 0, 1, 1, 1, 1, 0, 1])
    cells = [np.array([0, 1, 2, 2, 0, 1, 1, 0]), np.array([3, 3, 0, 0, 1, 1, 3, 3])]
    weights = np.concatenate(list(draw_weights(truth, groups=groups, replicates=30, seed=7).blocks))
    counted = count_cells(draw_weights(truth, groups=groups, replicates=30, seed=7), cells, [3, 4])
    for cell, counts, size in zip(cells, counted, (3, 4), strict=True):
        expected = [[row[cell == i].sum() for i in range(size)] for row in weights]
        assert counts.tolist() == expected


def test_unstratified_draws_let_the_mix_vary() -> None:
    truth = np.array([0] * 5 + [1] * 5)
    held, free = (
        np.concatenate(list(draw_weights(truth, replicates=50, seed=1, stratified=stratified).blocks))
        for stratified in (True, False)
    )
    assert set(held[:, :5].sum(axis=1)) == {5}
    assert len(set(free[:, :5].sum(axis=1))) > 3
    assert set(free.sum(axis=1)) == {10}
    assert draw_weights(truth, replicates=1, seed=1, stratified=False).method == "bootstrap"


def test_a_binomial_variance_gives_wilson() -> None:
    share, n = 0.9, 250
    spread = np.sqrt(share * (1 - share) / n)
    # Two values of exactly this sample variance.
    drawn = share + np.array([[-1.0], [1.0]]) * spread / np.sqrt(2)
    low, high = wilson_from_replicates(np.array([share]), drawn, np.array([1000.0]), 1.0)
    assert (low[0], high[0]) == pytest.approx(wilson_bounds(share, n))
    # Never narrower than that of independent images.
    low, high = wilson_from_replicates(np.array([share]), drawn, np.array([100.0]), 1.0)
    assert (low[0], high[0]) == pytest.approx(wilson_bounds(share, 100))


def test_at_nought_and_one_patients_are_counted() -> None:
    drawn = np.array([[0.0, 1.0, np.nan]] * 20)
    low, high = wilson_from_replicates(np.array([0.0, 1.0, 0.5]), drawn, np.array([40.0, 40.0, 40.0]), 2.0)
    assert (low[0], high[0]) == pytest.approx(wilson_bounds(0.0, 20))
    assert (low[1], high[1]) == pytest.approx(wilson_bounds(1.0, 20))
    assert (low[2], high[2]) == pytest.approx(wilson_bounds(0.5, 20))


def test_kish_effect_by_hand() -> None:
    assert kish_effect(None, 5) == 1.0
    assert kish_effect(np.array([3, 3, 3, 1]), 4) == (9 + 1) / 4
