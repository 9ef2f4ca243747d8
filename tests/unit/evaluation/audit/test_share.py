"""Shares of the AUROC above chance."""

import numpy as np
import pytest
from numpy.typing import NDArray

from carina.evaluation.audit.share import macro_auroc, remaining_shares


def scores_of(truth: NDArray[np.int64], strength: float, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return strength * np.eye(3)[truth] + rng.normal(0, 1, (len(truth), 3))


def test_the_share_is_the_ratio_and_its_interval_is_paired() -> None:
    truth = np.repeat([0, 1, 2], 80)
    strong, weak = scores_of(truth, 2.0, 1), scores_of(truth, 0.7, 2)
    same, lesser = remaining_shares(truth, strong, [strong, weak], None, replicates=500, seed=1)
    assert same.value == 1
    assert same.low is None  # every replicate gives 1: certain, because it is the same table
    areas = [macro_auroc(truth, table, None).value - 0.5 for table in (strong, weak)]
    assert lesser.value == pytest.approx(areas[1] / areas[0])
    assert lesser.low < lesser.value < lesser.high
    # Images that come in pairs know half as much as they seem to.
    twice = np.repeat(np.arange(len(truth)), 2)
    doubled = remaining_shares(truth[twice], strong[twice], [weak[twice]], twice, replicates=500, seed=1)[0]
    naive = remaining_shares(truth[twice], strong[twice], [weak[twice]], None, replicates=500, seed=1)[0]
    assert doubled.high - doubled.low > 1.2 * (naive.high - naive.low)


def test_of_nothing_above_chance_nothing_can_remain() -> None:
    truth = np.repeat([0, 1, 2], 30)
    chance = scores_of(truth, 0.0, 3)
    (share,) = remaining_shares(truth, chance, [scores_of(truth, 1.0, 5)], None, replicates=50, seed=1)
    assert share.value is None
    assert "not better than chance" in share.note
    (share,) = remaining_shares(np.zeros(5, dtype=int), np.ones((5, 3)), [np.ones((5, 3))], None, replicates=5, seed=1)
    assert share.note == "the images show a single finding"
