"""Answers are deleted once their destination said that it has them, and not before."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carina.dicom.listener.keeper import Keeper
from carina.dicom.listener.work import DeliveryThread
from carina.dicom.sending.stow import StowSender
from carina.dicom.transport.log import EventLog
from carina.dicom.transport.settings import Retries, listen_settings, web_at
from dicom_archives import LOGIN_PAGE, Answer, WebServer, web_server
from dicom_stand_in import make_image, write_image
from make import names_in

DIGEST = "ab" * 32
UID = make_image(1).SOPInstanceUID


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as made:
        yield made


class Delivering:
    """One judged object, and what sends its answer once when it is told to."""

    def __init__(self, folder: Path, url: str) -> None:
        settings = listen_settings({"folder": folder, "allow": ["A"]})
        self.said = io.StringIO()
        log = EventLog(self.said, as_json=True)
        self.keeper = Keeper(settings, log, delivers=True)
        self._delivery = DeliveryThread(StowSender(web_at(url)), self.keeper, log, Retries(sending=2))
        self.keeper.store.write_object(DIGEST, [b"an object"])
        self.keeper.journal.receive(DIGEST, 9)
        work = self.keeper.store.new_work_folder()
        write_image(work / "answer.dcm", 1)
        self.keeper.judged(DIGEST, work, (UID,))

    def deliver(self) -> dict[str, Any]:
        self._delivery._deliver([DIGEST])
        told: dict[str, Any] = json.loads(self.said.getvalue().splitlines()[-1])
        return told

    def held(self) -> tuple[str, int, int]:
        """State in the journal, and how many objects and answers lie in the folder."""
        record = self.keeper.journal.find(DIGEST)
        assert record is not None
        return record.state, len(names_in(self.keeper.store.objects)), len(self.keeper.store.answer_files(DIGEST))


@pytest.fixture
def delivering(tmp_path: Path, server: WebServer) -> Iterator[Delivering]:
    made = Delivering(tmp_path / "f", server.url)
    yield made
    made.keeper.journal.close()


def answer(tag: str, **numbers: int) -> bytes:
    item = {"00081155": {"Value": [UID]}, **{name[1:]: {"Value": [value]} for name, value in numbers.items()}}
    return json.dumps({tag: {"Value": [item]}}).encode()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Answer(LOGIN_PAGE, "text/html"), "web-page-instead-of-answer"),
        (Answer(b"{}"), "answer-says-nothing"),
        (Answer(status=204), "answer-says-nothing"),
        (Answer(b"OK", "text/plain"), "answer-not-understood"),
        (Answer(status=302, headers={"Location": "/login"}), "http-302"),
        (Answer(status=401), "http-401"),
        (Answer(answer("00081198", x00081197=0xA900), status=202), "status-0xA900"),
        (Answer(answer("00081198", x00081197=45071), status=409), "status-0xB00F"),
    ],
)
def test_what_is_not_surely_taken_is_kept_and_said(
    server: WebServer, delivering: Delivering, said: Answer, reason: str
) -> None:
    server.stored = lambda _: said
    told = delivering.deliver()
    assert (told["event"], told["reason"]) == ("not sent", reason)
    assert delivering.held() == ("judged", 1, 1)
    # After the last attempt it is kept in another place.
    told = delivering.deliver()
    assert (told["event"], told["reason"]) == ("given up", reason)
    assert delivering.held() == ("dead", 0, 0)
    grave = delivering.keeper.store.dead / DIGEST
    assert names_in(grave) == ["answers", "object.dcm", "reason.json"]
    assert names_in(grave / "answers") == ["answer.dcm"]
    assert json.loads((grave / "reason.json").read_text())["reason"] == reason


@pytest.mark.parametrize(
    ("said", "remark"),
    [
        (Answer(answer("00081199")), None),
        (Answer(answer("00081199", x00081196=0xB000), status=202), "warning-0xB000"),
        (Answer(answer("00081198", x00081197=45070), status=409), "status-0xB00E"),
    ],
)
def test_what_is_taken_is_deleted(server: WebServer, delivering: Delivering, said: Answer, remark: str | None) -> None:
    server.stored = lambda _: said
    told = delivering.deliver()
    assert (told["event"], told.get("remark")) == ("sent", remark)
    assert delivering.held() == ("sent", 0, 0)
