"""Each day is measured once it is over; a chart that has left its limits raises an alert."""

import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from carina.dicom.transport.log import EventLog
from carina.errors import ConfigurationError
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.insert import insert_new
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Study
from carina.service.notices.queue import queue_notice
from carina.service.site_folder import Site
from carina.service.site_settings import WatchingSettings
from carina.service.verdicts import model_in_use
from carina.service.watching.charts import Chart, Day, Point, build_charts
from carina.service.watching.day_figures import DayFigures, measure_day
from carina.service.watching.watching_tables import Alert, WatchedDay

_EVERY_S = 600.0
# What came just before midnight is judged by then.
_AFTER = timedelta(hours=1)
# Of days that are longer ago nobody is told: a site that was switched off for a month, for one.
RECENT = timedelta(days=7)
# Days that are measured at a time.
_TOGETHER = 30


def watch_days(site: Site, log: EventLog, stop: threading.Event) -> None:
    """Measure each day once it is over, until `stop` is set."""
    while not stop.is_set():
        try:
            while measure_days(site, log) and not stop.is_set():
                pass
        except SQLAlchemyError as error:
            log.tell("day not measured", kind=type(error).__name__)
        stop.wait(_EVERY_S)


def measure_days(site: Site, log: EventLog) -> bool:
    """Measure some days that are over and were not measured, and raise their alerts; return whether there were any."""
    with reading(site.engine) as session:
        days = _missing(session)
        measured = [(day, measure_day(session, day)) for day in days]
        model = model_in_use(session)
        model_id = None if model is None else model.id
    if not days:
        return False
    with writing(site.engine) as session:
        for day, figures in measured:
            row = {"model_id": model_id, "figures": figures.model_dump(mode="json"), "measured_at": now()}
            insert_new(session, WatchedDay, day=day, **row)
    with reading(site.engine) as session:
        charts = charts_of(session, site.settings.watching)
    for chart in charts:
        for point in chart.points:
            if point.is_out and point.day in days and now().date() - point.day <= RECENT:
                _raise_alert(site, log, chart, point)
    return True


def charts_of(session: Session, settings: WatchingSettings) -> tuple[Chart, ...]:
    """Return the charts of a site."""
    rows = session.execute(
        select(WatchedDay.day, WatchedDay.model_id, WatchedDay.figures).order_by(WatchedDay.day)
    ).all()
    days: list[Day] = [(row.day, DayFigures.model_validate(row.figures)) for row in rows]
    last = rows[-1].model_id if rows else None
    of_model = [each for each, row in zip(days, rows, strict=True) if row.model_id == last]
    return build_charts(days, of_model, first=settings.first_days, fewest=settings.fewest)


def open_alerts(session: Session) -> Sequence[Alert]:
    """Return the alerts of the last days at which nobody has looked, the latest first."""
    recent = Alert.at > now() - RECENT
    return session.scalars(select(Alert).where(recent, Alert.seen_at.is_(None)).order_by(Alert.id.desc())).all()


def note_seen(engine: Engine, alert_id: int, *, account_id: int) -> None:
    """Note that an administrator has looked at an alert.

    Raises
    ------
    ConfigurationError
        If there is no such alert.
    """
    with writing(engine) as session:
        alert = session.get(Alert, alert_id)
        if alert is None:
            msg = f"There is no alert {alert_id}."
            raise ConfigurationError(msg)
        if alert.seen_at is None:
            alert.seen_at, alert.seen_by = now(), account_id
            append(session, f"account {account_id}", "alert-seen", f"alert {alert_id}", {"chart": alert.chart})


def _missing(session: Session) -> list[date]:
    """Return the first days that are over and were not measured."""
    last = session.scalar(select(func.max(WatchedDay.day)))
    if last is None:
        first: datetime | None = session.scalar(select(func.min(Study.arrived_at)))
        if first is None:
            return []
        last = first.astimezone(UTC).date() - timedelta(days=1)
    days: list[date] = []
    day = last + timedelta(days=1)
    while len(days) < _TOGETHER and datetime.combine(day + timedelta(days=1), time(), UTC) + _AFTER <= now():
        days.append(day)
        day += timedelta(days=1)
    return days


def _raise_alert(site: Site, log: EventLog, chart: Chart, point: Point) -> None:
    words = in_words(chart, point)
    with writing(site.engine) as session:
        alert = insert_new(session, Alert, day=point.day, chart=chart.key, words=words, at=now())
        if alert is None:
            return
        limits = point.limits
        facts = {"alert": alert, "chart": chart.key, "day": point.day.isoformat(), "value": round(point.value, 4)}
        if limits is not None:
            facts |= {"low": round(limits.low, 4), "high": round(limits.high, 4)}
        queue_notice(session, "chart.left-its-limits", facts)
        announce(session)
    log.tell("chart left its limits", chart=chart.key, day=point.day.isoformat())


def in_words(chart: Chart, point: Point) -> str:
    """Return in a sentence how a chart has left its limits."""
    if point.limits is None:
        return ""
    value, low, high = (_written(chart, number) for number in (point.value, point.limits.low, point.limits.high))
    side = "above" if point.value > point.limits.high else "below"
    return f"{chart.title} was {value} on {point.day:%Y-%m-%d}, {side} the limits of the first weeks ({low} to {high})."


def _written(chart: Chart, number: float) -> str:
    if chart.unit == "share":
        return f"{100 * number:.1f} %"
    return f"{number:.3f}" if chart.unit in ("probability", "SD") else f"{number:.0f}"
