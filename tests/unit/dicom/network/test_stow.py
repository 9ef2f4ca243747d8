"""Files go by STOW-RS as they are, and what becomes of each is told."""

import email
import email.policy
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from carina.dicom.network.sending import NOT_DICOM, TAKEN, Outcome
from carina.dicom.network.settings import ClientTls, web_at
from carina.dicom.network.stow import StowSender
from dicom_certificates import make_certificates
from dicom_network import CR
from dicom_stand_in import make_image, write_image


class Server(ThreadingHTTPServer):
    """A DICOMweb server that keeps requests and answers what it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Handshakes that fail are meant."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        status, answer = self.server.answers.pop(0) if self.server.answers else (200, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: Any) -> None:
        """Be silent."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield made
        made.shutdown()


def sender(server: Server, scheme: str = "http", **tls: Path) -> StowSender:
    url = f"{scheme}://localhost:{server.server_address[1]}/dicom-web"
    return StowSender(web_at(url, ClientTls(**tls) if tls else None))


def stored(seed: int) -> bytes:
    uid = make_image(seed).SOPInstanceUID
    item = {"00081150": {"vr": "UI", "Value": [CR]}, "00081155": {"vr": "UI", "Value": [uid]}}
    return json.dumps({"00081199": {"vr": "SQ", "Value": [item]}}).encode()


def failed(*reasons: int) -> bytes:
    items = [{"00081197": {"vr": "US", "Value": [reason]}} for reason in reasons]
    return json.dumps({"00081198": {"vr": "SQ", "Value": items}}).encode()


def test_files_arrive_as_they_are(server: Server, tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{number}.dcm", number) for number in range(2)]
    server.answers += [(200, stored(0)), (200, stored(1))]
    assert sender(server).send(paths) == [TAKEN, TAKEN]
    for path, (where, headers, body) in zip(paths, server.requests, strict=True):
        assert where == "/dicom-web/studies"
        head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
        message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        assert message.get_content_type() == "multipart/related"
        assert message.get_param("type") == "application/dicom"
        (part,) = message.iter_parts()
        assert part.get_content_type() == "application/dicom"
        # Binary, and so not for the standard library's parser of mail.
        boundary = message.get_boundary()
        start = body.index(b"\r\n\r\n") + 4
        assert body[start : body.rindex(f"\r\n--{boundary}--".encode())] == path.read_bytes()
    assert server.requests[0][1]["Content-Type"] != server.requests[1][1]["Content-Type"]


def test_what_the_server_says_is_heeded(server: Server, tmp_path: Path) -> None:
    """What each answer says is read in `test_stow_answer`."""
    said = [(409, failed(45070)), (302, b""), (200, b""), (200, b"x" * 3_000_000), (200, stored(1))]
    server.answers += said
    assert sender(server).send([write_image(tmp_path / "a.dcm", 1)] * len(said)) == [
        Outcome("already there", "status-0xB00E"),
        Outcome("refused", "http-302"),
        Outcome("try again", "answer-says-nothing"),
        Outcome("try again", "answer-not-understood"),
        TAKEN,
    ]
    # A redirection is not followed, since nobody knows where it leads, and nothing is sent twice.
    assert len(server.requests) == len(said)


def test_what_is_not_dicom_is_not_sent(server: Server, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM" * 100)
    outcomes = sender(server).send([tmp_path / "notes.txt", tmp_path / "missing.dcm"])
    assert outcomes == [NOT_DICOM, Outcome("not sent", "unreadable-file")]
    assert server.requests == []


def test_a_server_that_is_gone(server: Server, tmp_path: Path) -> None:
    gone = sender(server)
    server.shutdown()
    server.server_close()
    assert gone.send([write_image(tmp_path / "a.dcm", 1)]) == [Outcome("try again", "no-connection")]


def test_a_token_is_shown(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARINA_DICOMWEB_TOKEN", "abc")
    sender(server).send([write_image(tmp_path / "a.dcm", 1)])
    assert server.requests[0][1]["Authorization"] == "Bearer abc"


def test_tls(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = make_certificates(tmp_path)
    server.socket = certificates.server_context(clients=True).wrap_socket(server.socket, server_side=True)
    path = write_image(tmp_path / "a.dcm", 1)
    # What the environment says of authorities does not go before what the settings say.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.path("stranger")))
    own = {"certificate": certificates.path("client"), "key": certificates.key("client")}
    server.answers.append((200, stored(1)))
    assert sender(server, "https", ca=certificates.path("authority"), **own).send([path]) == [TAKEN]
    for wrong in ({"ca": certificates.path("authority")}, {"ca": certificates.path("stranger"), **own}, own):
        assert not sender(server, "https", **wrong).send([path])[0].sent
    assert len(server.requests) == 1
