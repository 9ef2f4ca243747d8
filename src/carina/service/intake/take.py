"""The one way in: bytes become an object in the store and rows in the database, each input once.

An image is known by what it holds, not by its name or way: a DICOM file by its transfer syntax and its data set,
whatever File Meta Information a sender puts before it; any other image by its bytes. An input that comes again adds an
arrival and nothing else.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from carina.dicom.listener.store import digest_of
from carina.errors import CarinaError, InputError
from carina.radiographs.dicom.outline import read_meta
from carina.radiographs.dicom.study_header import StudyHeader, shown_text
from carina.radiographs.dicom.workers import shared_workers
from carina.radiographs.file_kind import DICOM_IMAGE, HEAD_BYTES, FileKind, kind_of
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.folded_text import fold
from carina.service.database.insert import insert_new
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Arrival, Image, ImageKind, Source, Study
from carina.service.site_folder import Site

# The pixels of nearly every file begin before.
_HEADER_BYTES = 256 * 1024
# The reason of an image whose file is gone from the store: it is judged when it comes again.
LOST = "object-lost"
# Of objects that hold no image: they go with a study, and are not kept.
_NO_IMAGE = frozenset({"companion-object", "own-answer", "no-image"})
# Of a header that is not simply damaged. Without it the image would be listed without its patient.
_NOT_OF_THE_FILE = _NO_IMAGE | {"decoder-unavailable"}


@dataclass(frozen=True, slots=True)
class Taken:
    """An image that is in the store and in the database: on the disk, whatever happens next.

    Attributes
    ----------
    image_id, study_id
        Of its rows.
    digest
        By which it is known.
    is_new
        Whether it was not there before.
    """

    image_id: int
    study_id: int
    digest: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An input that is no image, or must not be one of this site: why, in a word and in a sentence without its name."""

    code: str
    message: str


class NotTakenError(CarinaError):
    """An input could not be kept now, by no fault of its own; it may be sent again.

    Parameters
    ----------
    message
        Why, and what to do.
    code
        ``disk-full``, ``database-unavailable`` or ``decoder-unavailable``.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def take(site: Site, content: bytes, *, name: str, source: Source) -> Taken | LeftOut:
    """Take an image in. What is taken may be acknowledged when this returns: object and row are on the disk.

    Parameters
    ----------
    site
        That takes it.
    content
        A file: DICOM, with or without preamble, or an image of another format. One that cannot be decoded is taken too;
        it is listed with its reason.
    name
        Of the file, as given; no part of a path comes from it.
    source
        The way in which it came.

    Raises
    ------
    NotTakenError
        If the disk is full, or the database or the process that reads headers is not there. It must not be
        acknowledged then.
    """
    kind = kind_of(_last_part(name), content[:HEAD_BYTES])
    if (refused := _refused(site, content, kind)) is not None:
        return refused
    is_dicom = kind == DICOM_IMAGE
    digest = _digest(content, is_dicom=is_dicom)
    try:
        if (known := _known(site, digest)) is not None and site.store.object_path(digest).is_file():
            with writing(site.engine) as session:
                session.add(Arrival(image_id=known.image_id, source=source, at=now()))
            return known
        header = StudyHeader()
        if is_dicom:
            try:
                header = _header(content)
            except InputError as error:
                if error.code in _NO_IMAGE:
                    return LeftOut(error.code, _sentence(str(error)))
                raise NotTakenError(_sentence(str(error)), error.code) from None
        if not site.has_room_for(len(content)):
            msg = "The disk of the site is nearly full. Free some room; the same input may then be sent again."
            raise NotTakenError(msg, "disk-full")
        site.store.write_object(digest, (content,))
        arriving = _Arriving(digest, header, name, "dicom" if is_dicom else "raster", len(content), source)
        with writing(site.engine) as session:
            return _add(session, arriving)
    except OSError as error:
        msg = f"The site could not keep the image ({type(error).__name__}: {error.strerror}). Mend its disk."
        raise NotTakenError(msg, "disk-full") from None
    except SQLAlchemyError as error:
        # Its text may hold what was to be written.
        kind_of_error = type(getattr(error, "orig", None) or error).__name__
        msg = f"The site's database does not take anything now ({kind_of_error}). Nothing was acknowledged."
        raise NotTakenError(msg, "database-unavailable") from None


def patient_key(header: StudyHeader) -> str | None:
    """Return the hash by which images of one patient are found: of the ID and who issued it; none without an ID."""
    if header.patient_id is None:
        return None
    return digest_of(header.patient_id.encode(), (header.issuer_of_patient_id or "").encode())


@dataclass(frozen=True, slots=True)
class _Arriving:
    digest: str
    header: StudyHeader
    name: str
    kind: ImageKind
    size: int
    source: Source


def _refused(site: Site, content: bytes, kind: FileKind) -> LeftOut | None:
    if not content:
        return LeftOut("empty-file", "The file is empty. Copy it again from where it came from.")
    if not kind.is_image:
        return LeftOut("no-image", f"This is no image: {kind.name}.")
    if len(content) > site.settings.limits.object_bytes:
        most = f"{site.settings.limits.object_mb:g} MB"
        return LeftOut("too-large", f"The file is larger than {most}, the most that this site takes for an image.")
    return None


def _digest(content: bytes, *, is_dicom: bool) -> str:
    if is_dicom:
        with suppress(InputError):
            meta = read_meta(content)
            return digest_of((meta.transfer_syntax or "").encode(), content[meta.end :])
    return hashlib.sha256(content).hexdigest()


def _header(content: bytes) -> StudyHeader:
    """Return what a header says; nothing where it cannot be read, which is said when the image is judged.

    Raises
    ------
    InputError
        If the object holds no image, or nothing can be read now (``decoder-unavailable``).
    """
    workers = shared_workers()
    beginning = content[:_HEADER_BYTES]
    try:
        return workers.describe(beginning)
    except InputError as error:
        if error.code in _NOT_OF_THE_FILE:
            raise
    # Anything else may only be so because it was cut off.
    try:
        return workers.describe(content) if len(beginning) < len(content) else StudyHeader()
    except InputError as error:
        if error.code in _NOT_OF_THE_FILE:
            raise
        return StudyHeader()


def _known(site: Site, digest: str) -> Taken | None:
    """Return an image that came before; none where it is new."""
    with reading(site.engine) as session:
        known = session.execute(select(Image.id, Image.study_id).where(Image.digest == digest)).one_or_none()
    return None if known is None else Taken(known.id, known.study_id, digest, is_new=False)


def _add(session: Session, arriving: _Arriving) -> Taken:
    """Add the rows of an image, unless another process was faster with the same one."""
    study_id = _study(session, arriving)
    received, header = now(), arriving.header
    of_file = {
        "sop_instance_uid": header.sop_instance_uid,
        "series_instance_uid": header.series_instance_uid,
        "name": shown_text(_last_part(arriving.name)) or "",
    }
    image_id = insert_new(
        session,
        Image,
        digest=arriving.digest,
        study_id=study_id,
        kind=arriving.kind,
        bytes=arriving.size,
        received_at=received,
        rows=header.rows,
        columns=header.columns,
        **of_file,
    )
    is_new = image_id is not None
    if is_new:
        _reopen(session, study_id)
    # Else another process was faster, or retention had deleted the file, and here it is again.
    image = session.execute(select(Image).where(Image.digest == arriving.digest)).scalar_one()
    # Looked at once more, and held: retention may have deleted it since.
    study = session.get_one(Study, image.study_id, populate_existing=True, with_for_update=True)
    if image.error_code == LOST:
        image.state, image.attempts, image.error_code, image.error_message = "received", 0, None, None
        study.state, study.changed_at = "unread", received
    if study.removed_at is not None:
        for name, value in {
            **_of_study(arriving),
            "removed_at": None,
            "state": "unread",
            "changed_at": received,
        }.items():
            setattr(study, name, value)
        for name, value in of_file.items():
            setattr(image, name, value)
    image_id, study_id = image.id, study.id
    session.add(Arrival(image_id=image_id, source=arriving.source, at=received))
    announce(session)
    return Taken(image_id, study_id, arriving.digest, is_new=is_new)


def _study(session: Session, arriving: _Arriving) -> int:
    """Return the study of an image; it is added if it is new."""
    header = arriving.header
    patient = patient_key(header)
    uid = header.study_instance_uid
    key = hashlib.sha256(uid.encode()).hexdigest() if uid else hashlib.sha256(arriving.digest.encode()).hexdigest()
    arrived = now()
    values = {**_of_study(arriving), "source": arriving.source, "arrived_at": arrived, "changed_at": arrived}
    found = insert_new(session, Study, key=key, **values)
    if found is None:
        there = session.execute(select(Study).where(Study.key == key)).scalar_one()
        # Of a study that was deleted nobody knows any more whose it was.
        if there.patient_key == patient or there.removed_at is not None:
            return int(there.id)
        # One UID and two patients: under one line, an image would be shown with another patient's name.
        key = digest_of(key.encode(), (patient or "").encode())
        found = insert_new(session, Study, key=key, **values)
    if found is None:
        found = session.execute(select(Study.id).where(Study.key == key)).scalar_one()
    return int(found)


def _of_study(arriving: _Arriving) -> dict[str, Any]:
    """Return what a header says of a study, by the names of the columns."""
    header = arriving.header
    return {
        "study_instance_uid": header.study_instance_uid,
        "patient_name": header.patient_name,
        "patient_id": header.patient_id,
        "patient_key": patient_key(header),
        "accession_number": header.accession_number,
        "searched": fold(header.patient_name, header.patient_id, header.accession_number),
        "study_date": date.fromisoformat(header.study_date) if header.study_date else None,
        "description": header.study_description,
        "sex": header.sex,
        "age_years": header.age_years,
        "modality": (header.modality or "")[:16] or None,
        "manufacturer": header.manufacturer,
        "view": header.view,
    }


def _reopen(session: Session, study_id: int) -> None:
    """Let a study that was read be unread again: it has an image that nobody has seen."""
    session.execute(update(Study).where(Study.id == study_id).values(changed_at=now()))
    session.execute(update(Study).where(Study.id == study_id, Study.state == "read").values(state="unread"))


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}"
