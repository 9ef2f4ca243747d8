"""*Watching*: the control charts of a site, and the alerts that they raised."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from sqlalchemy import select
from starlette.responses import RedirectResponse, Response

from carina.service.database.sessions import reading
from carina.service.verdicts import reader_names
from carina.service.watching.alerts import charts_of, note_seen
from carina.service.watching.charts import Chart, Point
from carina.service.watching.watching_tables import Alert
from carina.service.web.asking import AskedSite, Number, PostingAdministrator, Reader, page

router = APIRouter()
# So many days are drawn; the table below has them, too.
_DRAWN = 120
_WIDTH, _HEIGHT, _EDGE = 600.0, 120.0, 6.0


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart as it is drawn: coordinates in a box of 600 by 120.

    Attributes
    ----------
    line
        Through all points.
    low, high, centre
        Steps of the limits, and of the centre; empty without limits.
    points
        Across, down, and whether the point lies outside.
    top, bottom
        The values at the upper and the lower edge.
    """

    chart: Chart
    line: str
    low: str
    high: str
    centre: str
    points: tuple[tuple[float, float, bool], ...]
    top: float
    bottom: float

    @property
    def shown(self) -> Sequence[Point]:
        """Return the points that are drawn."""
        return self.chart.points[-_DRAWN:]


@router.get("/watching")
def show_charts(request: Request, site: AskedSite, person: Reader) -> Response:
    """Return the page."""
    with reading(site.engine) as session:
        charts = charts_of(session, site.settings.watching)
        alerts = session.scalars(select(Alert).order_by(Alert.id.desc()).limit(50)).all()
        names = reader_names(session)
    drawn = [draw(chart) for chart in charts if chart.points]
    facts = {"drawings": drawn, "alerts": alerts, "names": names, "settings": site.settings.watching}
    return page(request, "watching.html", person, facts)


@router.post("/watching/alerts/{alert_id}/seen")
def seen_alert(alert_id: Number, site: AskedSite, person: PostingAdministrator) -> Response:
    """Note that an administrator has looked at an alert."""
    note_seen(site.engine, alert_id, account_id=person.account_id)
    return RedirectResponse("/watching", 303)


def draw(chart: Chart) -> Drawing:
    """Return how a chart is drawn."""
    points = chart.points[-_DRAWN:]
    limits = [point.limits for point in points if point.limits is not None]
    values = [point.value for point in points]
    values += [edge for each in limits for edge in (each.low, each.high)]
    bottom, top = min(values), max(values)
    if chart.unit in ("share", "probability"):
        bottom, top = max(0.0, bottom), min(1.0, top)
    if chart.unit not in ("SD",):
        bottom = max(0.0, bottom)
    if top - bottom < 1e-9:
        bottom, top = bottom - 0.5, top + 0.5

    def across(place: int) -> float:
        return round(_EDGE + (_WIDTH - 2 * _EDGE) * (place / max(1, len(points) - 1)), 1)

    def down(value: float) -> float:
        share = (min(top, max(bottom, value)) - bottom) / (top - bottom)
        return round(_HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * share, 1)

    def steps(name: str) -> str:
        said = [
            (across(place), down(getattr(point.limits, name)))
            for place, point in enumerate(points)
            if point.limits is not None
        ]
        return " ".join(f"{x},{y}" for x, y in said)

    at = [(across(place), down(point.value), point.is_out) for place, point in enumerate(points)]
    line = " ".join(f"{x},{y}" for x, y, _ in at)
    return Drawing(chart, line, steps("low"), steps("high"), steps("centre"), tuple(at), top, bottom)
