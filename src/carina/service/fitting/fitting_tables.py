"""The table of what was asked for and what came of it: a model that is fitted to the site's own verdicts."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from carina.service.database.base import Base, JsonValue
from carina.service.database.study_tables import one_of

FittingKind = Literal["recalibrate", "adapt"]
FittingState = Literal["waiting", "running", "made", "refused", "failed"]


class Fitting(Base):
    """A fitting that an administrator asked for.

    Attributes
    ----------
    model_id
        Of the model that is fitted. It stays as it is.
    reason
        Why, in the words of the administrator.
    state
        ``made`` where there is a new model, ``refused`` where the library refused, ``failed`` where the process broke.
    claimed_by, attempts
        Which worker runs it, and how often it was begun.
    message
        Why there is no new model; null where there is one.
    report
        What was measured on verdicts held out; see `carina.service.fitting.fitting_report.FittingReport`.
    made_model_id
        The new model, which judges in silence.
    """

    __tablename__ = "fitting"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[FittingKind] = mapped_column(one_of(FittingKind, "kind"))
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    asked_by: Mapped[int] = mapped_column(ForeignKey("account.id"))
    asked_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[FittingState] = mapped_column(one_of(FittingState, "state"), default="waiting")
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(default=0)
    finished_at: Mapped[datetime | None]
    message: Mapped[str | None] = mapped_column(Text)
    report: Mapped[Any] = mapped_column(JsonValue, default=None, nullable=True)
    made_model_id: Mapped[int | None] = mapped_column(ForeignKey("model.id"))
