"""Is the model good enough here? Its decisions are set against the verdicts of the site's own readers.

Only blind verdicts count; see `carina.service.truth`. The figures themselves are those of `carina.statistics`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from sqlalchemy.orm import Session

from carina.decisions.operating_point import OperatingPoint
from carina.decisions.policy import Policy
from carina.findings import NORMAL
from carina.service.truth import JudgedStudy, Verdicts, judged_studies, patients_of
from carina.statistics.any_look import is_above, is_below
from carina.statistics.binary_metrics import binary_estimates
from carina.statistics.calibration_slope import recalibration
from carina.statistics.fixed_specificity import sensitivity_at_specificity
from carina.statistics.intervals import BoolArray, Estimate, group_codes, not_applicable, wilson_interval
from carina.statistics.proportion import wilson_bounds
from carina.statistics.subgroups import FEWEST_PATIENTS, Division, measure_subgroups
from carina.wording import counted

KEPT = 0.99
# The half width of an interval that is asked for: 5 points to either side.
PRECISION = 0.05
# With which probability at most a promise that is not kept is ever called kept, and one that is kept ever broken. The
# page is looked at again and again: the rule is one for all looks together (`carina.statistics.any_look`).
_LEVEL = 0.05
_MOST = 100_000
# Bootstrap replicates for one figure of a page that somebody waits for.
_REPLICATES = 1000

Answer = Literal["yes", "no", "not-known"]
Kept = Literal["kept", "broken", "not-known"]


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise of the model's bands, and what came of it here.

    Attributes
    ----------
    band, promised, wrong_words
        Of which band, at most which share is wrong, and what wrong means.
    share
        The share that was wrong here.
    kept
        Whether it holds here; ``not-known`` while the verdicts allow either.
    more
        How many more studies in the band it takes to know, if none of them is wrong; none where it is known.
    """

    band: str
    promised: float
    wrong_words: str
    share: Estimate
    kept: Kept
    more: int | None


@dataclass(frozen=True, slots=True)
class SiteFigures:
    """What a model reaches at this site.

    Attributes
    ----------
    sensitivity, specificity, ppv, npv
        Of the flag at the model's threshold.
    could_wait
        The share of normals that could wait while 99 % of the studies that are not Normal do not.
    probability, observed, slope, intercept
        Of the flagged finding: its mean probability and its share, and the calibration's slope and intercept.
    agreement
        The share of studies in which the most probable finding is the reader's.
    more
        How many more verdicts make the intervals of sensitivity and specificity as narrow as `PRECISION`.
    answer, sentence
        In one plain sentence.
    """

    flag: str
    threshold: float
    verdicts: Verdicts
    positives: int
    negatives: int
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    could_wait: Estimate
    probability: float | None
    observed: Estimate
    intercept: Estimate
    slope: Estimate
    agreement: Estimate
    promises: tuple[Promise, ...]
    divisions: tuple[Division, ...]
    more: int | None
    answer: Answer
    sentence: str


def measure_site(session: Session, model_id: int, policy: Policy, learned: frozenset[str] = frozenset()) -> SiteFigures:
    """Return what a model reaches against the verdicts so far.

    Parameters
    ----------
    model_id
        Of the model: the one in use, or one that judges in silence.
    policy
        Of the model.
    learned
        SHA-256 of the pixels that the model learned from: what it says of these, and of their patients, does not count.
    """
    rows, verdicts = judged_studies(session, model_id, learned)
    flag, point = policy.flag_finding, policy.operating_point
    positive = np.array([row.finding == flag for row in rows], np.bool_)
    normal = np.array([row.finding == NORMAL for row in rows], np.bool_)
    p_flag = np.array([row.probabilities[flag] for row in rows], np.float64)
    p_normal = np.array([row.probabilities.get(NORMAL, 0.0) for row in rows], np.float64)
    groups = patients_of(rows)
    codes = group_codes(groups, len(rows)) if rows else None
    estimates = binary_estimates(positive, p_flag >= point.threshold, codes)[1]
    table = pl.DataFrame(
        {
            "source": [row.device for row in rows],
            "sex": [row.sex for row in rows],
            "view": [row.view for row in rows],
            "age": [row.age for row in rows],
        },
        schema={"source": pl.String, "sex": pl.String, "view": pl.String, "age": pl.Float64},
    )
    one_sided = not positive.any() or positive.all()
    promises = _promises(rows, policy)
    intercept, slope = (not_applicable("needs studies with and without the finding"),) * 2
    if not one_sided:
        intercept, slope = recalibration(positive, p_flag, codes)
    more = _more_verdicts(estimates["sensitivity"], estimates["specificity"])
    said_right = np.array([max(row.probabilities, key=row.probabilities.__getitem__) == row.finding for row in rows])
    answer, sentence = _in_one_sentence(estimates, promises, point, flag, more)
    return SiteFigures(
        flag=flag,
        threshold=point.threshold,
        verdicts=verdicts,
        positives=int(positive.sum()),
        negatives=int((~positive).sum()),
        **estimates,
        could_wait=_could_wait(normal, p_normal, groups),
        probability=float(p_flag.mean()) if rows else None,
        observed=wilson_interval(int(positive.sum()), len(rows)),
        intercept=intercept,
        slope=slope,
        agreement=wilson_interval(int(said_right.sum()), len(rows)),
        promises=promises,
        divisions=measure_subgroups(table, positive, p_flag, point.threshold, groups) if rows else (),
        more=more,
        answer=answer,
        sentence=sentence,
    )


def _could_wait(normal: BoolArray, p_normal: np.ndarray, groups: np.ndarray) -> Estimate:
    fewest = min((len(np.unique(groups[side])) for side in (normal, ~normal)), default=0)
    if fewest < FEWEST_PATIENTS:
        return not_applicable(f"needs {FEWEST_PATIENTS} patients with and {FEWEST_PATIENTS} without a finding")
    # To let normals wait at a sensitivity for all others is to find normals at that specificity.
    (share,) = sensitivity_at_specificity(normal, p_normal, (KEPT,), groups=groups, replicates=_REPLICATES)
    return share


def _promises(rows: Sequence[JudgedStudy], policy: Policy) -> tuple[Promise, ...]:
    flag, bands = policy.flag_finding, policy.bands
    routine = [row.finding != NORMAL for row in rows if row.priority == "routine"]
    first = [row.finding != flag for row in rows if row.priority == "fast-track"]
    return (
        _promise("routine", bands.alpha, "not Normal", routine),
        _promise("fast-track", bands.beta, f"not {flag}", first),
    )


def _promise(band: str, promised: float, wrong_words: str, wrong: Sequence[bool]) -> Promise:
    count, n = sum(wrong), len(wrong)
    kept: Kept = "not-known"
    if is_below(count, n, promised, _LEVEL):
        kept = "kept"
    elif is_above(count, n, promised, _LEVEL):
        kept = "broken"
    more = None
    if kept == "not-known":
        more = _least(lambda extra: is_below(count, n + extra, promised, _LEVEL))
    return Promise(band, promised, wrong_words, wilson_interval(count, n), kept, more)


def _more_verdicts(sensitivity: Estimate, specificity: Estimate) -> int | None:
    """Return how many more verdicts it takes for both intervals to be narrow, at the shares that are seen now."""
    total = (sensitivity.denominator or 0) + (specificity.denominator or 0)
    needed = 0
    for estimate in (sensitivity, specificity):
        have = estimate.denominator or 0
        if not have or estimate.value is None:
            return None
        value = estimate.value

        def narrow(extra: int, have: int = have, value: float = value) -> bool:
            low, high = wilson_bounds(value, have + extra)
            return (high - low) / 2 <= PRECISION

        extra = _least(narrow)
        if extra is None:
            return None
        # So many more of one side come with as many more of the other as there were so far.
        needed = max(needed, round(extra * total / have))
    return needed


def _least(holds: Callable[[int], bool]) -> int | None:
    """Return the least number from 0 for which something holds that, once it holds, holds for all larger ones."""
    if holds(0):
        return 0
    high = 1
    while not holds(high):
        high *= 2
        if high > _MOST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _in_one_sentence(
    estimates: dict[str, Estimate], promises: Sequence[Promise], point: OperatingPoint, flag: str, more: int | None
) -> tuple[Answer, str]:
    broken = next((promise for promise in promises if promise.kept == "broken"), None)
    if broken is not None:
        share = broken.share
        return "no", (
            f"No: of {counted(share.denominator or 0, 'study', 'studies')} in the {broken.band} band, "
            f"{share.numerator} were {broken.wrong_words} ({100 * (share.value or 0):.0f} %), where at most "
            f"{100 * broken.promised:.3g} % were promised."
        )
    for name, reached in (("sensitivity", point.sensitivity), ("specificity", point.specificity)):
        estimate = estimates[name]
        enough = (estimate.denominator or 0) >= FEWEST_PATIENTS
        if enough and estimate.high is not None and estimate.value is not None and estimate.high < reached:
            return "no", (
                f"No: the {name} for {flag} is {100 * estimate.value:.0f} % here (95 % interval "
                f"{100 * (estimate.low or 0):.0f} to {100 * estimate.high:.0f} %), and it was {100 * reached:.0f} % "
                "where the threshold was chosen."
            )
    unknown = next((promise for promise in promises if promise.kept == "not-known"), None)
    if more is None or more > 0 or unknown is not None:
        return "not-known", _not_known(estimates, more, unknown, flag)
    return "yes", (
        f"Yes, so far: both promises are kept, and the sensitivity for {flag} is "
        f"{100 * (estimates['sensitivity'].value or 0):.0f} % at a specificity of "
        f"{100 * (estimates['specificity'].value or 0):.0f} %, each known to 5 points."
    )


def _not_known(estimates: dict[str, Estimate], more: int | None, unknown: Promise | None, flag: str) -> str:
    if not estimates["sensitivity"].denominator:
        return f"Not known yet: no study with {flag} has a verdict, so that nobody can say what the model finds here."
    if more is None:
        return "Not known yet: there are too few verdicts to say anything."
    if more > 0:
        return f"Not known yet: about {more:,} more verdicts will show the sensitivity and the specificity to 5 points."
    band = "" if unknown is None else unknown.band
    rest = "" if unknown is None or unknown.more is None else f", at least {unknown.more:,} more studies in that band"
    return f"Not known yet: the promise of the {band} band needs more verdicts{rest}."
