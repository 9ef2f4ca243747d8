"""Control charts: where a figure lies on most days, by the first weeks of a site.

Two kinds are used, under their usual names. A *p-chart* is for shares: its limits are binomial, and wider on days with
few studies. An *individuals chart* (XmR, in laboratories: Levey-Jennings with limits of moving ranges) is for numbers
and means: its limits are 2.66 mean moving ranges from the mean. Known limits of that kind leave 3 in 1,000 days outside
if nothing changes and days are alike. Limits from 20 days leave 11 in 1,000 outside on an individuals chart: they are
themselves a guess (simulated, normal values).

Source: NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.2 (individuals) and 6.3.3.2 (proportions); Montgomery,
Introduction to Statistical Quality Control. Instead of the normal approximation, the p-chart has exact binomial limits
(probability limits), because a share such as that of refusals is small.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

# As far out as three standard deviations of a normal distribution, on each side.
TAIL = 0.00135
# 3 / 1.128: from a mean moving range to three standard deviations.
_FROM_RANGE = 2.66


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a figure is expected: at the centre, between low and high."""

    low: float
    centre: float
    high: float

    def leaves(self, value: float) -> bool:
        """Return whether a value lies outside."""
        return value < self.low or value > self.high


def centre_of_shares(counts: Sequence[tuple[int, int]]) -> float:
    """Return the share of the first weeks, of counts and totals.

    Half a study more, of one more: one study a month of a group that was never there is no alarm.
    """
    return (sum(count for count, _ in counts) + 0.5) / (sum(total for _, total in counts) + 1)


def p_limits(centre: float, total: int) -> Limits:
    """Return the limits of a share on a day with so many studies."""
    low, high = (_quantile(share, total, centre) for share in (TAIL, 1 - TAIL))
    return Limits(low / total, centre, high / total)


def _quantile(share: float, total: int, probability: float) -> int:
    """Return the least number whose binomial distribution function reaches a share.

    That is `scipy.stats.binom.ppf`, without the 50 MB and the half second that importing it takes.
    """
    from scipy.special import bdtr, bdtrik  # noqa: PLC0415  # only who looks at charts needs it

    above = math.ceil(float(bdtrik(share, total, probability)))
    below = max(above - 1, 0)
    return below if bdtr(below, total, probability) >= share else above


def xmr_limits(values: Sequence[float]) -> Limits | None:
    """Return the limits of single values by those of the first weeks; none of fewer than two."""
    if len(values) < 2:
        return None
    centre = fmean(values)
    reach = _FROM_RANGE * fmean(abs(later - earlier) for earlier, later in pairwise(values))
    return Limits(centre - reach, centre, centre + reach)
