"""What the site's readers say of its studies, beside what a model says of them.

Only blind verdicts count, which were given before the model's answer was shown: whoever has seen an answer tends to
agree with it. Of a study the image is judged that its reader was asked about: the most urgent one at that time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Subquery, func, select
from sqlalchemy.orm import Session

from carina.service.database.study_tables import Image, Judgement, Study
from carina.service.people.people_tables import Verdict
from carina.statistics.intervals import IntArray


@dataclass(frozen=True, slots=True)
class Truth:
    """What readers agree on, by the numbers of the studies, and how many studies do not count and why."""

    findings: dict[int, str]
    cannot_tell: int
    disputed: int
    not_blind: int


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How many studies with a verdict count, and how many do not and why.

    Attributes
    ----------
    learned
        How many the model was fitted to, or belong to a patient of whom it was fitted to another one.
    """

    counted: int
    cannot_tell: int
    disputed: int
    not_blind: int
    not_judged: int
    learned: int


@dataclass(frozen=True, slots=True)
class JudgedStudy:
    """A study whose readers agree and that a model has judged.

    Attributes
    ----------
    patient
        What the same patient's studies share.
    finding
        The readers'.
    probabilities, priority
        The model's.
    pixels_sha256
        Of the image that was judged.
    """

    study_id: int
    image_id: int
    patient: str
    finding: str
    probabilities: dict[str, float]
    priority: str
    device: str | None
    view: str | None
    age: float | None
    sex: str | None
    pixels_sha256: str | None


def truth_of(session: Session) -> Truth:
    """Return what the site's readers agree on, by their blind verdicts."""
    query = (
        select(Verdict.study_id, Verdict.account_id, Verdict.finding, Verdict.blind)
        .order_by(Verdict.id)
        .execution_options(yield_per=5000)
    )
    # A reader's first verdict is the blind one; what follows on the same study was given with the answer in view.
    blind: dict[int, dict[int, str | None]] = {}
    not_blind: set[int] = set()
    for study, account, finding, is_blind in session.execute(query):
        if is_blind:
            blind.setdefault(study, {}).setdefault(account, finding)
        else:
            not_blind.add(study)
    cannot_tell = disputed = 0
    findings: dict[int, str] = {}
    for study, by_reader in blind.items():
        named = {finding for finding in by_reader.values() if finding is not None}
        if not named:
            cannot_tell += 1
        elif len(named) > 1:
            disputed += 1
        else:
            findings[study] = named.pop()
    return Truth(findings, cannot_tell, disputed, len(not_blind - set(blind)))


def judged_studies(
    session: Session, model_id: int, learned: frozenset[str] = frozenset()
) -> tuple[list[JudgedStudy], Verdicts]:
    """Return each study whose readers agree and that a model has judged, and what does not count.

    Parameters
    ----------
    learned
        SHA-256 of the pixels that the model learned from. Such studies do not count, nor others of their patients.
    """
    truth = truth_of(session)
    shown = image_shown()
    judged = (
        select(Study, Judgement, Image.pixels_sha256)
        .join(shown, shown.c.study_id == Study.id)
        .join(Image, Image.id == shown.c.image_id)
        .join(Judgement, Judgement.image_id == Image.id)
        .where(Judgement.model_id == model_id)
        .order_by(Study.id)
        .execution_options(yield_per=2000)
    )
    found = [
        _row(study, judgement, pixels, truth.findings[study.id])
        for study, judgement, pixels in session.execute(judged)
        if study.id in truth.findings and judgement.probabilities
    ]
    patients = {row.patient for row in found if row.pixels_sha256 in learned}
    rows = [row for row in found if row.patient not in patients]
    not_judged = len(truth.findings) - len(found)
    return rows, Verdicts(
        *(len(rows), truth.cannot_tell, truth.disputed, truth.not_blind, not_judged, len(found) - len(rows))
    )


def image_shown() -> Subquery:
    """Return of each study with a blind verdict the image that its first reader was asked about.

    An image that comes later may be more urgent, and nobody was asked about that one. Where the verdict does not say
    it, it is the study's most urgent image.
    """
    first = select(func.min(Verdict.id)).where(Verdict.blind).group_by(Verdict.study_id)
    image = func.coalesce(Verdict.image_id, Study.image_id).label("image_id")
    return select(Verdict.study_id, image).join(Study).where(Verdict.id.in_(first)).subquery()


def patients_of(rows: Sequence[JudgedStudy]) -> IntArray:
    """Return the number of each row's patient: int ``(n,)``."""
    numbers = {patient: number for number, patient in enumerate(dict.fromkeys(row.patient for row in rows))}
    return np.array([numbers[row.patient] for row in rows], np.int_)


def _row(study: Study, judgement: Judgement, pixels_sha256: str | None, finding: str) -> JudgedStudy:
    return JudgedStudy(
        study_id=study.id,
        image_id=judgement.image_id,
        patient=study.patient_key or study.key,
        finding=finding,
        probabilities=judgement.probabilities,
        priority=judgement.priority,
        device=study.manufacturer,
        view=study.view,
        age=study.age_years,
        sex=study.sex,
        pixels_sha256=pixels_sha256,
    )
