"""An administrator deletes a study, or all studies of a patient: somebody asks for it, or an image came by mistake.

What is deleted is that of `carina.service.retention`. Copies of the site that were made before still hold it.
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from carina.errors import ConfigurationError
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Study, StudyState
from carina.service.mode import said_reason
from carina.service.retention import delete_study
from carina.service.site_folder import Site
from carina.service.verdicts import NoSuchStudyError
from carina.wording import counted

_READ: tuple[StudyState, ...] = ("read", "disputed")
_NOT_READ: tuple[StudyState, ...] = ("unread", "open")


def studies_to_delete(session: Session, study_id: int, *, whole_patient: bool) -> Sequence[Study]:
    """Return a study, or all studies of its patient, without those that are deleted.

    Raises
    ------
    NoSuchStudyError
        If there is no such study.
    """
    study = session.get(Study, study_id)
    if study is None:
        msg = f"There is no study {study_id}."
        raise NoSuchStudyError(msg)
    wanted = Study.id == study_id
    if whole_patient and study.patient_key is not None:
        wanted = Study.patient_key == study.patient_key
    return session.scalars(select(Study).where(wanted, Study.state != "deleted").order_by(Study.id)).all()


def not_read(studies: Sequence[Study]) -> int:
    """Return how many of some studies nobody has read."""
    return sum(study.state in _NOT_READ for study in studies)


def delete_by_hand(
    site: Site, study_id: int, reason: str, *, whole_patient: bool, also_unread: bool, actor: str
) -> int:
    """Delete a study, or all studies of its patient; return how many were deleted.

    Parameters
    ----------
    reason
        Why, for the audit log. It must name no patient.
    also_unread
        Whether it was confirmed that studies are deleted which nobody has read.

    Raises
    ------
    NoSuchStudyError
        If there is no such study.
    ConfigurationError
        If there is no reason, nothing is left to delete, or a study that nobody has read would be deleted without a
        confirmation. Then nothing is deleted, unless an image came at that very moment.
    """
    reason = said_reason(reason)
    with reading(site.engine) as session:
        studies = studies_to_delete(session, study_id, whole_patient=whole_patient)
        numbers, unread = [study.id for study in studies], not_read(studies)
    if not numbers:
        msg = "This study is deleted already."
        raise ConfigurationError(msg)
    if unread and not also_unread:
        msg = (
            f"Nothing was deleted, since nobody has read {counted(unread, 'study', 'studies')} of "
            f"{len(numbers)}. Confirm that what nobody has read is to be deleted, too."
        )
        raise ConfigurationError(msg)
    states = _READ + _NOT_READ if also_unread else _READ
    deleted = sum(delete_study(site, number, reason, actor=actor, states=states) for number in numbers)
    if deleted < len(numbers):
        msg = (
            f"Deleted: {deleted} of {counted(len(numbers), 'study', 'studies')}. To the rest a new image came at this "
            "moment, which nobody has read. Look at it first."
        )
        raise ConfigurationError(msg)
    return deleted
