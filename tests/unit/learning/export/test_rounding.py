"""Rounding loses less than the nearest integer does, and never what a processor would cut."""

import numpy as np
import pytest

from carina.learning.export.rounding import LARGEST, LARGEST_PAIR, Moments, Steps, choose_steps


@pytest.fixture
def read() -> np.ndarray:  # type: ignore[type-arg]
    """Return what a convolution reads, its channels going together: float64 ``(1, places, taps)``."""
    rng = np.random.default_rng(0)
    mixed = rng.random((4000, 6)) @ rng.random((6, 24))
    return np.clip(mixed / mixed.max() * 6, 0, 6)[np.newaxis]


def test_nothing_stays_nothing_and_ends_are_reached() -> None:
    steps = Steps.between(-1.0, 3.0)
    assert steps.round(np.array([0.0]))[0] == 0
    assert np.abs(steps.round(np.array([-1.0, 0.7, 3.0])) - [-1.0, 0.7, 3.0]).max() <= steps.scale
    assert steps.round(np.array([99.0]))[0] == pytest.approx(3, abs=steps.scale)
    assert Steps.between(0.5, 2.0).zero == 0
    assert Steps.between(0.0, 0.0).round(np.zeros(2)).tolist() == [0, 0]


def test_a_far_value_is_cut_so_that_the_rest_is_finer() -> None:
    values = np.append(np.random.default_rng(1).uniform(0, 1, 100_000), 1.4)
    chosen, whole = choose_steps(values, 0.0, 1.4), Steps.between(0.0, 1.4)
    assert chosen.scale < whole.scale
    assert ((chosen.round(values) - values) ** 2).mean() < ((whole.round(values) - values) ** 2).mean()


def test_weights_rounded_in_turn_lose_less_than_the_nearest_ones_and_keep_the_mean(read: np.ndarray) -> None:  # type: ignore[type-arg]
    weights = np.random.default_rng(2).normal(size=(16, 24, 1, 1))
    steps, bias = Steps.between(0.0, 6.0), np.zeros(16)
    moments = Moments(1, 24)
    moments.add(read, steps)
    rounded = moments.round_weights(weights, bias, pairs=False)
    rows, exact = weights.reshape(16, 24), read[0] @ weights.reshape(16, 24).T
    scales = np.abs(rows).max(axis=1) / LARGEST
    nearest = np.round(rows / scales[:, None]) * scales[:, None]
    ours = steps.round(read[0]) @ (rounded.integers.reshape(16, 24) * rounded.scales[:, None]).T + rounded.bias
    theirs = steps.round(read[0]) @ nearest.T
    assert ((ours - exact) ** 2).mean() < 0.7 * ((theirs - exact) ** 2).mean()
    np.testing.assert_allclose(ours.mean(axis=0), exact.mean(axis=0), atol=1e-6)


def test_neighbours_never_overflow_in_sixteen_bits(read: np.ndarray) -> None:  # type: ignore[type-arg]
    weights = np.full((3, 24, 1, 1), 0.7) + np.random.default_rng(3).normal(size=(3, 24, 1, 1)) / 50
    moments = Moments(1, 24)
    moments.add(read, Steps.between(0.0, 6.0))
    free, paired = (moments.round_weights(weights, np.zeros(3), pairs=pairs).integers for pairs in (False, True))

    def largest(integers: np.ndarray) -> int:  # type: ignore[type-arg]
        return int(np.abs(integers.astype(int).reshape(3, 12, 2)).sum(axis=2).max())

    assert largest(free) > LARGEST_PAIR
    assert largest(paired) <= LARGEST_PAIR
