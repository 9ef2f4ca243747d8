"""The tables of watching: the figures of each day, and the alerts that they raised."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from carina.service.database.base import Base, JsonValue


class WatchedDay(Base):
    """What was measured on a day, in UTC; see `carina.service.watching.day_figures.DayFigures`.

    Attributes
    ----------
    model_id
        Of the model that was in use when the day was measured.
    """

    __tablename__ = "watched_day"
    day: Mapped[date] = mapped_column(primary_key=True)
    model_id: Mapped[int | None] = mapped_column(ForeignKey("model.id"))
    figures: Mapped[Any] = mapped_column(JsonValue)
    measured_at: Mapped[datetime]


class Alert(Base):
    """A chart left its limits on a day.

    Attributes
    ----------
    chart
        Its key; see `carina.service.watching.charts.Chart`.
    words
        A sentence for people. It may hold the name of a manufacturer, and nothing of a patient.
    seen_at, seen_by
        When an administrator noted that it was looked at.
    """

    __tablename__ = "alert"
    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date]
    chart: Mapped[str] = mapped_column(String(64))
    words: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(index=True)
    seen_at: Mapped[datetime | None]
    seen_by: Mapped[int | None] = mapped_column(ForeignKey("account.id"))

    __table_args__ = (UniqueConstraint("day", "chart"),)
