"""The worklist: one line for each study, in the order in which they are to be read."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from carina.decisions.triage import PRIORITIES
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import WAITING, Image, Study
from carina.service.mode import mode_of
from carina.service.people.logins import Person, person_of
from carina.service.site_folder import Site
from carina.service.site_settings import Targets
from carina.service.studies import SORTS, SOURCES, STATES, Sort, Wanted, page_of
from carina.service.verdicts import model_in_use, reader_names
from carina.service.web.arrivals import Arrivals
from carina.service.web.asking import AskedSite, PostingReader, Reader, page, session_cookie
from carina.service.web.state_counts import StateCounts

router = APIRouter()
_HEARTBEAT_S = 15.0
# Many images at once are one piece of news.
_GATHERED_S = 1.0

# The reasons of `carina.decisions.triage`, short enough for a line. The whole reason is a hint and on the reading page.
SHORT_REASONS = {
    "flag-in-band": "in the fast-track band",
    "flag-below-band": "over the threshold, under the band",
    "flag-no-band": "over the threshold; no band",
    "flag-most-likely": "most probable, under the threshold",
    "other-finding": "another finding",
    "other-opacity": "another opacity",
    "normal-in-band": "in the routine band",
    "normal-below-band": "Normal, under the band",
    "normal-no-band": "Normal; no band",
    "refused": "refused by the gate",
    "no-number": "no number",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A study as a line shows it.

    Attributes
    ----------
    waited, target
        Minutes since it came, and in which it should be read.
    opened_by
        Name of the account that looks at it; empty for nobody.
    picture
        Of which image; none where there is none yet.
    """

    study: Study
    waited: float
    target: float
    opened_by: str
    reason: str
    picture: int | None

    @property
    def share(self) -> float:
        """Return the share of the target that has passed, at most 1."""
        return min(1.0, max(0.0, self.waited / self.target))

    @property
    def late(self) -> bool:
        """Return whether the target has passed and nobody has read it."""
        return self.study.state in ("unread", "open") and self.waited > self.target


Word = Annotated[str, Query(max_length=24)]
FormWord = Annotated[str, Form(max_length=24)]


@router.get("/worklist")
def show_worklist(
    request: Request,
    site: AskedSite,
    person: Reader,
    state: Word = "unread",
    source: Word = "",
    priority: Word = "",
    sort: Word = "",
) -> Response:
    """Return the worklist. What is searched for is no part of an address: it may be a patient's name."""
    return _shown(request, site, person, {"state": state, "source": source, "priority": priority, "sort": sort})


@router.post("/worklist")
def search_worklist(
    request: Request,
    site: AskedSite,
    person: PostingReader,
    state: FormWord = "",
    source: FormWord = "",
    priority: FormWord = "",
    sort: FormWord = "",
    q: Annotated[str, Form(max_length=64)] = "",
    after: Annotated[str, Form(max_length=128)] = "",
) -> Response:
    """Return the worklist, or its lines alone where the page asks for them, with what was searched for."""
    asked = {"state": state, "source": source, "priority": priority, "sort": sort}
    answer = _shown(request, site, person, asked, q=q, after=after)
    answer.headers["HX-Push-Url"] = "/worklist?" + urlencode(asked)
    return answer


def _shown(
    request: Request, site: Site, person: Person, asked: dict[str, str], *, q: str = "", after: str = ""
) -> Response:
    with reading(site.engine) as session:
        live = mode_of(session) == "live"
        order = _sort(asked["sort"], live=live)
        # In silent mode nothing may show the model's order, a filter least of all.
        priority = asked["priority"] if live else ""
        studies, following = page_of(session, Wanted(asked["state"], asked["source"], priority, q, order, after))
        names = reader_names(session)
        pictures = {study.id: study.image_id for study in studies} if live else _first_images(session, studies)
        lines = [_line(study, site.settings.targets, names, pictures, live=live) for study in studies]
        flag = _flag(session)
        waiting = session.scalar(select(Image.id).where(WAITING).limit(1)) is not None
    if q:
        with writing(site.engine) as session:
            # Not what was searched for: that is a patient's name more often than not.
            append(session, person.actor, "worklist-searched", "", {"found": len(lines)})
    facts = {
        "lines": lines,
        "counts": request.app.state.counts.recent(),
        "asked": {**asked, "priority": priority, "sort": order, "q": q},
        "after": following,
        "flag": flag,
        "judging": waiting,
        "states": ("", *STATES),
        "sources": SOURCES,
        "priorities": PRIORITIES,
        "first": not after,
    }
    template = "lines.html" if request.headers.get("hx-target") == "lines" else "worklist.html"
    return page(request, template, person, facts)


@router.get("/worklist/events")
async def follow_worklist(request: Request, site: AskedSite) -> Response:
    """Tell the page whenever something changed, as long as it is open and somebody is logged in."""
    cookie = request.cookies.get(session_cookie(request))
    person = await run_in_threadpool(person_of, site.engine, cookie)
    if person is None or person.role == "auditor":
        return Response(status_code=204)
    arrivals: Arrivals = request.app.state.arrivals
    state_counts: StateCounts = request.app.state.counts

    async def news() -> AsyncIterator[str]:
        with arrivals.listening() as changed:
            yield "retry: 3000\n\n"
            checked = time.monotonic()
            while not arrivals.stopped:
                if await arrivals.wait(changed, _HEARTBEAT_S):
                    counts = await run_in_threadpool(state_counts.latest)
                    yield f"event: changed\ndata: {json.dumps(counts)}\n\n"
                    await asyncio.sleep(_GATHERED_S)
                else:
                    yield ": still here\n\n"
                if time.monotonic() - checked > 4 * _HEARTBEAT_S:
                    checked = time.monotonic()
                    if await run_in_threadpool(_ended, site, cookie):
                        return

    return StreamingResponse(news(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _ended(site: AskedSite, cookie: str | None) -> bool:
    # Listening is no use of the session: a page that nobody looks at ends with it.
    return person_of(site.engine, cookie, noted=False) is None


def _sort(word: str, *, live: bool) -> Sort:
    default: Sort = "priority" if live else "oldest"
    return next((each for each in SORTS if each == word and (live or each != "priority")), default)


def _first_images(session: Session, studies: Sequence[Study]) -> dict[int, int | None]:
    # Which of its images is the most urgent one is the model's word.
    judged = [study.id for study in studies if study.image_id is not None]
    query = select(Image.study_id, func.min(Image.id)).where(Image.study_id.in_(judged)).group_by(Image.study_id)
    return dict(session.execute(query).all())


def _line(
    study: Study, targets: Targets, names: dict[int, str], pictures: Mapping[int, int | None], *, live: bool
) -> Line:
    # In silent mode one target for all: a late line would tell the priority.
    target = targets.minutes(study.priority if live else None)
    waited = (now() - study.arrived_at).total_seconds() / 60
    opened_by = names.get(study.opened_by, "") if study.state == "open" and study.opened_by else ""
    reason = SHORT_REASONS.get(study.code or "", study.code or "")
    return Line(study, waited, target, opened_by, reason, pictures.get(study.id))


def _flag(session: Session) -> str:
    model = model_in_use(session)
    return "" if model is None else model.flag_finding
