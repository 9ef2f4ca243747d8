"""How far a share that was counted can be trusted: the bounds that intervals and decisions both use."""

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from carina.errors import ConfigurationError

# Of every interval that Carina reports, and the shares of draws below and above its ends.
CONFIDENCE = 0.95
TAILS = (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)


def normal_quantile(confidence: float = CONFIDENCE) -> float:
    """Return the two-sided standard normal quantile, 1.96 for 0.95.

    Raises
    ------
    ConfigurationError
        If `confidence` does not lie strictly between 0 and 1.
    """
    if not 0 < confidence < 1:
        msg = f"confidence is {confidence}. Give a number between 0 and 1, such as 0.95."
        raise ConfigurationError(msg)
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson_bounds(proportion: float, trials: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the Wilson score bounds of a proportion; `trials` may be fractional (an effective sample size).

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    z2 = normal_quantile(confidence) ** 2
    centre = (proportion + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (proportion * (1 - proportion) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    # At 0 and 1 the algebra ends exactly on the border; in floating point it may miss it by 1e-17.
    low = 0.0 if proportion == 0 else min(max(0.0, centre - half), proportion)
    high = 1.0 if proportion == 1 else max(min(1.0, centre + half), proportion)
    return low, high


def logit_bounds(share: float, deviation: float) -> tuple[float, float]:
    """Return the bounds of a share in (0, 1) that its standard error gives, symmetric on the logit scale."""
    centre = math.log(share / (1 - share))
    half = normal_quantile() * deviation / (share * (1 - share))
    low, high = (1 / (1 + math.exp(-max(end, -700.0))) for end in (centre - half, centre + half))
    return min(low, share), max(high, share)


@lru_cache(maxsize=65_536)
def clopper_pearson_upper(successes: int, trials: int, level: float) -> float:
    """Return the exact one-sided upper bound of a proportion: too low with probability `level` at most.

    It is the share at which so few successes, or fewer, have probability `level`; 1 without trials.

    Raises
    ------
    ConfigurationError
        If `successes` is not between 0 and `trials`, or `level` not strictly between 0 and 1.

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    if not 0 <= successes <= trials or not 0 < level < 1:
        msg = (
            f"A bound was asked for {successes} of {trials} at level {level}. "
            "Give successes between 0 and trials and a level between 0 and 1."
        )
        raise ConfigurationError(msg)
    if successes == trials:
        return 1.0
    if successes == 0:
        return -math.expm1(math.log(level) / trials)
    # P(X <= successes | share) = 1 - I_share(successes + 1, trials - successes); I rises with the share.
    a, b = successes + 1, trials - successes
    low, high = successes / trials, 1.0
    share = wilson_bounds(low, trials, 1 - level)[1]
    for _ in range(100):
        off = incomplete_beta(a, b, share) - (1 - level)
        low, high = (share, high) if off < 0 else (low, share)
        slope = math.exp(_log_beta_density(a, b, share))
        newton = share - off / slope if slope > 0 else math.nan
        # Newton's step where it stays between the brackets, their middle otherwise.
        following = newton if low < newton < high else (low + high) / 2
        step, share = abs(following - share), following
        # Shorter steps are roundings. A lower bound is 1 minus this share, so that it needs all of its digits.
        if step <= 1e-14 * share:
            break
    return share


def clopper_pearson_lower(successes: int, trials: int, level: float) -> float:
    """Return the exact one-sided lower bound of a proportion; see `clopper_pearson_upper`. 0 without trials."""
    return 1 - clopper_pearson_upper(trials - successes, trials, level) if trials else 0.0


def poisson_mean_upper(count: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Return the upper bound of a Poisson mean by Chernoff's inequality, for counts that need not be whole, ``(n,)``.

    It is the mean at which exp(-(mean - count + count log(count / mean))) is `level`: -log(level) for a count of 0.

    Source: Boucheron, Lugosi and Massart 2013, Concentration Inequalities, section 2.2.
    """
    need = -math.log(level)
    # The exponent rises with the mean above the count, and exceeds `need` at this end: Bernstein's bound is laxer.
    low, high = count.astype(np.float64), count + 2 * need + 2 * np.sqrt(2 * need * count) + 1
    for _ in range(80):
        middle = (low + high) / 2
        ratio = np.divide(count, middle, out=np.ones_like(middle), where=count > 0)
        below = middle - count + count * np.log(ratio) < need
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(high)


def weighted_share_upper(
    counts: NDArray[np.int64], trials: NDArray[np.float64], weights: NDArray[np.float64], level: float
) -> NDArray[np.float64]:
    """Return an upper bound of sum(weight * share) over independent groups: too low with probability `level` at most.

    For any shares the sum of weighted counts, in units of the largest weight of one trial, has a moment generating
    function below that of a Poisson variable with the same mean. So Chernoff's bound of that mean holds for all shares
    at once, and no level is lost on bounds for each group.

    Parameters
    ----------
    counts
        int ``(groups, n)``: successes of each group, n times.
    trials, weights
        float64 ``(groups,)``: trials of each group, above 0, and the weight of its share.

    Returns
    -------
    NDArray[np.float64]
        ``(n,)``, at most the sum of the weights.
    """
    of_one = weights / trials
    unit = float(of_one.max(initial=0.0))
    if unit == 0:
        return np.zeros(counts.shape[1])
    return np.asarray(np.minimum(unit * poisson_mean_upper(of_one @ counts / unit, level), weights.sum()))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) for a, b > 0 and 0 <= x <= 1.

    By hand, because predicting needs it and starts faster without SciPy. By the continued fraction, evaluated after
    Lentz; it converges in about sqrt(max(a, b)) steps on the side of the
    mean that it is used on.

    Source: DLMF 8.17.22 and 8.17.4, https://dlmf.nist.gov/8.17.
    """
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    # The fraction began at 1 instead of 0, and so counted 1 + 1 / (1 + ...) = 1 + what is wanted.
    scale = math.exp(_log_beta_density(a, b, x) + math.log(x) + math.log1p(-x) - math.log(a))
    return scale * (_beta_fraction(a, b, x) - 1)


def _beta_fraction(a: float, b: float, x: float) -> float:
    tiny = 1e-300
    # After the first term, which is 1.
    ratio_c, ratio_d, fraction = 2.0, 1.0, 2.0
    for m in range(50_000):
        at = a + 2 * m
        odd = -(a + m) * (a + b + m) * x / (at * (at + 1))
        even = (m + 1) * (b - m - 1) * x / ((at + 1) * (at + 2))
        for term in (odd, even):
            ratio_d = 1 / ((1 + term * ratio_d) or tiny)
            ratio_c = (1 + term / ratio_c) or tiny
            change = ratio_c * ratio_d
            fraction *= change
            if -1e-15 < change - 1 < 1e-15:
                return fraction
    return fraction


def _log_beta_density(a: float, b: float, x: float) -> float:
    normaliser = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return normaliser + (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)
