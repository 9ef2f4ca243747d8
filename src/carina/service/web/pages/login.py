"""Logging in and out, and where each role begins."""

import re
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from carina.service.people.logins import ABSOLUTE, LoginRefusedError, log_in, log_out, person_of
from carina.service.people.people_tables import Role
from carina.service.web.asking import (
    PRIVACY_COOKIE,
    AskedSite,
    PostingAnybody,
    hides_names,
    is_secure,
    session_cookie,
)
from carina.service.web.templating import render

router = APIRouter()
_DEVICE_COOKIE = "carina_device"
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
def show_login(to: str = "") -> HTMLResponse:
    """Return the page to log in."""
    return HTMLResponse(render("login.html", problem="", to=_own(to), name=""))


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
        return HTMLResponse(render("login.html", problem=str(error), to=_own(to), name=name[:64]), 403)
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


def _keep(request: Request, answer: Response, name: str, value: str, seconds: int) -> None:
    answer.set_cookie(
        name, value, max_age=seconds, path="/", secure=is_secure(request), httponly=True, samesite="strict"
    )


def _own(path: str) -> str:
    """Return a path if it is one of this site, and nothing otherwise."""
    return path if _OWN_PATH.fullmatch(path) else ""
