"""Exact bounds of a proportion mean what they say, and refuse what is no proportion."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from carina.errors import ConfigurationError
from carina.statistics.proportion import clopper_pearson_lower, clopper_pearson_upper


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(1e-6, 0.5))
def test_at_its_bounds_a_share_has_the_probability_of_the_level(trials: int, share: float, level: float) -> None:
    successes = round(share * trials)
    upper = clopper_pearson_upper(successes, trials, level)
    lower = clopper_pearson_lower(successes, trials, level)
    if successes < trials:
        assert binom.cdf(successes, trials, upper) == pytest.approx(level, rel=1e-6)
    if successes > 0:
        assert binom.sf(successes - 1, trials, lower) == pytest.approx(level, rel=1e-6)


def test_clopper_pearson_by_hand() -> None:
    # Nothing in 59 trials: 1 - 0.05 ** (1 / 59) is just under 5 %.
    assert clopper_pearson_upper(0, 59, 0.05) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert clopper_pearson_lower(59, 59, 0.05) == pytest.approx(0.05 ** (1 / 59))
    assert (clopper_pearson_lower(0, 9, 0.05), clopper_pearson_upper(9, 9, 0.05)) == (0.0, 1.0)
    assert (clopper_pearson_lower(0, 0, 0.05), clopper_pearson_upper(0, 0, 0.05)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("successes", "trials", "level"), [(-1, 5, 0.05), (6, 5, 0.05), (1, 5, 0.0), (1, 5, 1.0), (1, 5, math.nan)]
)
def test_no_proportion_is_refused(successes: int, trials: int, level: float) -> None:
    with pytest.raises(ConfigurationError, match=r"successes between 0 and trials and a level between 0 and 1"):
        clopper_pearson_upper(successes, trials, level)
