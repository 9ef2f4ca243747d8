"""How far a share that was counted can be trusted: the bounds that intervals and decisions both stand on."""

import math

from scipy.special import ndtri

from carina.errors import ConfigurationError


def normal_quantile(confidence: float) -> float:
    """Return the two-sided standard normal quantile, 1.96 for 0.95.

    Raises
    ------
    ConfigurationError
        If `confidence` does not lie strictly between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ConfigurationError(f"confidence is {confidence}. Give a number between 0 and 1, such as 0.95.")
    return float(ndtri(0.5 + confidence / 2))


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
