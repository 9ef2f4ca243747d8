"""The outbox: a live site's answers are sent once each, a silent one's never."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from sqlalchemy import select

from carina.dicom.listener.judging import AnswerFiles, Failure, Refusal
from carina.dicom.sending.outcome import TAKEN, Outcome
from carina.dicom.transport.log import EventLog
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Delivery
from carina.service.intake.take import take
from carina.service.mode import change_mode
from carina.service.outbox import Outbox, enqueue
from carina.service.people.accounts import add_account
from carina.service.people.people_tables import Setting
from carina.service.site_folder import Site
from carina.service.site_settings import SiteSettings
from unit.service.test_take import png
from unit.service.test_worker import add_model, film, send

DESTINATION = {"dicom": {"host": "127.0.0.1", "port": 4242, "called": "ORTHANC"}}


@pytest.fixture
def sending(site: Site) -> Site:
    """Return a site with a destination and a model."""
    settings = SiteSettings.model_validate({"destination": DESTINATION, "retries": {"sending": 2, "first_s": 3600}})
    add_model(site)
    return Site(site.folder, settings, site.engine, site.store)


class Peer:
    """Takes answers, or gives an outcome that was set."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.outcome = TAKEN

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        self.taken += [path.read_text() for path in paths] if self.outcome == TAKEN else []
        return [self.outcome for _ in paths]


def answer(stored: Path, folder: Path) -> AnswerFiles | Refusal | Failure:
    if b"REFUSE" in stored.read_bytes():
        return Refusal("no-kind-fits", "Why.")
    (folder / "answer.dcm").write_text(f"to {stored.name[:4]}")
    return AnswerFiles(("1.2",))


def go_live(site: Site) -> None:
    with writing(site.engine) as session:
        session.merge(Setting(key="mode", value="live", changed_at=now(), changed_by=None))


def wait(site: Site, *images: int) -> None:
    with writing(site.engine) as session:
        for image_id in images:
            enqueue(session, site, image_id, 1)


def states(site: Site) -> list[tuple[str, str | None]]:
    with reading(site.engine) as session:
        return [tuple(row) for row in session.execute(select(Delivery.state, Delivery.reason).order_by(Delivery.id))]


def test_only_what_was_judged_while_the_site_is_live_is_sent_and_once(sending: Site) -> None:
    peer, log = Peer(), StringIO()
    outbox = Outbox(sending, EventLog(log), sender=peer, answering=lambda _: answer)
    first, second = send(sending, 2)
    wait(sending, first.image_id)
    assert (outbox.send_some(), states(sending)) == (False, [])
    go_live(sending)
    raster = take(sending, png(1), name="a.png", source="upload")
    wait(sending, second.image_id, second.image_id, raster.image_id)  # type: ignore[union-attr]
    assert outbox.send_some()
    assert not outbox.send_some()
    assert peer.taken == [f"to {second.digest[:4]}"]
    assert states(sending) == [("sent", None)]
    assert sending.store.answer_files(second.digest) == []
    assert f"sent object={second.digest[:12]} answers=1" in log.getvalue()


def test_a_site_that_is_silent_again_sends_nothing(sending: Site) -> None:
    peer = Peer()
    go_live(sending)
    (one,) = send(sending, 1)
    wait(sending, one.image_id)
    anna = add_account(sending.engine, "anna", "correct horse battery staple", "administrator")
    change_mode(sending.engine, "silent", "It was not good enough.", account_id=anna)
    outbox = Outbox(sending, EventLog(StringIO()), sender=peer, answering=lambda _: answer)
    assert not outbox.send_some()
    # Nor what waited then, when it is live again: by then it may be weeks old.
    change_mode(sending.engine, "live", "Now it is good enough.", account_id=anna)
    assert not outbox.send_some()
    assert (peer.taken, states(sending)) == ([], [("dead", "the site became silent")])


def test_what_fails_is_tried_again_and_what_is_refused_is_not(sending: Site) -> None:
    peer = Peer()
    go_live(sending)
    sent = send(sending, 2)
    hopeless = take(sending, film(9, AccessionNumber="REFUSE"), name="a", source="upload")
    outbox = Outbox(sending, EventLog(StringIO()), sender=peer, answering=lambda _: answer)
    wait(sending, hopeless.image_id, sent[0].image_id)  # type: ignore[union-attr]
    peer.outcome = Outcome("try again", "no-answer")
    assert outbox.send_some()
    assert states(sending) == [("dead", "no-kind-fits"), ("waiting", "no-answer")]
    # Not due before its pause is over.
    assert not outbox.send_some()
    peer.outcome = Outcome("refused", "status-0xC000")
    wait(sending, sent[1].image_id)
    assert outbox.send_some()
    assert states(sending)[2] == ("dead", "status-0xC000")


def test_an_answer_that_another_model_left_is_not_sent(sending: Site) -> None:
    """The one before could not be sent, and then another model was taken into use."""
    peer = Peer()
    go_live(sending)
    (one,) = send(sending, 1)
    folder = sending.store.answers_folder(one.digest)
    folder.mkdir()
    (folder / "answer.dcm").write_text("of the model before")
    wait(sending, one.image_id)
    assert Outbox(sending, EventLog(StringIO()), sender=peer, answering=lambda _: answer).send_some()
    assert peer.taken == [f"to {one.digest[:4]}"]
