"""The auditor's page: the log, whether it is whole, and its export."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from carina.service.audit_log.audit_tables import AuditEvent
from carina.service.audit_log.chain import ACTIONS, append, export, found, verify
from carina.service.database.sessions import reading, writing
from carina.service.verdicts import reader_names
from carina.service.web.asking import AskedSite, Auditor, PostingAuditor, page

router = APIRouter()
_PAGE = 100
Search = Annotated[str, Query(max_length=64)]


@router.get("/audit")
def show_log(
    request: Request, site: AskedSite, person: Auditor, q: Search = "", action: Search = "", before: int | None = None
) -> Response:
    """Return the page, the newest lines first."""
    with reading(site.engine) as session:
        query = found(search=q.strip(), action=action if action in ACTIONS else "")
        if before is not None and 0 < before < 2**62:
            query = query.where(AuditEvent.seq < before)
        events = session.scalars(query.order_by(AuditEvent.seq.desc()).limit(_PAGE + 1)).all()
        names = {f"account {number}": name for number, name in reader_names(session).items()}
    older = events[_PAGE - 1].seq if len(events) > _PAGE else None
    facts = {"events": events[:_PAGE], "older": older, "q": q, "action": action, "names": names}
    return page(request, "audit.html", person, {**facts, "actions": ACTIONS, "checked": None})


@router.post("/audit/verify")
def check_log(request: Request, site: AskedSite, person: PostingAuditor) -> Response:
    """Check the whole chain, and say what was found."""
    with reading(site.engine) as session:
        checked = verify(session)
        events = session.scalars(found().order_by(AuditEvent.seq.desc()).limit(_PAGE)).all()
        names = {f"account {number}": name for number, name in reader_names(session).items()}
    facts = {"events": events, "older": None, "q": "", "action": "", "names": names}
    return page(request, "audit.html", person, {**facts, "actions": ACTIONS, "checked": checked})


@router.post("/audit/export")
def export_log(site: AskedSite, person: PostingAuditor) -> Response:
    """Return the whole log as CSV; that it was exported is a line of it."""
    with writing(site.engine) as session:
        append(session, person.actor, "audit-exported")

    def lines() -> Iterator[str]:
        with reading(site.engine) as session:
            yield from export(session)

    return StreamingResponse(
        lines(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="carina-audit.csv"'},
    )
