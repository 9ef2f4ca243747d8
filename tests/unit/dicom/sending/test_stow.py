"""Files go by STOW-RS as they are, and what becomes of each is told."""

import email
import email.policy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from carina.dicom.sending.outcome import NOT_DICOM, TAKEN, Outcome
from carina.dicom.sending.stow import StowSender
from carina.dicom.transport.settings import ClientTls, web_at
from dicom_archives import Answer, WebServer, web_server
from dicom_certificates import make_certificates
from dicom_network import CR
from dicom_stand_in import make_image, write_image


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as made:
        yield made


def sender(server: WebServer, scheme: str = "http", **tls: Path) -> StowSender:
    url = f"{scheme}://localhost:{server.server_address[1]}/dicom-web"
    return StowSender(web_at(url, ClientTls(**tls) if tls else None))


def stored(seed: int) -> Answer:
    uid = make_image(seed).SOPInstanceUID
    item = {"00081150": {"vr": "UI", "Value": [CR]}, "00081155": {"vr": "UI", "Value": [uid]}}
    return Answer(json.dumps({"00081199": {"vr": "SQ", "Value": [item]}}).encode())


def test_files_arrive_as_they_are(server: WebServer, tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"{number}.dcm", number) for number in range(2)]
    bodies: list[bytes] = []

    def store(body: bytes) -> Answer:
        bodies.append(body)
        return stored(len(bodies) - 1)

    server.stored = store
    assert sender(server).send(paths) == [TAKEN, TAKEN]
    for path, (where, headers), body in zip(paths, server.asked, bodies, strict=True):
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
    assert server.asked[0][1]["Content-Type"] != server.asked[1][1]["Content-Type"]


def test_what_the_server_says_is_heeded(server: WebServer, tmp_path: Path) -> None:
    """What each answer says is read in `test_stow_answer`."""
    duplicate = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [45070]}}]}}
    said = [
        Answer(json.dumps(duplicate).encode(), status=409),
        Answer(status=302, headers={"Location": "/elsewhere"}),
        Answer(),
        Answer(b"x" * 3_000_000),
        stored(1),
    ]
    answers = iter(said)
    server.stored = lambda _: next(answers)
    assert sender(server).send([write_image(tmp_path / "a.dcm", 1)] * len(said)) == [
        Outcome("already there", "status-0xB00E"),
        Outcome("refused", "http-302"),
        Outcome("try again", "answer-says-nothing"),
        Outcome("try again", "answer-not-understood"),
        TAKEN,
    ]
    # A redirection is not followed, since nobody knows where it leads, and nothing is sent twice.
    assert len(server.asked) == len(said)


def test_what_is_not_dicom_is_not_sent(server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no DICOM" * 100)
    outcomes = sender(server).send([tmp_path / "notes.txt", tmp_path / "missing.dcm"])
    assert outcomes == [NOT_DICOM, Outcome("not sent", "not-found")]
    assert server.asked == []


def test_a_server_that_is_gone(server: WebServer, tmp_path: Path) -> None:
    gone = sender(server)
    server.shutdown()
    server.server_close()
    assert gone.send([write_image(tmp_path / "a.dcm", 1)]) == [Outcome("try again", "no-connection")]


def test_a_token_is_shown(server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARINA_DICOMWEB_TOKEN", "abc")
    sender(server).send([write_image(tmp_path / "a.dcm", 1)])
    assert server.asked[0][1]["Authorization"] == "Bearer abc"


def test_tls(server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = make_certificates(tmp_path)
    server.socket = certificates.server_context(clients=True).wrap_socket(server.socket, server_side=True)
    path = write_image(tmp_path / "a.dcm", 1)
    # What the environment says of authorities does not go before what the settings say.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.path("stranger")))
    own = {"certificate": certificates.path("client"), "key": certificates.key("client")}
    server.stored = lambda _: stored(1)
    assert sender(server, "https", ca=certificates.path("authority"), **own).send([path]) == [TAKEN]
    for wrong in ({"ca": certificates.path("authority")}, {"ca": certificates.path("stranger"), **own}, own):
        assert not sender(server, "https", **wrong).send([path])[0].sent
    assert len(server.asked) == 1
