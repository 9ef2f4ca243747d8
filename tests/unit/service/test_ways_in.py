"""The listener and the watched folder: both take in by the one function, and say what is in the way."""

import io
import threading
import time
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import dcmread
from pynetdicom import AE
from sqlalchemy import select

import make_dicom
from carina.dicom.transport.log import EventLog
from carina.dicom.transport.settings import Listening
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Arrival, Image
from carina.service.intake import site_listener as listening
from carina.service.intake.site_listener import listen
from carina.service.intake.take import NotTakenError
from carina.service.intake.watch import WatchedFolder
from carina.service.site_folder import Site
from carina.service.site_settings import Limits
from unit.service.test_take import film, png, without_pixels

CR = "1.2.840.10008.5.1.4.1.1.1"


def test_a_film_that_is_sent_is_taken_before_it_is_acknowledged(plain_site: Site) -> None:
    log, stop = StringIO(), threading.Event()
    limits = Limits(object_mb=0.1)
    site = replace(plain_site, settings=plain_site.settings.model_copy(update={"limits": limits}))
    thread = threading.Thread(target=listen, args=(site, Listening(allow=("SENDER",), port=0), EventLog(log), stop))
    thread.start()
    try:
        while "listening" not in log.getvalue():
            time.sleep(0.01)
        port = int(log.getvalue().split("address=127.0.0.1:")[1].split()[0])
        entity = AE("SENDER")
        entity.add_requested_context(CR, make_dicom.EXPLICIT)
        association = entity.associate("127.0.0.1", port, ae_title="CARINA")
        assert association.is_established
        dataset = dcmread(io.BytesIO(film(StudyInstanceUID="1.2.3", SOPInstanceUID="1.2.3.4")))
        statuses = [association.send_c_store(dataset).Status for _ in range(2)]
        dataset.PixelData = bytes(200_000)
        too_large = association.send_c_store(dataset).Status
        association.release()
        stranger = AE("STRANGER")
        stranger.add_requested_context(CR, make_dicom.EXPLICIT)
        assert stranger.associate("127.0.0.1", port, ae_title="CARINA").is_rejected
    finally:
        stop.set()
        thread.join(60)
    assert (statuses, too_large) == ([0, 0], 0xC000)
    assert "refused to store status=0xC000 reason=too-large" in log.getvalue()
    with reading(plain_site.engine) as session:
        assert session.scalars(select(Image.sop_instance_uid)).all() == ["1.2.3.4"]
        assert session.scalars(select(Arrival.source)).all() == ["c-store", "c-store"]
    told = log.getvalue()
    assert [word in told for word in ("received image=1", "duplicate image=1", "association rejected")] == [True] * 3
    assert "SECRET" not in told
    assert "Secret" not in told
    # What came over the network is known when it is uploaded as a file.
    assert without_meta(plain_site) == 1


def without_meta(site: Site) -> int:
    from carina.service.intake.take import take

    for path in site.store.objects.iterdir():
        take(site, b"\7" * 128 + path.read_bytes()[128:], name="a", source="upload")
    with reading(site.engine) as session:
        return len(session.scalars(select(Image.id)).all())


def stored(site: Site, content: bytes, log: StringIO) -> int:
    return listening.store(site, SimpleNamespace(), content, EventLog(log))


def test_what_cannot_be_taken_gets_its_status(plain_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    log = StringIO()
    monkeypatch.setattr(listening, "file_beginning", lambda _: b"")
    assert stored(plain_site, without_pixels(), log) == 0xC000
    own = make_dicom.encode_object("1.2.840.10008.5.1.4.1.1.88.11", "SR", Manufacturer="Carina authors")
    monkeypatch.setattr(listening, "take", lambda *_, **__: listening_left_out("own-answer"))
    assert stored(plain_site, own, log) == 0

    def full(*_: Any, **__: Any) -> None:
        msg = "The disk is full."
        raise NotTakenError(msg, "disk-full")

    monkeypatch.setattr(listening, "take", full)
    assert stored(plain_site, film(), log) == 0xA700
    reasons = [word for word in log.getvalue().split() if word.startswith("reason=")]
    assert reasons == ["reason=companion-object", "reason=disk-full"]


def listening_left_out(code: str) -> object:
    from carina.service.intake.take import LeftOut

    return LeftOut(code, "Why.")


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


def test_a_file_is_taken_once_it_no_longer_changes_and_stays(plain_site: Site, drop: Path) -> None:
    log = StringIO()
    watched = WatchedFolder(plain_site, drop, EventLog(log))
    (drop / "within").mkdir()
    (drop / "within" / "film.png").write_bytes(png(1)[:100])
    (drop / ".hidden.png").write_bytes(png(2))
    (drop / "notes.txt").write_text("hello")
    assert watched.look() is None
    # It is still being copied.
    (drop / "within" / "film.png").write_bytes(png(1))
    assert watched.look() is None
    assert count(plain_site) == 0
    assert watched.look() is None
    assert count(plain_site) == 1
    assert watched.look() is None
    # After a start, nothing is read again.
    assert [WatchedFolder(plain_site, drop, EventLog(log)).look() for _ in range(2)] == [None, None]
    told = [line.split(" ", 1)[1] for line in log.getvalue().splitlines()]
    assert sorted(told) == ["left out source=folder reason=no-image", "received image=1 source=folder"]
    assert (drop / "within" / "film.png").is_file()


def test_what_is_in_the_way_of_the_watched_folder_is_said_and_tried_again(
    plain_site: Site, drop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = WatchedFolder(plain_site, drop / "none", EventLog(StringIO()))
    assert "is not there" in (watched.look() or "")
    (drop / "film.png").write_bytes(png(1))
    watched = WatchedFolder(plain_site, drop, EventLog(StringIO()))
    watched.look()
    with monkeypatch.context() as patched:
        patched.setattr(type(plain_site.store), "free_bytes", lambda _: 0)
        assert "nearly full" in (watched.look() or "")
    assert watched.look() is None
    assert count(plain_site) == 1


def test_a_file_that_cannot_be_read_once_is_tried_again_and_told_once(
    plain_site: Site, drop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = StringIO()
    watched = WatchedFolder(plain_site, drop, EventLog(log))
    (drop / "film.png").write_bytes(png(1))
    real, wrong = Path.read_bytes, [OSError(5, "Input/output error"), PermissionError(13, "Permission denied")]

    def read_bytes(path: Path) -> bytes:
        if path.parent == drop and wrong:
            raise wrong.pop()
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert [watched.look() for _ in range(3)] == [None] * 3
    assert (count(plain_site), wrong) == (0, [])
    assert watched.look() is None
    assert count(plain_site) == 1
    told = [line.split(" ", 1)[1] for line in log.getvalue().splitlines()]
    assert told == ["left out source=folder reason=permission-denied", "received image=1 source=folder"]


def count(site: Site) -> int:
    with reading(site.engine) as session:
        return len(session.scalars(select(Image.id)).all())
