"""What every request passes first and every answer last: where it comes from, how large it is, what a browser may do.

Plain ASGI, so that nothing is read into memory on the way and a body that is too large is refused while it comes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from carina.service.site_folder import Site
from carina.service.web.problems import Problem, log, problem_response, unexpected

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# No inline script or style, nothing from elsewhere, no frame, no form that leads elsewhere. The viewer draws the
# pointer's picture itself, hence blob.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # With no referrer at all, browsers would not say where a form was sent from either.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
_KEPT_PATH = "/static/"
# A form, or JSON.
_SMALL_BODY = 64 * 1024
UPLOAD_PATHS = frozenset(("/upload", "/api/v1/images"))
# Who looks whether the site is well asks it directly, and learns nothing of a patient.
_OF_MACHINES = frozenset(("/healthz", "/readyz", "/metrics"))
# A client that sends nothing for so long is not waited for.
_IDLE_S = 30.0
_TOLD_EVERY_S = 60.0
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


class Guard:
    """Refuses what no browser of this site sends, and tells browsers what they may do with an answer."""

    def __init__(self, app: App, site: Site) -> None:
        self._app = app
        settings = site.settings
        self._hosts = frozenset(name.lower() for name in (*_LOOPBACK, settings.bind, *settings.hosts))
        self._behind_proxy = settings.behind_proxy
        self._upload_bytes = settings.limits.upload_bytes
        self._refused: dict[str, int] = {}
        self._told = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self._behind_proxy and headers.get("x-forwarded-proto", "").split(",")[0].strip() == "https":
            scope["scheme"] = "https"
        answering, begun = _answering(scope, send)
        problem = self._problem(scope, headers)
        if problem is not None:
            self._tell(problem.code)
            await problem_response(problem, scope["path"])(scope, receive, answering)
            return
        limit = self._upload_bytes if scope["path"] in UPLOAD_PATHS else _SMALL_BODY
        try:
            await self._app(scope, _bounded(receive, limit), answering)
        except BodyTooLargeError:
            self._tell("too-large")
            await problem_response(too_large(limit), scope["path"])(scope, receive, answering)
        except Exception as error:  # noqa: BLE001  # it ends here: further out, its text would be logged
            problem = unexpected(error)
            # Half an answer cannot become another one: the connection is closed.
            if not begun():
                await problem_response(problem, scope["path"])(scope, receive, answering)

    def _tell(self, code: str) -> None:
        """Count what was refused, and tell the log at most once a minute: whoever sends it may send a thousand."""
        self._refused[code] = self._refused.get(code, 0) + 1
        if time.monotonic() >= self._told:
            counts = ", ".join(f"{code} {count}" for code, count in sorted(self._refused.items()))
            log.warning("Requests were refused before anybody was asked for: %s.", counts)
            self._refused.clear()
            self._told = time.monotonic() + _TOLD_EVERY_S

    def _problem(self, scope: Scope, headers: MutableMapping[str, str] | dict[str, str]) -> Problem | None:
        host = headers.get("host", "")
        if _without_port(host) not in self._hosts:
            return Problem(400, "unknown-host", "This site is not known by that name. Ask for it by its own address.")
        if self._behind_proxy and scope["scheme"] != "https" and scope["path"] not in _OF_MACHINES:
            return Problem(403, "not-encrypted", "This site is reached by https only. Ask for it by its https address.")
        if scope["method"] not in _SAFE and not _from_here(scope, headers, host):
            return Problem(403, "from-elsewhere", "This was sent from a page of another site, and is refused.")
        limit = self._upload_bytes if scope["path"] in UPLOAD_PATHS else _SMALL_BODY
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limit:
            return too_large(limit)
        return None


def too_large(limit: int) -> Problem:
    """Return the problem of a body that is too large."""
    return Problem(413, "too-large", f"What was sent is too large: at most {limit:,} bytes are taken. Send less.")


class BodyTooLargeError(Exception):
    """A body grew beyond its limit while it came."""


def _bounded(receive: Receive, limit: int) -> Receive:
    taken, ended = 0, False

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal taken, ended
        if ended:
            # What follows is only that the client goes away, which may take as long as it likes.
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), _IDLE_S)
        except TimeoutError:
            return {"type": "http.disconnect"}
        taken += len(message.get("body", b""))
        ended = message["type"] != "http.request" or not message.get("more_body", False)
        if taken > limit:
            raise BodyTooLargeError
        return message

    return bounded


def _answering(scope: Scope, send: Send) -> tuple[Send, Callable[[], bool]]:
    """Return what sends an answer with the headers of all, and what tells whether one has begun."""
    begun = False

    async def answering(message: MutableMapping[str, Any]) -> None:
        nonlocal begun
        if message["type"] == "http.response.start":
            begun = True
            there = {name.lower() for name, _ in message["headers"]}
            added = [*_HEADERS]
            if scope["scheme"] == "https":
                added.append(("Strict-Transport-Security", "max-age=31536000"))
            if not scope["path"].startswith(_KEPT_PATH):
                added.append(("Cache-Control", "no-store"))
            message["headers"] = [
                *message["headers"],
                *((name.encode(), value.encode()) for name, value in added if name.lower().encode() not in there),
            ]
        await send(message)

    return answering, lambda: begun


def _from_here(scope: Scope, headers: MutableMapping[str, str] | dict[str, str], host: str) -> bool:
    """Return whether a browser sent it from a page of this site; programs say nothing of it and pass."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme == scope["scheme"] and parts.netloc.lower() == host.lower()


def _without_port(host: str) -> str:
    host = host.lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
