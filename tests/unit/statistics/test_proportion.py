"""Exact bounds of a proportion agree with SciPy, and refuse what is no proportion."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc, betaincinv
from scipy.stats import binom

from carina.errors import ConfigurationError
from carina.statistics.proportion import clopper_pearson_lower, clopper_pearson_upper, incomplete_beta


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(1e-6, 0.5))
def test_clopper_pearson_agrees_with_scipy(trials: int, share: float, level: float) -> None:
    successes = round(share * trials)
    upper = clopper_pearson_upper(successes, trials, level)
    lower = clopper_pearson_lower(successes, trials, level)
    wanted_upper = 1.0 if successes == trials else betaincinv(successes + 1, trials - successes, 1 - level)
    wanted_lower = 0.0 if successes == 0 else betaincinv(successes, trials - successes + 1, level)
    assert upper == pytest.approx(wanted_upper, rel=1e-9)
    assert lower == pytest.approx(wanted_lower, rel=1e-9, abs=1e-12)
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
