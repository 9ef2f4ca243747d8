"""Exact bounds of a proportion agree with SciPy, and refuse what is no proportion."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc, betaincinv
from scipy.stats import binom, chi2

from carina.errors import ConfigurationError
from carina.statistics.proportion import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    incomplete_beta,
    poisson_mean_upper,
    weighted_share_upper,
)


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(1e-6, 0.5))
def test_clopper_pearson_agrees_with_scipy(trials: int, share: float, level: float) -> None:
    successes = round(share * trials)
    upper = clopper_pearson_upper(successes, trials, level)
    lower = clopper_pearson_lower(successes, trials, level)
    wanted_upper = 1.0 if successes == trials else betaincinv(successes + 1, trials - successes, 1 - level)
    wanted_lower = 0.0 if successes == 0 else betaincinv(successes, trials - successes + 1, level)
    assert upper == pytest.approx(wanted_upper, rel=1e-9)
    assert lower == pytest.approx(wanted_lower, rel=1e-9, abs=1e-13)
    # What the bound means: at it, so few (so many) have the level's probability.
    if successes < trials:
        assert binom.cdf(successes, trials, upper) == pytest.approx(level, rel=1e-6)


def test_clopper_pearson_by_hand() -> None:
    # Nothing in 59 trials: 1 - 0.05 ** (1 / 59) is just under 5 %.
    assert clopper_pearson_upper(0, 59, 0.05) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert clopper_pearson_lower(59, 59, 0.05) == pytest.approx(0.05 ** (1 / 59))
    assert (clopper_pearson_lower(0, 9, 0.05), clopper_pearson_upper(9, 9, 0.05)) == (0.0, 1.0)
    assert (clopper_pearson_lower(0, 0, 0.05), clopper_pearson_upper(0, 0, 0.05)) == (0.0, 1.0)


def test_incomplete_beta_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    for a, b in np.exp(rng.uniform(0, 9, (200, 2))):
        for x in (0.0, 1e-12, 0.2, a / (a + b), 0.9, 1 - 1e-12, 1.0):
            assert incomplete_beta(a, b, x) == pytest.approx(betainc(a, b, x), abs=1e-10), (a, b, x)


@pytest.mark.parametrize(
    ("successes", "trials", "level"), [(-1, 5, 0.05), (6, 5, 0.05), (1, 5, 0.0), (1, 5, 1.0), (1, 5, math.nan)]
)
def test_no_proportion_is_refused(successes: int, trials: int, level: float) -> None:
    with pytest.raises(ConfigurationError, match=r"successes between 0 and trials and a level between 0 and 1"):
        clopper_pearson_upper(successes, trials, level)


def test_the_bound_of_a_poisson_mean_is_exact_at_none_and_never_below_the_exact_one() -> None:
    counts, level = np.arange(40), 0.02
    bounds = poisson_mean_upper(counts.astype(float), level)
    exact = chi2.ppf(1 - level, 2 * (counts + 1)) / 2
    assert bounds[0] == pytest.approx(exact[0])
    assert (bounds >= exact - 1e-9).all()
    assert (bounds < 1.3 * exact).all()


@pytest.mark.parametrize("shares", [(0.01, 0.0, 0.0), (0.0, 0.02, 0.05), (0.01, 0.02, 0.05), (0.2, 0.3, 0.1)])
def test_a_weighted_share_is_above_its_bound_as_seldom_as_the_level_says(shares: tuple[float, ...]) -> None:
    trials, weights, level = np.array([196.0, 80.0, 78.0]), np.array([0.22, 0.09, 0.03]), 0.05
    counts = np.random.default_rng(3).binomial(trials.astype(int)[:, None], np.array(shares)[:, None], (3, 4000))
    bounds = weighted_share_upper(counts, trials, weights, level)
    assert np.mean(bounds < weights @ np.array(shares)) <= level
    # Not far above what one group alone would need, either.
    assert (
        np.median(bounds) < weights @ np.array(shares) + 3 * np.sqrt((weights**2 / trials) @ np.array(shares)) + 0.006
    )


def test_weights_of_nothing_bound_nothing() -> None:
    assert weighted_share_upper(np.ones((2, 3), int), np.ones(2), np.zeros(2), 0.05).tolist() == [0, 0, 0]
    assert weighted_share_upper(np.ones((2, 1), int), np.ones(2), np.array([0.2, 0.1]), 0.05) == pytest.approx(0.3)
