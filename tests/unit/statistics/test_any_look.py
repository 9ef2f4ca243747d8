"""A rule for looks without end: by hand, and simulated against the bound that holds for one look."""

import math

import numpy as np
import pytest

from carina.statistics.any_look import is_above, is_below
from carina.statistics.proportion import clopper_pearson_upper


def test_without_a_case_the_ratio_is_the_mean_of_powers() -> None:
    # The mean of (1 - q)^n over q from 0 to p, against (1 - p)^n.
    limit, level = 0.05, 0.05

    def ratio(total: int) -> float:
        return (1 - (1 - limit) ** (total + 1)) / ((total + 1) * limit) / (1 - limit) ** total

    least = next(total for total in range(1, 1000) if ratio(total) >= 1 / level)
    assert not is_below(0, least - 1, limit, level)
    assert is_below(0, least, limit, level)
    # Looking once would do with 59 (0.95^59 < 0.05).
    assert least == pytest.approx(90, abs=5)
    assert is_above(least, least, 1 - limit, level)
    assert not is_above(least - 1, least - 1, 1 - limit, level)


def test_it_says_nothing_where_there_is_nothing_to_say() -> None:
    assert not is_below(0, 0, 0.1, 0.05)
    assert not is_below(900, 1000, 0.01, 0.05)
    assert is_above(900, 1000, 0.01, 0.05)
    assert math.isfinite(float(is_below(0, 100_000, 1e-4, 0.05)))


def test_who_looks_again_and_again_is_wrong_as_rarely_as_said_and_more_often_with_the_bound_of_one_look() -> None:
    limit, level, looks, sites = 0.1, 0.05, 400, 300
    counts = (np.random.default_rng(2).random((sites, looks)) < limit).cumsum(axis=1)
    totals = range(5, looks + 1, 5)
    ever = {"rule": 0, "bound": 0, "above": 0}
    # Every fifth look is nearly as bad as every one, and quicker to simulate.
    for row in counts[:, 4::5].tolist():
        ever["rule"] += any(is_below(count, total, limit, level) for total, count in zip(totals, row, strict=True))
        ever["above"] += any(is_above(count, total, limit, level) for total, count in zip(totals, row, strict=True))
        ever["bound"] += any(
            clopper_pearson_upper(count, total, level) < limit for total, count in zip(totals, row, strict=True)
        )
    # Of 300, more than 23 have probability 0.02 at 5 %.
    assert max(ever["rule"], ever["above"]) <= 23
    assert ever["bound"] > 45
