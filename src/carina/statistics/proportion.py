"""How far a share that was counted can be trusted: the bounds that intervals and decisions both use."""

import math
from functools import lru_cache
from statistics import NormalDist

from carina.errors import ConfigurationError


def normal_quantile(confidence: float) -> float:
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


def wilson_bounds(proportion: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
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
    from scipy.special import betaincinv  # noqa: PLC0415  # a tenth of a second to import; predicting does without

    return float(betaincinv(successes + 1, trials - successes, 1 - level))


def clopper_pearson_lower(successes: int, trials: int, level: float) -> float:
    """Return the exact one-sided lower bound of a proportion; see `clopper_pearson_upper`. 0 without trials."""
    return 1 - clopper_pearson_upper(trials - successes, trials, level) if trials else 0.0
