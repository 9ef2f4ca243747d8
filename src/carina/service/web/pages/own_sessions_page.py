"""*Your sessions*: where somebody is logged in, and how they end what they have left open elsewhere."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from carina.service.people.logins import LoginRefusedError, Person, has_password, require_password
from carina.service.people.own_sessions import end_sessions, own_sessions
from carina.service.web.asking import Anybody, AskedSite, PostingAnybody, page

router = APIRouter()


@router.get("/sessions")
def show_sessions(request: Request, site: AskedSite, person: Anybody) -> Response:
    """Return the page."""
    return _shown(request, site, person)


@router.post("/sessions/end")
def end_chosen(
    request: Request,
    site: AskedSite,
    person: PostingAnybody,
    session: Annotated[list[str] | None, Form()] = None,
    own: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """End the chosen sessions."""
    try:
        require_password(site.engine, person, own)
    except LoginRefusedError as error:
        return _shown(request, site, person, problem=str(error), status=400)
    end_sessions(site.engine, person, session or [])
    return RedirectResponse("/sessions", 303)


def _shown(request: Request, site: AskedSite, person: Person, *, problem: str = "", status: int = 200) -> Response:
    facts: dict[str, Any] = {"sessions": own_sessions(site.engine, person), "problem": problem}
    facts["asks_password"] = has_password(site.engine, person.account_id)
    return page(request, "sessions.html", person, facts, status=status)
