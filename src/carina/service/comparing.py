"""Champion and challenger: two models on the same verdicts, with the paired difference.

Studies that either model learned from do not count, nor others of their patients.
"""

from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from carina.decisions.policy import Policy
from carina.evaluation.comparison import mcnemar, paired_brier, paired_delong
from carina.findings import NORMAL
from carina.service.described import Described
from carina.service.fitting.fitting_report import BandBeforeAfter, BeforeAfter, before_after
from carina.service.truth import JudgedStudy, Verdicts, judged_studies, patients_of


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two models on the same studies.

    Attributes
    ----------
    studies, patients
        That both have judged and whose readers agree.
    figures, bands
        *Before* is the champion, *after* the challenger.
    verdicts
        Of the champion: what does not count.
    why_not
        Why they cannot be compared; none where they are.
    """

    studies: int
    patients: int
    figures: tuple[BeforeAfter, ...]
    bands: tuple[BandBeforeAfter, ...]
    verdicts: Verdicts
    why_not: str | None = None


def compare_models(session: Session, champion: Described, challenger: Described) -> SideBySide:
    """Return both models on the studies that both have judged."""
    learned = champion.learned | challenger.learned
    first, verdicts = judged_studies(session, champion.model_id, learned)
    second = {row.study_id: row for row in judged_studies(session, challenger.model_id, learned)[0]}
    rows = [row for row in first if row.study_id in second]
    others = [second[row.study_id] for row in rows]
    groups = patients_of(rows)
    counts = len(rows), len(np.unique(groups))
    if champion.run is None or challenger.run is None:
        return SideBySide(*counts, (), (), verdicts, "The folder of one of the models cannot be read.")
    policies = champion.run.policy, challenger.run.policy
    flag = policies[0].flag_finding
    if policies[1].flag_finding != flag:
        why_not = f"One model flags {flag} and the other {policies[1].flag_finding}."
        return SideBySide(*counts, (), (), verdicts, why_not)
    positive = np.array([row.finding == flag for row in rows], np.bool_)
    before, after = (_of_flag(side, flag) for side in (rows, others))
    called_before, called_after = (
        values >= policy.operating_point.threshold for values, policy in zip((before, after), policies, strict=True)
    )
    right = called_after == positive, called_before == positive
    tests = [
        mcnemar(right[0][among], right[1][among], groups[among], measure=measure, finding=flag)
        for measure, among in (("sensitivity", positive), ("specificity", ~positive))
    ]
    tests.append(paired_delong(positive, after, before, groups, finding=flag))
    tests.append(paired_brier(positive, after, before, groups, finding=flag))
    return SideBySide(*counts, tuple(map(before_after, tests)), _bands(rows, others, policies[0]), verdicts)


def _of_flag(rows: list[JudgedStudy], flag: str) -> np.ndarray:
    return np.array([row.probabilities.get(flag, 0.0) for row in rows], np.float64)


def _bands(rows: list[JudgedStudy], others: list[JudgedStudy], policy: Policy) -> tuple[BandBeforeAfter, ...]:
    found = []
    for band, belongs, promised in (
        ("routine", NORMAL, policy.bands.alpha),
        ("fast-track", policy.flag_finding, policy.bands.beta),
    ):
        inside = [[row.finding != belongs for row in side if row.priority == band] for side in (rows, others)]
        before, after = ((len(wrong), sum(wrong)) for wrong in inside)
        found.append(BandBeforeAfter(band=band, promised=promised, before=before, after=after))
    return tuple(found)
