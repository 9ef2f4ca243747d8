"""Who asks, and whether they may: what endpoints take as arguments."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, Form, Header, Path, Request
from starlette.responses import HTMLResponse

from carina.service.audit_log.chain import append
from carina.service.database.sessions import reading, writing
from carina.service.mode import mode_of
from carina.service.parts import disk_problem, problems
from carina.service.people.logins import Person, person_of, same_csrf
from carina.service.people.people_tables import Role
from carina.service.site_folder import Site
from carina.service.watching.alerts import open_alerts
from carina.service.web.problems import ProblemError
from carina.service.web.templating import render
from carina.wording import counted

PRIVACY_COOKIE = "carina_privacy"
# Larger numbers than a database's are numbers of nothing.
LARGEST = 2**31 - 1
Number = Annotated[int, Path(gt=0, le=LARGEST)]
FormNumber = Annotated[int, Form(gt=0, le=LARGEST)]


def site_of(request: Request) -> Site:
    """Return the site."""
    site: Site = request.app.state.site
    return site


AskedSite = Annotated[Site, Depends(site_of)]


def is_secure(request: Request) -> bool:
    """Return whether the browser came by TLS."""
    return request.url.scheme == "https"


def session_cookie(request: Request) -> str:
    """Return the name of the session's cookie. With TLS, browsers take this name from this very host alone."""
    return "__Host-carina_session" if is_secure(request) else "carina_session"


def person_asking(request: Request, site: AskedSite) -> Person:
    """Return who is logged in.

    Raises
    ------
    ProblemError
        If nobody is.
    """
    # What a page asks for by itself is no use of the session: it ends at a desk that everybody has left.
    by_itself = "x-by-itself" in request.headers or request.url.path.endswith("/thumbnail")
    person = person_of(site.engine, request.cookies.get(session_cookie(request)), noted=not by_itself)
    if person is None:
        raise ProblemError(401, "login-needed", "You are not logged in, or your session has ended. Log in first.")
    return person


def one_of_roles(*roles: Role) -> Callable[..., Person]:
    """Return what gives the person who asks, if they have one of these roles."""

    def asking(request: Request, person: Annotated[Person, Depends(person_asking)]) -> Person:
        if person.role not in roles:
            note_refusal(request, person, "not-allowed")
            raise ProblemError(403, "not-allowed", "Your account may not do that. Ask an administrator.")
        return person

    return asking


def posting(asking: Callable[..., Person]) -> Callable[..., Person]:
    """Return what gives the person who sends a form, if it was a page of this session that was sent."""

    def sender(
        request: Request,
        person: Annotated[Person, Depends(asking)],
        csrf: Annotated[str, Form()] = "",
        x_csrf_token: Annotated[str, Header()] = "",
    ) -> Person:
        require_csrf(request, person, csrf or x_csrf_token)
        return person

    return sender


def note_refusal(request: Request, person: Person, code: str) -> None:
    """Note in the audit log that somebody asked for what they may not, and why it was refused."""
    # The route's own words: an address may hold anything.
    route = getattr(request.scope.get("route"), "path", "")
    with writing(site_of(request).engine) as session:
        append(session, person.actor, "refused", "", {"code": code, "address": route, "method": request.method})


def require_csrf(request: Request, person: Person, sent: str) -> None:
    """Refuse what was not sent by a page of this session.

    Raises
    ------
    ProblemError
        If it was not.
    """
    if not same_csrf(person, sent):
        note_refusal(request, person, "stale-page")
        raise ProblemError(403, "stale-page", "This page is of another session. Load it again, and try once more.")


readers = one_of_roles("reader", "administrator")
administrators = one_of_roles("administrator")
auditors = one_of_roles("auditor")
Reader = Annotated[Person, Depends(readers)]
Administrator = Annotated[Person, Depends(administrators)]
Auditor = Annotated[Person, Depends(auditors)]
Anybody = Annotated[Person, Depends(person_asking)]
PostingReader = Annotated[Person, Depends(posting(readers))]
PostingAdministrator = Annotated[Person, Depends(posting(administrators))]
PostingAnybody = Annotated[Person, Depends(posting(person_asking))]
PostingAuditor = Annotated[Person, Depends(posting(auditors))]


def hides_names(request: Request) -> bool:
    """Return whether names are hidden in this browser."""
    return request.cookies.get(PRIVACY_COOKIE) == "1"


def page(
    request: Request, template: str, person: Person, facts: Mapping[str, Any], *, status: int = 200
) -> HTMLResponse:
    """Return a page with all that its frame needs."""
    site = site_of(request)
    with reading(site.engine) as session:
        mode, troubles = mode_of(session), problems(session) | disk_problem(site)
        if alerts := len(open_alerts(session)):
            troubles["watching"] = (
                f"{counted(alerts, 'chart has', 'charts have')} left the limits of the first weeks: see Watching."
            )
    frame: dict[str, Any] = {"person": person, "mode": mode, "private": hides_names(request), "path": request.url.path}
    frame["troubles"] = troubles
    return HTMLResponse(render(template, **frame, **facts), status)
