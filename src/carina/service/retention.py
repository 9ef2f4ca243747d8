"""Studies that were read are deleted when they are old, or when the disk is full; what is unread never is.

Deleted are the images, and everything that names a patient: names, numbers, UIDs and notes. Verdicts and what the
models said remain, without a name: the figures of *Is it good enough here?* do not change.
"""

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError

from carina.dicom.transport.log import EventLog
from carina.service import kept_evidence, pictures
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Study, StudyState
from carina.service.parts import forget_gone
from carina.service.people.people_tables import Verdict
from carina.service.site_folder import Site
from carina.service.verdicts import return_left

_EVERY_S = 600.0
_CLEAN_EVERY_S = 86_400.0
_TOGETHER = 50


def keep_house(site: Site, log: EventLog, stop: threading.Event) -> None:
    """Delete what is to be deleted, now and then, until `stop` is set."""
    cleaned = time.monotonic()
    while not stop.wait(_EVERY_S):
        try:
            return_left(site.engine)
            deleted = apply_retention(site)
            with writing(site.engine) as session:
                forget_gone(session, site.settings)
            if time.monotonic() > cleaned + _CLEAN_EVERY_S:
                cleaned = time.monotonic()
                site.clean()
        except (SQLAlchemyError, OSError) as error:
            log.tell("not deleted", kind=type(error).__name__)
        else:
            if deleted:
                log.tell("deleted", studies=deleted)


def apply_retention(site: Site) -> int:
    """Delete what the site's settings say (`carina.service.site_settings.Retention`); return how many studies."""
    rules, count = site.settings.retention, 0
    if rules.days is not None:
        before = now() - timedelta(days=rules.days)
        while found := _oldest(site, Study.arrived_at < before):
            count += sum(delete_study(site, study_id, f"older than {rules.days:g} days") for study_id in found)
    if rules.disk_share is not None:
        for study_id in _as_long_as_full(site, rules.disk_share):
            count += delete_study(
                site, study_id, f"the site's images take over {100 * rules.disk_share:g} % of the disk"
            )
    return count


def delete_study(
    site: Site, study_id: int, why: str, *, actor: str = "system", states: Sequence[StudyState] = ("read",)
) -> bool:
    """Delete the images of a study, and what names its patient; return whether it was still in one of some states."""
    with writing(site.engine) as session:
        study = session.execute(select(Study).where(Study.id == study_id).with_for_update()).scalar_one()
        # An image may have come since, which nobody has seen.
        if study.state not in states:
            return False
        was = study.state
        images = session.scalars(select(Image).where(Image.study_id == study_id)).all()
        for image in images:
            _delete_files(site, image.digest)
            image.name, image.sop_instance_uid, image.series_instance_uid = "", None, None
        for name in ("study_instance_uid", "patient_name", "patient_id", "patient_key", "accession_number"):
            setattr(study, name, None)
        study.state, study.searched, study.description = "deleted", "", None
        study.removed_at, study.changed_at = now(), now()
        session.execute(update(Verdict).where(Verdict.study_id == study_id).values(note=""))
        append(session, actor, "study-deleted", f"study {study_id}", {"why": why, "was": was, "images": len(images)})
        announce(session)
    return True


def _delete_files(site: Site, digest: str) -> None:
    # With answers to it that were not sent.
    site.store.discard(digest)
    (site.folder / pictures.FOLDER / digest[:2] / f"{digest}.jpg").unlink(missing_ok=True)
    for path in (site.folder / kept_evidence.FOLDER / digest[:2]).glob(f"{digest}-*.json"):
        path.unlink(missing_ok=True)


def _oldest(site: Site, *conditions: object) -> list[int]:
    wanted = select(Study.id).where(Study.state == "read", *conditions)  # type: ignore[arg-type]
    with reading(site.engine) as session:
        return list(session.scalars(wanted.order_by(Study.arrived_at, Study.id).limit(_TOGETHER)))


def _as_long_as_full(site: Site, share: float) -> Iterator[int]:
    """Yield studies, the oldest first, until the site's images take no more than a share of the disk, or none is left.

    What others have on the same disk does not count: to delete studies for it would never end before the last one.
    """
    most = share * shutil.disk_usage(site.store.folder).total
    while found := _oldest(site):
        for study_id in found:
            if _bytes_of_images(site) <= most:
                return
            yield study_id


def _bytes_of_images(site: Site) -> int:
    kept = select(func.sum(Image.bytes)).join(Study, Study.id == Image.study_id).where(Study.state != "deleted")
    with reading(site.engine) as session:
        return int(session.scalar(kept) or 0)
