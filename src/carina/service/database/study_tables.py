"""What Carina judges: studies, their images, the models, and what each model says of each image."""

from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

from sqlalchemy import BigInteger, Enum, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from carina.decisions.triage import READING_PLACES, Priority
from carina.service.database.base import Base, JsonValue
from carina.service.database.folded_text import folded_study

Source = Literal["upload", "c-store", "folder", "dicomweb", "api"]
StudyState = Literal["unread", "open", "read", "disputed", "deleted"]
ImageState = Literal["received", "judged", "refused", "failed"]
ImageKind = Literal["dicom", "raster"]
ModelRole = Literal["in-use", "silent", "retired"]
DeliveryState = Literal["waiting", "sent", "dead"]

AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
# What was not judged yet has the place of what cannot be judged: it must not wait behind what was judged to be Normal.
WAITING_PLACE = READING_PLACES["not-assessable"]


def one_of(values: Any, name: str) -> Enum:
    """Return a column's type for one of some words; the database refuses others.

    Parameters
    ----------
    values
        A `Literal` of the words.
    name
        Of the constraint.
    """
    return Enum(*get_args(values), name=name, native_enum=False, create_constraint=True, length=24)


class Study(Base):
    """A study, as the worklist shows it: its header, and what the model in use says of its most urgent image.

    Attributes
    ----------
    key
        SHA-256 of the Study Instance UID, or of the image's digest where there is none.
    searched
        Name, ID and accession number as a search sees them; see `carina.service.database.folded_text`. Whoever changes
        one of them changes it too.
    patient_key
        SHA-256 of the patient's ID and its issuer, by which prior studies are found; null without an ID.
    arrived_at
        When the first image came.
    changed_at
        When anything of the study changed last.
    priority, place, finding, probability, finding_probability, code, reason, gate_accepted, judged_at, image_id
        Of the most urgent image (the smallest place, then the largest probability), by the model in use. Before the
        first image is judged, `priority` and `judged_at` are null and `place` is `WAITING_PLACE`. An image that could
        not be judged counts as ``not-assessable``, with its reason. `probability` is that of the flagged finding,
        `finding_probability` that of the most probable one.
    removed_at
        When its images, and what names its patient, were deleted; see `carina.service.retention`. Its state is then
        ``deleted``, until one of its images comes again.
    """

    __tablename__ = "study"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    study_instance_uid: Mapped[str | None] = mapped_column(Text)
    patient_name: Mapped[str | None] = mapped_column(Text)
    patient_id: Mapped[str | None] = mapped_column(Text)
    patient_key: Mapped[str | None] = mapped_column(String(64), index=True)
    accession_number: Mapped[str | None] = mapped_column(Text)
    searched: Mapped[str] = mapped_column(Text, default=folded_study)
    study_date: Mapped[date | None]
    description: Mapped[str | None] = mapped_column(Text)
    sex: Mapped[str | None] = mapped_column(String(16))
    age_years: Mapped[float | None]
    modality: Mapped[str | None] = mapped_column(String(16))
    manufacturer: Mapped[str | None] = mapped_column(Text)
    view: Mapped[str | None] = mapped_column(String(16))
    source: Mapped[Source] = mapped_column(one_of(Source, "source"))
    arrived_at: Mapped[datetime]
    changed_at: Mapped[datetime] = mapped_column(index=True)
    state: Mapped[StudyState] = mapped_column(one_of(StudyState, "state"), default="unread")
    opened_by: Mapped[int | None]
    opened_at: Mapped[datetime | None]
    priority: Mapped[Priority | None] = mapped_column(one_of(Priority, "priority"))
    place: Mapped[int] = mapped_column(default=WAITING_PLACE)
    finding: Mapped[str | None] = mapped_column(Text)
    probability: Mapped[float | None]
    finding_probability: Mapped[float | None]
    code: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(Text)
    gate_accepted: Mapped[bool | None]
    judged_at: Mapped[datetime | None]
    image_id: Mapped[int | None]
    removed_at: Mapped[datetime | None]

    images: Mapped[list["Image"]] = relationship(back_populates="study", order_by="Image.id")

    __table_args__ = (
        Index("ix_study_by_arrival", "arrived_at", "id"),
        Index("ix_study_by_place", "place", "arrived_at", "id"),
        Index("ix_study_by_state_and_arrival", "state", "arrived_at", "id"),
        Index("ix_study_by_state_and_place", "state", "place", "arrived_at", "id"),
        Index("ix_study_by_source_and_arrival", "source", "arrived_at", "id"),
        Index("ix_study_by_source_and_place", "source", "place", "arrived_at", "id"),
        # A search reads all of this, and nothing else of the rows.
        Index("ix_study_by_words", "searched", "id"),
    )


class Image(Base):
    """An image that came in. The row is its journal: it is written before the image is acknowledged.

    States: ``received`` until the model in use judged it (``judged``), or it was found that it cannot be judged
    (``refused``), or judging it was given up (``failed``).

    Attributes
    ----------
    digest
        By which an image that comes again is known; see `carina.service.intake.take`. Also its name in the store.
    name
        The name of its file, as given. It may name a patient: it is never part of an address or of the log.
    attempts, due_at
        How many attempts failed, and when the next may be made. At first it is `AT_ONCE`, long ago, so that no image
        waits because a clock is set back.
    claimed_by, claimed_at
        Which worker judges it, and since when; the claim ends with the worker or with its time.
    error_code, error_message
        Why it was refused or has failed.
    """

    __tablename__ = "image"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    sop_instance_uid: Mapped[str | None] = mapped_column(Text)
    series_instance_uid: Mapped[str | None] = mapped_column(Text, index=True)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[ImageKind] = mapped_column(one_of(ImageKind, "kind"))
    bytes: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime]
    state: Mapped[ImageState] = mapped_column(one_of(ImageState, "state"), default="received")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(default=AT_ONCE)
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    claimed_at: Mapped[datetime | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    pixels_sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    rows: Mapped[int | None]
    columns: Mapped[int | None]

    study: Mapped[Study] = relationship(back_populates="images")
    judgements: Mapped[list["Judgement"]] = relationship(back_populates="image", order_by="Judgement.id")

    __table_args__ = (
        Index(
            "ix_image_waiting",
            "due_at",
            "id",
            sqlite_where=text("state = 'received'"),
            postgresql_where=text("state = 'received'"),
        ),
    )


class Arrival(Base):
    """A time and a way that an image came. One that comes again adds a row here and nothing else."""

    __tablename__ = "arrival"
    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), index=True)
    source: Mapped[Source] = mapped_column(one_of(Source, "source"))
    at: Mapped[datetime]


class WatchedFile(Base):
    """A file of the watched folder that was taken or left out, so that a start does not read all of them again.

    Attributes
    ----------
    key
        SHA-256 of its path, size and time of change: a file that changed is another one.
    """

    __tablename__ = "watched_file"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]


class Part(Base):
    """A part of the site that runs, or ran: a worker, the listener, the watched folder.

    Attributes
    ----------
    name
        Its kind and which of that kind it is.
    seen_at
        When it last said that it is there.
    problem
        What keeps it from its work, as a sentence for an administrator; null where nothing does.
    """

    __tablename__ = "part"
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    seen_at: Mapped[datetime]
    problem: Mapped[str | None] = mapped_column(Text)


class Model(Base):
    """A model that judges here or has judged here. At most one is in use.

    Attributes
    ----------
    sha256
        By which the model is known: of its folder's own list of hashes.
    folder
        Where it lies, relative to the site's folder if it lies there.
    flag_finding
        The finding that it flags, whose probability studies and judgements hold.
    """

    __tablename__ = "model"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    folder: Mapped[str] = mapped_column(Text)
    flag_finding: Mapped[str] = mapped_column(Text)
    role: Mapped[ModelRole] = mapped_column(one_of(ModelRole, "role"))
    added_at: Mapped[datetime]

    __table_args__ = (
        Index(
            "uq_model_in_use",
            "role",
            unique=True,
            sqlite_where=text("role = 'in-use'"),
            postgresql_where=text("role = 'in-use'"),
        ),
    )


class Judgement(Base):
    """What a model says of an image. There is one for each image and model, whoever tries twice.

    Attributes
    ----------
    finding
        The most probable one; null where nothing is said.
    probability
        Of the model's flagged finding, calibrated, 0 to 1; null where nothing is said.
    probabilities
        Of every finding by name, summing to 1; empty where nothing is said.
    code, reason
        See `carina.decisions.triage.Triage`; for an image that could not be judged, why.
    gate_accepted
        The gate's word; null where no gate looked.
    reservations
        Sentences that say what a reader should know, in order.
    elapsed_ms
        Milliseconds of judging alone.
    embedding_distance
        Of the image to the radiographs that the model's gate was fitted to, in the segmenter's features, in standard
        deviations (1 is usual); null where the model has no gate.
    """

    __tablename__ = "judgement"
    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"), index=True)
    at: Mapped[datetime] = mapped_column(index=True)
    priority: Mapped[Priority] = mapped_column(one_of(Priority, "priority"))
    finding: Mapped[str | None] = mapped_column(Text)
    probability: Mapped[float | None]
    probabilities: Mapped[dict[str, float]] = mapped_column(JsonValue)
    code: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    gate_accepted: Mapped[bool | None]
    reservations: Mapped[list[str]] = mapped_column(JsonValue)
    precision: Mapped[str | None] = mapped_column(String(16))
    elapsed_ms: Mapped[float | None]
    embedding_distance: Mapped[float | None]

    image: Mapped[Image] = relationship(back_populates="judgements")
    model: Mapped[Model] = relationship()

    __table_args__ = (UniqueConstraint("image_id", "model_id"),)


class Delivery(Base):
    """An answer that is to be sent: the outbox. Nothing in it is sent while the site is silent."""

    __tablename__ = "delivery"
    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    destination: Mapped[str] = mapped_column(String(64))
    state: Mapped[DeliveryState] = mapped_column(one_of(DeliveryState, "state"), default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(index=True)
    reason: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (UniqueConstraint("image_id", "model_id", "destination"),)


# The condition of an image that waits to be judged. Written out: for a value that is bound, SQLite would not use the
# index of those that wait.
WAITING = text("image.state = 'received'")
