"""The table of notices: what other programs are told, queued until they have it."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from carina.service.database.base import Base, JsonValue
from carina.service.database.study_tables import DeliveryState, one_of

Event = Literal["study.judged", "verdict.given", "chart.left-its-limits"]


class Notice(Base):
    """An event that one address is told of.

    Attributes
    ----------
    data
        Numbers of studies and images, priorities, codes: nothing that names a patient.
    address
        As the site's settings have it.
    reason
        Why the last attempt failed.
    """

    __tablename__ = "notice"
    id: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[Event] = mapped_column(one_of(Event, "event"))
    data: Mapped[Any] = mapped_column(JsonValue)
    address: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    state: Mapped[DeliveryState] = mapped_column(one_of(DeliveryState, "state"), default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    reason: Mapped[str | None] = mapped_column(String(64))

    __table_args__ = (Index("ix_notice_by_state_and_due", "state", "due_at", "id"),)
