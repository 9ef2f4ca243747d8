"""Notices: signed, told once each, tried again, and never sent where they must not go."""

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO

import pytest
from sqlalchemy import select, update

from carina.dicom.transport.log import EventLog
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.mode import change_mode
from carina.service.notices import notice_sender
from carina.service.notices.notice_sender import NoticeSender, send_to, signed_headers
from carina.service.notices.notice_tables import Notice
from carina.service.notices.queue import keep_addresses, queue_notice, webhook_key
from carina.service.people.accounts import add_account
from carina.service.site_folder import Site
from carina.service.verdicts import give_verdict
from unit.service.test_worker import add_model, send, states, wait_until, working

HOOK = "https://told.example/hook"


def with_webhooks(site: Site, *addresses: str) -> Site:
    settings = site.settings.model_copy(update={"webhooks": addresses})
    keep_addresses(site.engine, addresses)
    return Site(site.folder, settings, site.engine, site.store)


def notices(site: Site) -> list[Notice]:
    with reading(site.engine) as session:
        return list(session.scalars(select(Notice).order_by(Notice.id)))


def test_a_notice_is_signed_as_standard_webhooks_say_and_tried_until_it_is_taken(site: Site) -> None:
    site = with_webhooks(site, HOOK)
    with writing(site.engine) as session:
        queue_notice(session, "verdict.given", {"study": 3})
        key = webhook_key(session)
    keep_addresses(site.engine, [HOOK])
    came: list[tuple[str, bytes, dict[str, str]]] = []

    def post(url: str, body: bytes, headers: dict[str, str]) -> str | None:
        came.append((url, body, headers))
        return "no-answer" if len(came) == 1 else None

    log = StringIO()
    sender = NoticeSender(site, EventLog(log), post)
    assert sender.send_some()
    assert not sender.send_some()
    (waiting,) = notices(site)
    assert (waiting.state, waiting.attempts, waiting.reason) == ("waiting", 1, "no-answer")
    assert waiting.due_at > now()
    with writing(site.engine) as session:
        session.execute(update(Notice).values(due_at=now()))
    assert sender.send_some()
    (sent,) = notices(site)
    assert (sent.state, sent.attempts, sent.reason) == ("sent", 2, None)
    (url, body, headers), (_, again, later) = came
    assert (url, body) == (HOOK, again)
    assert headers["webhook-id"] == later["webhook-id"]
    assert json.loads(body)["data"] == {"study": 3}
    assert json.loads(body)["type"] == "verdict.given"
    with reading(site.engine) as session:
        assert webhook_key(session) == key
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.new(base64.b64decode(key.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"


def test_the_signature_is_that_of_the_published_example() -> None:
    # Source: the example of https://github.com/standard-webhooks/standard-webhooks, with our message's number.
    key = "whsec_" + base64.b64encode(b"0" * 24).decode()
    headers = signed_headers(7, b"{}", key, at_s=1614265330)
    expected = hmac.new(b"0" * 24, b"carina-7.1614265330.{}", hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


def test_a_notice_is_given_up_after_the_last_try_and_where_it_must_not_go(plain_site: Site) -> None:
    site = with_webhooks(plain_site, HOOK)
    few = site.settings.model_copy(update={"retries": site.settings.retries.model_copy(update={"sending": 1})})
    site = Site(site.folder, few, site.engine, site.store)
    for _ in range(2):
        with writing(site.engine) as session:
            queue_notice(session, "verdict.given", {})
    log = StringIO()
    NoticeSender(site, EventLog(log), lambda *_: "status-500").send_some()
    assert [(notice.state, notice.reason) for notice in notices(site)] == [("dead", "status-500")] * 2
    assert "notice given up" in log.getvalue()
    with writing(site.engine) as session:
        session.execute(update(Notice).values(state="waiting", address="https://removed.example/"))
    NoticeSender(site, EventLog(log), lambda *_: None).send_some()
    assert {notice.reason for notice in notices(site)} == {"not-in-settings"}


def test_what_is_undone_is_not_told_and_without_webhooks_nothing_is_queued(plain_site: Site) -> None:
    with writing(plain_site.engine) as session:
        queue_notice(session, "verdict.given", {})
        assert webhook_key(session) is None
    site = with_webhooks(plain_site, HOOK)

    def undone() -> None:
        with writing(site.engine) as session:
            queue_notice(session, "verdict.given", {})
            raise KeyError

    with pytest.raises(KeyError):
        undone()
    assert notices(site) == []


def test_a_silent_site_tells_nothing_of_what_its_model_says(plain_site: Site) -> None:
    site = with_webhooks(plain_site, HOOK)
    add_model(site)
    account = add_account(site.engine, "anna", "four words that stay", "administrator")

    def judged_and_read() -> list[tuple[str, dict[str, object]]]:
        before = len(notices(site))
        first = len(states_of(site))
        taken = send(site, first + 1)[-1]
        with working(site):
            wait_until(site, lambda session: states(session) == {"judged": first + 1})
        give_verdict(
            site.engine, taken.study_id, account_id=account, actor="account 1", finding="Normal", findings=("Normal",)
        )
        return [(notice.event, set(notice.data)) for notice in notices(site)[before:]]

    assert judged_and_read() == [("verdict.given", {"study", "verdict"})]
    change_mode(site.engine, "live", "It was good enough here.", account_id=account)
    assert judged_and_read() == [
        ("study.judged", {"study", "image", "priority", "code"}),
        ("verdict.given", {"study", "verdict", "kind"}),
    ]


def states_of(site: Site) -> list[int]:
    from carina.service.database.study_tables import Image

    with reading(site.engine) as session:
        return list(session.scalars(select(Image.id)))


class _Receiver(BaseHTTPRequestHandler):
    status = 200
    came: list[tuple[str, bytes, str]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.came.append((self.path, body, self.headers["Host"]))
        self.send_response(type(self).status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    _Receiver.came.clear()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook?a=b"
    server.shutdown()
    server.server_close()


def test_a_body_is_posted_and_a_redirection_is_not_followed(receiver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send_to(receiver, b"{}", {"Content-Type": "application/json"}) is None
    ((path, body, host),) = _Receiver.came
    assert (path, body) == ("/hook?a=b", b"{}")
    assert receiver.split("/")[2] == host
    monkeypatch.setattr(_Receiver, "status", 302)
    assert send_to(receiver, b"{}", {}) == "status-302"
    assert len(_Receiver.came) == 2


@pytest.mark.parametrize(
    "ip",
    ["169.254.169.254", "127.0.0.1", "0.0.0.0", "::1", "fe80::1", "::ffff:169.254.169.254", "224.0.0.1", "240.0.0.1"],  # noqa: S104
)
def test_a_name_that_leads_to_this_machine_or_to_a_cloud_s_secrets_is_refused(
    ip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    monkeypatch.setattr(notice_sender.socket, "getaddrinfo", lambda *_, **__: [(family, 1, 6, "", (ip, 80))])

    def connect(*_: object) -> None:
        pytest.fail("It was connected to.")

    monkeypatch.setattr(notice_sender.socket, "create_connection", connect)
    assert send_to("http://rebound.example/", b"", {}) == "address-not-allowed"


def test_it_goes_to_the_address_that_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means another address a moment later (DNS rebinding) leads nowhere else."""
    asked: list[str] = []

    def resolve(host: str, *_: object, **__: object) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, 1, 6, "", ("10.1.2.3", 80))]

    def connect(address: tuple[str, int], *_: object) -> None:
        assert address == ("10.1.2.3", 80)
        raise ConnectionRefusedError

    monkeypatch.setattr(notice_sender.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(notice_sender.socket, "create_connection", connect)
    assert send_to("http://inside.example/", b"", {}) == "no-connection"
    assert asked == ["inside.example"]


def _unknown(*_: object, **__: object) -> None:
    raise socket.gaierror


def test_a_name_that_nobody_knows_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_sender.socket, "getaddrinfo", _unknown)
    assert send_to("http://nowhere.example/", b"", {}) == "name-unknown"
