"""Notices are sent, signed, until the receiver has them or it was tried too often.

The signature is that of Standard Webhooks: HMAC-SHA256 over the message's number, its time and its body, in the headers
``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``. A notice that comes again has the same number.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, timedelta
from urllib.parse import SplitResult, urlsplit

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from carina._version import __version__
from carina.dicom.transport.log import EventLog
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.notices.notice_tables import Notice
from carina.service.notices.queue import webhook_key
from carina.service.site_folder import Site

_LOOK_S, _PAUSE_S = 1.0, 5.0
_TOGETHER = 20
_TIMEOUT_S = 10.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# So long are notices kept that were sent, or given up.
_KEPT = timedelta(days=30)

Address = tuple[str, int]
Post = Callable[[str, bytes, dict[str, str]], str | None]
"""Sends a body to an address; returns why it did not arrive, in a word."""


class NoticeSender:
    """Sends what waits, until it is told to stop. One for each site.

    Parameters
    ----------
    site
        Whose notices.
    log
        Is told of those that did not arrive.
    post
        What sends.
    """

    def __init__(self, site: Site, log: EventLog, post: Post | None = None) -> None:
        self._site, self._log, self._post = site, log, post or send_to

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set."""
        while not stop.is_set():
            try:
                if not self.send_some():
                    stop.wait(_LOOK_S)
            except SQLAlchemyError as error:
                self._log.tell("no notice sent", kind=type(error).__name__)
                stop.wait(_PAUSE_S)

    def send_some(self) -> bool:
        """Send some notices that are due; return whether there were any."""
        at = now()
        ahead = at + timedelta(seconds=2 * self._site.settings.retries.longest_s)
        with reading(self._site.engine) as session:
            key = webhook_key(session)
            due = (Notice.due_at <= at) | (Notice.due_at > ahead)
            found = session.scalars(
                select(Notice).where(Notice.state == "waiting", due).order_by(Notice.due_at, Notice.id).limit(_TOGETHER)
            ).all()
        for notice in found:
            self._send(notice, key or "")
        return bool(found)

    def _send(self, notice: Notice, key: str) -> None:
        if notice.address not in self._site.settings.webhooks:
            self._note(notice, "dead", "not-in-settings")
            return
        body = body_of(notice)
        reason = self._post(notice.address, body, signed_headers(notice.id, body, key, at_s=int(time.time())))
        retries, attempts = self._site.settings.retries, notice.attempts + 1
        if reason is None:
            self._note(notice, "sent", None)
        elif attempts >= retries.sending or reason == "address-not-allowed":
            self._note(notice, "dead", reason)
            self._log.tell("notice given up", notice=notice.id, attempts=attempts, reason=reason)
        else:
            self._note(notice, "waiting", reason, again_s=retries.pause_s(attempts))

    def _note(self, notice: Notice, state: str, reason: str | None, *, again_s: float = 0) -> None:
        with writing(self._site.engine) as session:
            row = session.get_one(Notice, notice.id)
            row.state, row.reason, row.attempts = state, reason, notice.attempts + 1  # type: ignore[assignment]
            row.due_at = now() + timedelta(seconds=again_s)
            if state == "sent":
                session.query(Notice).filter(Notice.state != "waiting", Notice.due_at < now() - _KEPT).delete()


def body_of(notice: Notice) -> bytes:
    """Return what the receiver gets: a JSON object with type, timestamp and data."""
    at = notice.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return json.dumps({"type": notice.event, "timestamp": at, "data": notice.data}, sort_keys=True).encode("ascii")


def signed_headers(number: int, body: bytes, key: str, *, at_s: int) -> dict[str, str]:
    """Return the headers by which a receiver knows that a notice is from this site and new."""
    name = f"carina-{number}"
    secret = base64.b64decode(key.removeprefix("whsec_"))
    said = b".".join((name.encode("ascii"), str(at_s).encode("ascii"), body))
    signature = base64.b64encode(hmac.new(secret, said, hashlib.sha256).digest()).decode("ascii")
    return {
        "webhook-id": name,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{signature}",
        "Content-Type": "application/json",
        "User-Agent": f"carina/{__version__}",
    }


def send_to(url: str, body: bytes, headers: dict[str, str]) -> str | None:
    """Send a body; return why it did not arrive, in a word, and none where the receiver took it.

    It goes to the very address that was looked at, follows no redirection, and reads nothing of the answer but its
    status.
    """
    parts = urlsplit(url)
    try:
        address = _allowed_address(parts)
    except OSError:
        return "name-unknown"
    if address is None:
        return "address-not-allowed"
    connection = _Pinned(parts, address)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body=body, headers=headers)
        status = connection.getresponse().status
    except ssl.SSLError:
        return "tls-failed"
    except TimeoutError:
        return "no-answer"
    except (OSError, http.client.HTTPException):
        return "no-connection"
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"status-{status}"


def _allowed_address(parts: SplitResult) -> Address | None:
    """Return where a host is; none where notices do not go.

    Hospitals have their receivers in private networks, so those are allowed. Not allowed are this machine, unless the
    settings name it, and the addresses at which cloud machines keep their secrets (link-local).
    """
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    found: Address | None = None
    for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        ip = ipaddress.ip_address(str(where[0]).partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        named = host in _LOOPBACK
        never = ip.is_link_local or ip.is_multicast or ip.is_unspecified or (ip.is_reserved and not ip.is_loopback)
        if never or ip.is_loopback != named:
            return None
        found = found or (str(where[0]), port)
    return found


class _Pinned(http.client.HTTPConnection):
    """A connection to the address that was looked at, whatever the name means by now; by TLS it proves its name."""

    def __init__(self, parts: SplitResult, address: Address) -> None:
        super().__init__(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
        self._tls = parts.scheme == "https"
        if self._tls:
            self.default_port = 443
            self.port = parts.port or 443
        self._address = address

    def connect(self) -> None:
        """Connect."""
        connected = socket.create_connection(self._address, self.timeout)
        if self._tls:
            connected = ssl.create_default_context().wrap_socket(connected, server_hostname=self.host)
        self.sock = connected
