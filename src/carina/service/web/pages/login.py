"""Logging in and out, and where each role begins."""

import re
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from carina.service.people.logins import ABSOLUTE, LoginRefusedError, log_in, log_out, person_of
from carina.service.people.oidc import BACK_PATH, LASTS, Provider
from carina.service.people.people_tables import Role
from carina.service.site_folder import Site
from carina.service.web.asking import (
    PRIVACY_COOKIE,
    AskedSite,
    PostingAnybody,
    hides_names,
    is_secure,
    session_cookie,
)
from carina.service.web.problems import ProblemError
from carina.service.web.templating import render

router = APIRouter()
_DEVICE_COOKIE = "carina_device"
_OIDC_COOKIE = "carina_oidc"
_DEVICE_DAYS = 180
_HOMES: dict[Role, str] = {"reader": "/worklist", "administrator": "/worklist", "auditor": "/audit"}
# Only paths of this site, and none that a browser takes for another host.
_OWN_PATH = re.compile(r"/(?:[a-z0-9-]+(?:/[a-z0-9-]+)*)?", re.IGNORECASE)


@router.get("/")
def show_home(request: Request, site: AskedSite) -> Response:
    """Lead to where a role begins."""
    person = person_of(site.engine, request.cookies.get(session_cookie(request)))
    return RedirectResponse("/login" if person is None else _HOMES[person.role], 303)


@router.get("/login")
def show_login(site: AskedSite, to: str = "") -> HTMLResponse:
    """Return the page to log in."""
    return _page(site, to=_own(to))


@router.get("/login/oidc")
def begin_oidc(request: Request, site: AskedSite, to: str = "") -> Response:
    """Lead the browser to the identity provider."""
    try:
        begun = _provider(request, site).begin(site.engine, _own(to))
    except LoginRefusedError as error:
        return _page(site, problem=str(error), to=_own(to), status=403)
    answer = RedirectResponse(begun.url, 303)
    # The provider is another site: a browser would not bring a strict cookie back from there.
    answer.set_cookie(
        *(_OIDC_COOKIE, begun.cookie),
        max_age=round(LASTS.total_seconds()),
        path="/login/oidc",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )
    return answer


@router.get(BACK_PATH)
def end_oidc(request: Request, site: AskedSite) -> Response:
    """Log in whoever comes back from the identity provider."""
    cookie = session_cookie(request)
    query = {name: value[:4000] for name, value in request.query_params.items()}
    begun = request.cookies.get(_OIDC_COOKIE)
    try:
        logged_in, to = _provider(request, site).end(site.engine, query, begun, request.cookies.get(cookie))
    except LoginRefusedError as error:
        return _page(site, problem=str(error), status=403)
    # A page that leads on, and no redirection: on the way from another site a browser sends no strict cookie.
    answer = HTMLResponse(render("logged_in.html", to=_own(to) or "/"))
    _keep(request, answer, cookie, logged_in.cookie, round(ABSOLUTE.total_seconds()))
    answer.delete_cookie(_OIDC_COOKIE, path="/login/oidc")
    return answer


@router.post("/login")
def do_login(
    request: Request,
    site: AskedSite,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    to: Annotated[str, Form()] = "",
) -> Response:
    """Log in, and lead to where the browser wanted to go."""
    cookie = session_cookie(request)
    try:
        logged_in = log_in(
            site.engine,
            name,
            password,
            address=request.client.host if request.client else "",
            device=request.cookies.get(_DEVICE_COOKIE),
            old=request.cookies.get(cookie),
        )
    except LoginRefusedError as error:
        return _page(site, problem=str(error), to=_own(to), name=name[:64], status=403)
    person = person_of(site.engine, logged_in.cookie)
    home = "/login" if person is None else _HOMES[person.role]
    answer = RedirectResponse(_own(to) or home, 303)
    seconds = round(ABSOLUTE.total_seconds())
    _keep(request, answer, cookie, logged_in.cookie, seconds)
    _keep(request, answer, _DEVICE_COOKIE, logged_in.device, _DEVICE_DAYS * 86_400)
    return answer


@router.post("/logout")
def do_logout(request: Request, site: AskedSite, person: PostingAnybody) -> Response:
    """End the session."""
    cookie = session_cookie(request)
    log_out(site.engine, request.cookies.get(cookie, ""), person)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie, path="/", secure=is_secure(request), httponly=True, samesite="strict")
    # Pictures that the browser keeps are not for whoever sits down next.
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


@router.post("/privacy")
def switch_privacy(request: Request, person: PostingAnybody, to: Annotated[str, Form()] = "") -> Response:  # noqa: ARG001
    """Hide names in this browser, or show them again."""
    answer = RedirectResponse(_own(to) or "/", 303)
    _keep(request, answer, PRIVACY_COOKIE, "0" if hides_names(request) else "1", 365 * 86_400)
    return answer


def _page(site: Site, *, problem: str = "", to: str = "", name: str = "", status: int = 200) -> HTMLResponse:
    return HTMLResponse(render("login.html", problem=problem, to=to, name=name, oidc=site.settings.oidc), status)


def _provider(request: Request, site: Site) -> Provider:
    if site.settings.oidc is None:
        raise ProblemError(404, "not-found", "There is nothing at this address.")
    provider: Provider | None = getattr(request.app.state, "oidc", None)
    if provider is None:
        provider = request.app.state.oidc = Provider(site.settings.oidc)
    return provider


def _keep(request: Request, answer: Response, name: str, value: str, seconds: int) -> None:
    answer.set_cookie(
        name, value, max_age=seconds, path="/", secure=is_secure(request), httponly=True, samesite="strict"
    )


def _own(path: str) -> str:
    """Return a path if it is one of this site, and nothing otherwise."""
    return path if _OWN_PATH.fullmatch(path) else ""
