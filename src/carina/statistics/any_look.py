"""Whether a share lies below or above a limit, when one looks again after every new case.

An ordinary bound holds for one look. Whoever looks after every case and stops at the first look that pleases is wrong
far more often than the bound says. The rule here holds for all looks together, however many there are: for a share
that is not below the limit, the probability that `is_below` *ever* says so is `level` at most.

It compares two explanations of the counts: all shares below the limit, equally likely beforehand, against the limit
itself. The ratio of the two probabilities is a test martingale; that it ever reaches 1 / level has probability `level`
at most (Ville's inequality).

Source: Robbins 1970, doi:10.1214/aoms/1177696786; Howard et al. 2021, doi:10.1214/20-AOS1991.
"""

import math

from scipy.special import betainc, betaln


def is_below(count: int, total: int, limit: float, level: float) -> bool:
    """Return whether a share is below a limit, by so many of so many.

    Parameters
    ----------
    count, total
        Counts that grow case by case, ``0 <= count <= total``.
    limit
        ``0 < limit < 1``.
    level
        With which probability at most this is ever said of a share that is not below.
    """
    inside = float(betainc(count + 1, total - count + 1, limit))
    if inside == 0:
        return False
    mixed = betaln(count + 1, total - count + 1) + math.log(inside / limit)
    at_limit = count * math.log(limit) + (total - count) * math.log1p(-limit)
    return bool(mixed - at_limit >= -math.log(level))


def is_above(count: int, total: int, limit: float, level: float) -> bool:
    """Return whether a share is above a limit; the counterpart of `is_below`."""
    return is_below(total - count, total, 1 - limit, level)
