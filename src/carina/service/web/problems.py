"""Every error has one shape, whatever it is and whoever asked: a code and a message, as JSON or in a page."""

import logging
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from carina.errors import CarinaError, ConfigurationError, InputError
from carina.service.verdicts import NoSuchStudyError
from carina.service.web.templating import render

log = logging.getLogger("carina.service.web")


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, for programs and for people. Neither part ever holds what was sent or a patient's data."""

    status: int
    code: str
    message: str


class ProblemError(Exception):
    """A problem that ends a request."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(status, code, message)


_MEANINGS = {
    400: ("bad-request", "This was not understood."),
    401: ("login-needed", "Log in first."),
    403: ("not-allowed", "This account may not do that. Ask an administrator."),
    404: ("not-found", "There is nothing at this address."),
    405: ("not-allowed-here", "This address cannot be used in that way."),
    413: ("too-large", "What was sent is too large."),
}


def problem_response(problem: Problem, path: str, *, fragment: bool = False) -> Response:
    """Return a problem as a page, or as JSON where a program asked."""
    if path.startswith("/api/") or fragment:
        content = {"error": {"code": problem.code, "message": problem.message}}
        return JSONResponse(content, problem.status)
    return HTMLResponse(
        render("problem.html", problem=problem, title=HTTPStatus(problem.status).phrase), problem.status
    )


def handle_problems(app: FastAPI) -> None:
    """Give every error its shape."""

    def answer(request: Request, problem: Problem) -> Response:
        wants_json = "application/json" in request.headers.get("accept", "")
        return problem_response(problem, request.url.path, fragment=wants_json or "hx-request" in request.headers)

    def of_problem(request: Request, error: Exception) -> Response:
        problem = error.problem if isinstance(error, ProblemError) else Problem(500, *_MEANINGS[400])
        if problem.code == "login-needed" and request.method == "GET" and not request.url.path.startswith("/api/"):
            if "hx-request" in request.headers:
                return Response(status_code=401, headers={"HX-Redirect": "/login"})
            return Response(status_code=303, headers={"Location": f"/login?to={_quoted(request.url.path)}"})
        return answer(request, problem)

    def of_http(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return answer(request, Problem(status, *_MEANINGS.get(status, _MEANINGS[400])))

    def of_validation(request: Request, error: Exception) -> Response:
        errors = error.errors() if isinstance(error, RequestValidationError) else []
        if any(each["loc"][0] == "path" for each in errors):
            return answer(request, Problem(404, *_MEANINGS[404]))
        # Its own message would repeat what was sent, and so would the name of a field that is not ours.
        ours = {str(each["loc"][-1]) for each in errors if each["type"] != "extra_forbidden"}
        named = [place for place in sorted(ours) if place.isidentifier()]
        if any(each["type"] == "extra_forbidden" for each in errors):
            named.append("a field that is not known")
        what = ", ".join(named) or "the body"
        return answer(request, Problem(422, "bad-request", f"This was not understood: {what}."))

    def of_carina(request: Request, error: Exception) -> Response:
        if isinstance(error, NoSuchStudyError):
            return answer(request, Problem(404, "not-found", str(error)))
        code = error.code if isinstance(error, InputError) else "refused"
        status = 400 if isinstance(error, ConfigurationError | InputError) else 500
        return answer(request, Problem(status, code, str(error)))

    def of_database(request: Request, error: Exception) -> Response:
        log.error("The database did not answer: %s", type(error).__name__)
        message = "The database does not answer. Try again in a minute; if it goes on, tell an administrator."
        return answer(request, Problem(503, "database", message))

    app.add_exception_handler(ProblemError, of_problem)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(CarinaError, of_carina)
    app.add_exception_handler(DBAPIError, of_database)


def unexpected(error: Exception) -> Problem:
    """Return the problem of an error that nobody foresaw, and log where it was. Its text may hold what it was about."""
    number = secrets.token_hex(4)
    log.error("Error %s: %s at %s", number, type(error).__name__, _place_of(error))
    return Problem(500, "error", f"Something went wrong here. Tell an administrator this number: {number}.")


def _place_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def _quoted(path: str) -> str:
    return quote(path, safe="/")
