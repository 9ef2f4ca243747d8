"""The bands' promise, over many draws of calibration data: broken as seldom as it says, and often if cheated on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from scipy.stats import binom

from amount import sampled
from carina.decisions import bands as bands_module
from carina.decisions.band_fitting import choose_fitting_part, fit_bands
from carina.decisions.bands import THRESHOLDS
from carina.decisions.operating_point import OperatingPointRule
from carina.decisions.policy import PolicySettings, fit_policy
from carina.decisions.probabilities import softmax

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")
POOL = 20_000
PATIENTS = (1000, 2000, 700)
CONFIDENCE = 0.95
# Thresholds that just break the promises: the hardest case, where a little luck is enough to be wrong.
JUST_WRONG = {"routine": THRESHOLDS[2], "fast-track": THRESHOLDS[5]}


def make_pool() -> np.ndarray:
    """Logits of the whole population, float (3 x POOL, 3): POOL of each finding in turn."""
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(3 * POOL, 3))
    logits[np.arange(3 * POOL), np.repeat(np.arange(3), POOL)] += 2.0
    return 2 * logits + np.array([0.5, 0.0, -0.3])


def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places in the pool, and their labels."""
    places = [rng.integers(0, POOL, n) + POOL * finding for finding, n in enumerate(PATIENTS)]
    return np.concatenate(places), np.repeat(np.arange(3), PATIENTS)


def mix_at(prevalence: float | None) -> np.ndarray:
    mix = np.array(PATIENTS, float)
    if prevalence is None:
        return mix / mix.sum()
    mix[0] = 0
    mix *= (1 - prevalence) / mix.sum()
    mix[0] = prevalence
    return mix


def wrong_share(beyond: np.ndarray, right: int, mix: np.ndarray) -> float:
    """The true share, beyond a threshold, of what does not belong there."""
    masses = mix * beyond.reshape(3, POOL).mean(axis=1)
    return float(1 - masses[right] / masses.sum()) if masses.sum() else 0.0


def promises(probabilities: np.ndarray, mix: np.ndarray) -> tuple[float, float]:
    """Alpha and beta, each a little less than the truth at a threshold of the grid."""
    return (
        0.98 * wrong_share(probabilities[:, 1] >= JUST_WRONG["routine"], 1, mix),
        0.98 * wrong_share(probabilities[:, 0] >= JUST_WRONG["fast-track"], 0, mix),
    )


def broken_promises(prevalence: float | None, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each band: how often it was promised, and how often the truth exceeded the promise."""
    rng = np.random.default_rng(11)
    probabilities, mix = softmax(make_pool()), mix_at(prevalence)
    alpha, beta = promises(probabilities, mix)
    promised, broken = np.zeros(2, int), np.zeros(2, int)
    for _ in range(draws):
        places, labels = draw(rng)
        bands = fit_bands(
            probabilities[places],
            labels,
            FINDINGS,
            "COVID-19",
            fitting=choose_fitting_part(labels),
            chosen_on="a draw",
            alpha=alpha,
            beta=beta,
            confidence=CONFIDENCE,
        ).thresholds_at(prevalence)
        for place, threshold, right, promise in (
            (0, bands.routine, 1, alpha),
            (1, bands.fast_track, 0, beta),
        ):
            if threshold is not None:
                promised[place] += 1
                broken[place] += wrong_share(probabilities[:, right] >= threshold, right, mix) > promise
    return promised, broken


def too_often(broken: int, draws: int, level: float) -> bool:
    """Whether so many broken promises would be seen once in a thousand times at most, if the level were kept."""
    return bool(binom.sf(broken - 1, draws, level) < 1e-3)


@contextmanager
def cheating(bound: Callable[[int, int, float], float]) -> Iterator[None]:
    """Bounds that are not bounds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands_module, "clopper_pearson_upper", bound)
        patch.setattr(bands_module, "clopper_pearson_lower", bound)
        patch.setattr(
            bands_module,
            "weighted_share_upper",
            lambda counts, trials, weights, _: (weights / trials) @ counts,
        )
        bands_module._thresholds_at.cache_clear()
        yield
    bands_module._thresholds_at.cache_clear()


@pytest.mark.sampled
@pytest.mark.parametrize("prevalence", [None, 0.4])
def test_the_promise_is_kept_at_its_level(prevalence: float | None) -> None:
    draws = sampled(300, least=100)
    promised, broken = broken_promises(prevalence, draws)
    assert (promised > draws / 4).all(), promised
    for count in broken:
        assert not too_often(int(count), draws, 1 - CONFIDENCE), broken


@pytest.mark.parametrize("prevalence", [None, 0.4])
def test_plain_shares_instead_of_bounds_break_it(prevalence: float | None) -> None:
    draws = 100
    with cheating(lambda successes, trials, _: successes / trials if trials else 0.0):
        promised, broken = broken_promises(prevalence, draws)
    assert (promised > draws / 4).all(), promised
    for count in broken:
        assert too_often(int(count), draws, 1 - CONFIDENCE), broken


@pytest.mark.sampled
def test_the_whole_policy_keeps_it_for_what_triage_calls_routine_and_fast_track() -> None:
    # With the calibration map fitted again in each draw, and what is flagged taken out of routine.
    draws, rng, logits = sampled(120, least=40), np.random.default_rng(5), make_pool()
    rule = OperatingPointRule(finding="COVID-19", rule="specificity-at-least", target=0.9)
    mix = mix_at(None)
    alpha, beta = promises(softmax(logits), mix)
    settings = PolicySettings(alpha=alpha, beta=beta, confidence=CONFIDENCE)
    promised, broken = np.zeros(2, int), np.zeros(2, int)
    for _ in range(draws):
        places, labels = draw(rng)
        policy = fit_policy(logits[places], labels, FINDINGS, rule, settings, chosen_on="a draw")
        bands, truth = policy.thresholds_at(), policy.probabilities(logits)
        flagged = truth[:, 0] >= policy.operating_point.threshold
        if bands.routine is not None:
            routine = (truth[:, 1] >= bands.routine) & ~flagged & (truth.argmax(axis=1) == 1)
            promised[0] += 1
            broken[0] += wrong_share(routine, 1, mix) > alpha
        if bands.fast_track is not None:
            promised[1] += 1
            broken[1] += wrong_share(truth[:, 0] >= bands.fast_track, 0, mix) > beta
    assert (promised > draws / 4).all(), promised
    for count in broken:
        assert not too_often(int(count), draws, 1 - CONFIDENCE), broken
