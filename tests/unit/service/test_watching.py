"""Watching: what is measured of a day, limits by hand, and alerts on the page, in the log and as notices."""

import json
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from scipy.stats import binom
from sqlalchemy import delete, select, update

from carina.dicom.transport.log import EventLog
from carina.service.audit_log.audit_tables import AuditEvent
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Judgement, Study
from carina.service.notices.notice_tables import Notice
from carina.service.notices.queue import keep_addresses
from carina.service.people.people_tables import Verdict
from carina.service.watching import alerts
from carina.service.watching.alerts import charts_of, measure_days
from carina.service.watching.chart_limits import TAIL, centre_of_shares, p_limits, xmr_limits
from carina.service.watching.charts import build_charts
from carina.service.watching.day_figures import DayFigures, Mean, measure_day
from carina.service.watching.watching_tables import Alert, WatchedDay
from clinic import Clinic, clinic, quick_passwords
from unit.service.test_good_enough import say

__all__ = ["clinic", "quick_passwords"]
FIRST = date(2026, 1, 1)


def figures(studies: int = 50, **changed: object) -> DayFigures:
    said = {
        "studies": studies,
        "refused": 1,
        "priorities": {"routine": studies - 3, "fast-track": 2, "not-assessable": 1},
        "probability": Mean(value=0.1, count=studies),
        "distance": Mean(value=1.0, count=studies),
        "age": Mean(value=60.0, count=studies),
        "manufacturers": {"North": studies - 10, "South": 10},
        "views": {"PA": studies},
        "agreed": 9,
        "verdicts": 10,
        "waiting": Mean(value=30.0, count=10),
    }
    return DayFigures.model_validate({**said, **changed})


def test_limits_of_single_values_are_2_66_mean_moving_ranges_from_the_mean() -> None:
    # Mean 11.5; moving ranges 2, 1, 4, mean 7/3.
    limits = xmr_limits([10, 12, 11, 15])
    assert (limits.low, limits.centre, limits.high) == pytest.approx((12 - 2.66 * 7 / 3, 12, 12 + 2.66 * 7 / 3))
    assert xmr_limits([10]) is None


def test_limits_of_shares_are_binomial_and_wider_on_small_days() -> None:
    centre = centre_of_shares([(5, 50)] * 19 + [(4, 49)])
    assert centre == pytest.approx(99.5 / 1000)
    # P(X <= 19) = 0.99888 and P(X <= 20) = 0.9994 of 100 at 0.1; P(X <= 1) = 0.0003, P(X <= 2) = 0.0019.
    large, small = p_limits(0.1, 100), p_limits(0.1, 10)
    assert (large.low, large.high) == (0.02, 0.2)
    assert small.high > large.high
    assert not large.leaves(0.2)
    assert large.leaves(0.21)


@pytest.mark.parametrize("centre", [1e-4, 0.01, 0.3, 0.5, 0.97, 0.9999])
def test_limits_of_shares_are_scipys_binomial_quantiles(centre: float) -> None:
    for total in (1, 2, 7, 40, 100, 813, 20_000):
        limits = p_limits(centre, total)
        expected = binom.ppf([TAIL, 1 - TAIL], total, centre) / total
        assert (limits.low, limits.high) == pytest.approx(tuple(expected), abs=0)


def test_the_first_days_have_no_limits_and_days_with_too_few_studies_do_not_count() -> None:
    days = [(FIRST + timedelta(days=place), figures(50 + place % 3)) for place in range(6)]
    days.insert(2, (FIRST + timedelta(days=40), figures(3, priorities={"not-assessable": 3}, refused=3)))
    changed = figures(
        50,
        probability=Mean(value=0.4, count=50),
        refused=20,
        priorities={"routine": 30, "not-assessable": 20},
        manufacturers={"East": 50},
        distance=Mean(value=1.0, count=50),
    )
    days.append((FIRST + timedelta(days=50), changed))
    charts = {chart.key: chart for chart in build_charts(days, days, first=5, fewest=10)}
    assert [point.limits is None for point in charts["refused"].points] == [True] * 6 + [False, False]
    assert charts["refused"].learning == 0
    out = {key for key, chart in charts.items() if chart.points[-1].is_out}
    assert {"refused", "probability", "manufacturer-1", "manufacturer-new", "priority-routine"} <= out
    assert not out & {"age", "view-1", "waiting", "agreement", "studies"}
    assert charts["manufacturer-1"].title == "Manufacturer North"
    assert charts["studies"].kind == "individuals chart"
    assert charts["refused"].kind == "p-chart"
    later = build_charts(days[:4], days[:4], first=20, fewest=10)
    assert {chart.learning for chart in later if chart.key in ("refused", "age")} == {17}


def test_another_model_begins_its_own_first_days() -> None:
    days = [(FIRST + timedelta(days=place), figures()) for place in range(8)]
    charts = {chart.key: chart for chart in build_charts(days, days[6:], first=5, fewest=10)}
    assert charts["probability"].learning == 3
    assert charts["age"].learning == 0


@pytest.fixture
def yesterday(clinic: Clinic) -> date:
    with writing(clinic.site.engine) as session:
        for table in (Verdict, Alert, WatchedDay, Notice):
            session.execute(delete(table))
        session.execute(update(Study).values(arrived_at=now() + timedelta(days=10)))
    return now().date() - timedelta(days=1)


def test_a_day_is_measured_from_its_studies_and_first_verdicts(clinic: Clinic, yesterday: date) -> None:
    noon = datetime.combine(yesterday, datetime.min.time(), UTC) + timedelta(hours=12)
    fast = clinic.add_study("fast-track", 0.9, Manufacturer="North", PatientAge="040Y", ViewPosition="PA")
    calm = clinic.add_study(
        "routine", 0.1, finding="Normal", Manufacturer="South", PatientAge="060Y", ViewPosition="AP"
    )
    bad = clinic.add_study("not-assessable", 0.3)
    waits = clinic.add_study(judged=False)
    say(clinic, [fast], "COVID-19")
    say(clinic, [fast], "Normal", "boris")
    say(clinic, [calm], "COVID-19")
    say(clinic, [bad], None)
    with writing(clinic.site.engine) as session:
        session.execute(update(Study).where(Study.id.in_([fast, calm, bad, waits])).values(arrived_at=noon))
        for place, verdict in enumerate(session.scalars(select(Verdict).order_by(Verdict.id))):
            verdict.at = noon + timedelta(minutes=10 * (place + 1))
        for row in session.scalars(select(Judgement)):
            row.embedding_distance = 2.0
    with reading(clinic.site.engine) as session:
        day = measure_day(session, yesterday)
        assert measure_day(session, yesterday - timedelta(days=1)).studies == 0
    assert (day.studies, day.refused, day.judged) == (4, 1, 3)
    assert day.priorities == {"fast-track": 1, "routine": 1, "not-assessable": 1}
    assert (day.probability.value, day.probability.count) == (pytest.approx(0.5), 2)
    assert (day.distance.value, day.distance.count) == (2.0, 3)
    assert day.age.value == pytest.approx(50, abs=15)
    assert day.views["PA"] >= 1
    # Two readers of one study: both say whether they agree, and the study has waited until the first.
    assert (day.agreed, day.verdicts) == (1, 3)
    assert (day.waiting.value, day.waiting.count) == (30.0, 3)


def test_a_chart_that_leaves_its_limits_is_told_on_the_page_in_the_log_and_to_webhooks(
    clinic: Clinic, yesterday: date
) -> None:
    keep_addresses(clinic.site.engine, ["https://told.example/hook"])
    with writing(clinic.site.engine) as session:
        for place in range(25):
            day = yesterday - timedelta(days=place + 1)
            row = figures(100 + place % 2, agreed=0, verdicts=0, waiting=Mean(value=None, count=0))
            session.add(
                WatchedDay(day=day, model_id=clinic.model_id, figures=row.model_dump(mode="json"), measured_at=now())
            )
    log = StringIO()
    assert measure_days(clinic.site, EventLog(log, as_json=True))
    assert not measure_days(clinic.site, EventLog(log))
    told = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["event"], line["chart"], line["day"]) for line in told] == [
        ("chart left its limits", "studies", yesterday.isoformat())
    ]
    with reading(clinic.site.engine) as session:
        (alert,) = session.scalars(select(Alert))
        (notice,) = session.scalars(select(Notice))
        assert {chart.key for chart in charts_of(session, clinic.site.settings.watching)} >= {"studies", "refused"}
    assert (notice.event, notice.address) == ("chart.left-its-limits", "https://told.example/hook")
    assert notice.data["chart"] == "studies"
    assert notice.data["value"] == 0
    reader, anna = clinic.client("berta"), clinic.client("anna")
    page = reader.get("/watching").text
    assert f"Studies a day was 0 on {yesterday}, below the limits of the first weeks" in page
    assert "1 chart has left the limits" in page
    assert "<svg" in page
    assert "style=" not in page
    assert reader.post(f"/watching/alerts/{alert.id}/seen", data={"csrf": clinic.csrf(reader)}).status_code == 403
    assert anna.post(f"/watching/alerts/{alert.id}/seen", data={"csrf": clinic.csrf(anna)}).status_code == 303
    assert anna.post("/watching/alerts/999/seen", data={"csrf": clinic.csrf(anna)}).status_code == 400
    assert "1 chart has left the limits" not in anna.get("/watching").text
    with reading(clinic.site.engine) as session:
        seen = session.scalars(select(AuditEvent).where(AuditEvent.action == "alert-seen")).one()
        assert (seen.actor, seen.subject) == (f"account {clinic.numbers['anna']}", f"alert {alert.id}")


def test_days_long_ago_raise_no_alert(clinic: Clinic, yesterday: date, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(clinic.site.engine) as session:
        for place in range(20):
            row = figures(100 + place % 2).model_dump(mode="json")
            day = yesterday - timedelta(days=60 - place)
            session.add(WatchedDay(day=day, model_id=clinic.model_id, figures=row, measured_at=now()))
    monkeypatch.setattr(alerts, "_TOGETHER", 5)
    assert measure_days(clinic.site, EventLog(StringIO()))
    with reading(clinic.site.engine) as session:
        assert session.scalars(select(Alert)).all() == []
