"""``/metrics`` for Prometheus: numbers of the site, and nothing of a patient.

Who may read it is a setting: a token with the scope metrics, anybody, or nobody.
"""

import shutil
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from carina._version import __version__
from carina.service.database.base import now
from carina.service.database.sessions import reading
from carina.service.database.study_tables import WAITING, Delivery, Image, Judgement, Model, Part, Study
from carina.service.mode import mode_of
from carina.service.notices.notice_tables import Notice
from carina.service.parts import problems
from carina.service.people.people_tables import Verdict
from carina.service.people.tokens import person_of_token
from carina.service.site_folder import Site
from carina.service.watching.alerts import open_alerts
from carina.service.web.asking import AskedSite
from carina.service.web.problems import ProblemError

router = APIRouter()
_bearer = HTTPBearer(auto_error=False)


@router.get("/metrics")
def show_metrics(
    request: Request, site: AskedSite, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Response:
    """Return the numbers in the format of Prometheus."""
    who = site.settings.metrics
    if who == "off":
        raise ProblemError(404, "not-found", "There is nothing at this address.")
    if who == "token":
        person = None if sent is None else person_of_token(site.engine, sent.credentials)
        if person is None:
            raise ProblemError(401, "token-needed", "Send a token with the scope metrics: Authorization: Bearer ...")
        if person.scopes is None or "metrics" not in person.scopes:
            raise ProblemError(403, "scope-missing", "This token does not have the scope metrics.")
    registry: CollectorRegistry = getattr(request.app.state, "metrics", None) or _registry(site)
    request.app.state.metrics = registry
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _registry(site: Site) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(SiteNumbers(site))
    # Memory and processor time of the process that serves the pages.
    ProcessCollector(registry=registry)
    return registry


class SiteNumbers(Collector):
    """The numbers of a site, asked of its database each time."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: no question is asked of the database before somebody reads."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the numbers."""
        yield InfoMetricFamily("carina", "Version of Carina.", value={"version": __version__})
        usage = shutil.disk_usage(self._site.store.folder)
        yield GaugeMetricFamily("carina_disk_free_bytes", "Free bytes on the site's disk.", value=usage.free)
        with reading(self._site.engine) as session:
            yield from _counts(session)
            oldest = session.scalar(select(func.min(Image.received_at)).where(WAITING))
            waited = 0.0 if oldest is None else max(0.0, (now() - oldest).total_seconds())
            yield GaugeMetricFamily(
                "carina_oldest_waiting_seconds", "How long the first image waits to be judged.", value=waited
            )
            live = float(mode_of(session) == "live")
            yield GaugeMetricFamily("carina_live", "1 where the site is live, 0 where it is silent.", value=live)
            yield GaugeMetricFamily("carina_problems", "Problems that pages show.", value=len(problems(session)))
            yield GaugeMetricFamily(
                "carina_open_alerts",
                "Charts that left their limits and at which nobody looked.",
                value=len(open_alerts(session)),
            )


def _counts(session: Session) -> Iterator[Metric]:
    in_use = select(Model.id).where(Model.role == "in-use").scalar_subquery()
    for name, says, label, query in (
        ("carina_images", "Images by state.", "state", select(Image.state, func.count()).group_by(Image.state)),
        ("carina_studies", "Studies by state.", "state", select(Study.state, func.count()).group_by(Study.state)),
        (
            *("carina_judgements", "Images by the priority that the model in use gave.", "priority"),
            select(Judgement.priority, func.count()).where(Judgement.model_id == in_use).group_by(Judgement.priority),
        ),
        ("carina_verdicts", "Verdicts by kind.", "kind", select(Verdict.kind, func.count()).group_by(Verdict.kind)),
        (
            *("carina_deliveries", "Answers by state.", "state"),
            select(Delivery.state, func.count()).group_by(Delivery.state),
        ),
        ("carina_notices", "Notices by state.", "state", select(Notice.state, func.count()).group_by(Notice.state)),
    ):
        family = GaugeMetricFamily(name, says, labels=[label])
        for word, count in session.execute(query):
            family.add_metric([str(word)], count)
        yield family
    family = GaugeMetricFamily("carina_part_last_seen_seconds", "Since when a part was not seen.", labels=["part"])
    for part, seen_at in session.execute(select(Part.name, Part.seen_at)):
        family.add_metric([part], max(0.0, (now() - seen_at).total_seconds()))
    yield family
