"""Radiographs are found and fetched from archives that answer well, badly, or not at all."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pynetdicom import AE, build_context, evt

from carina.dicom.network.dicomweb import WebArchive
from carina.dicom.network.find_scu import DicomArchive
from carina.dicom.network.judging import Answers, JudgeProcess
from carina.dicom.network.query import Series, Wanted, dates_of, modalities_of, query
from carina.dicom.network.settings import peer_at, web_at
from carina.dicom.network.store import ObjectStore
from carina.errors import ConfigurationError, PeerError
from dicom_network import CR
from dicom_stand_in import make_image
from make import names_in

WANTED = Wanted("20260102", ("CR",))
FIND, GET, MOVE = (f"1.2.840.10008.5.1.4.1.2.2.{last}" for last in (1, 3, 2))


def as_file(image: Dataset) -> bytes:
    stream = BytesIO()
    dcmwrite(stream, image, enforce_file_format=True)
    return stream.getvalue()


def series_of(seed: int) -> Series:
    image = make_image(seed)
    return Series(image.StudyInstanceUID, image.SeriesInstanceUID)


def test_dates() -> None:
    today = date(2026, 1, 2)
    assert dates_of("today", today=today) == "20260102"
    assert dates_of("yesterday", today=today) == "20260101"
    for fine in ("20260102", "20260101-20260131", "20260101-", "-20260131"):
        assert dates_of(fine) == fine
    for wrong in ("", "-", "2026", "20261301", "20260131-20260101", "2026010120260102", "tomorrow", "20260102\\1"):
        with pytest.raises(ConfigurationError, match=r"is no date\. Write 20260102"):
            dates_of(wrong)


def test_modalities() -> None:
    assert modalities_of("cr, DX") == ("CR", "DX")
    for wrong in ("", "CR,", "CR\\DX", "C*"):
        with pytest.raises(ConfigurationError, match="are no modalities"):
            modalities_of(wrong)


class Server(ThreadingHTTPServer):
    """A DICOMweb server with a few series, an object each."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.found: Callable[[dict[str, list[str]]], Any] = lambda _: [named(series_of(seed)) for seed in range(3)]
        self.parts = [as_file(make_image(1))]
        self.status = 200
        self.paths: list[str] = []

    @property
    def archive(self) -> WebArchive:
        return WebArchive(web_at(f"http://127.0.0.1:{self.server_address[1]}/web"), 100_000)


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.paths.append(parts.path)
        if parts.path == "/web/series":
            content = self.server.found(parse_qs(parts.query))
            self._answer(content if isinstance(content, bytes) else json.dumps(content).encode(), "application/json")
        else:
            body = b"".join(b"\r\n--xyz\r\n\r\n" + part for part in self.server.parts) + b"\r\n--xyz--"
            self._answer(body, 'multipart/related; type="application/dicom"; boundary=xyz')

    def _answer(self, content: bytes, kind: str) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Be silent."""


def named(series: Series) -> dict[str, Any]:
    return {"0020000D": {"vr": "UI", "Value": [series.study]}, "0020000E": {"vr": "UI", "Value": [series.series]}}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield made
        made.shutdown()


def test_what_a_web_server_finds(server: Server) -> None:
    asked: list[dict[str, list[str]]] = []

    def found(query: dict[str, list[str]]) -> Any:
        asked.append(query)
        return [named(series_of(seed)) for seed in range(2)] + [named(series_of(0))]

    server.found = found
    assert server.archive.find(Wanted("20260101-20260102", ("CR", "DX"))) == [series_of(0), series_of(1)]
    assert [query["Modality"] for query in asked] == [["CR"], ["DX"]]
    assert asked[0]["StudyDate"] == ["20260101-20260102"]


def test_many_pages_are_read_and_endless_ones_are_not(server: Server) -> None:
    asked: list[int] = []

    def found(query: dict[str, list[str]]) -> Any:
        offset, limit = int(query["offset"][0]), int(query["limit"][0])
        asked.append(offset)
        return [named(Series("1.2", f"1.3.{number}")) for number in range(offset, min(offset + limit, 700))]

    server.found = found
    assert len(server.archive.find(WANTED)) == 700
    assert asked == [0, 500]
    # One that gives the first page whatever is asked for.
    server.found = lambda _: [named(Series("1.2", f"1.3.{number}")) for number in range(500)]
    assert len(server.archive.find(WANTED)) == 500


def test_uids_that_are_none_lead_nowhere(server: Server) -> None:
    server.found = lambda _: [
        named(Series("1.2", "../../../etc")),
        named(Series("1.2?x=", "1.3")),
        named(Series("", "1.3")),
        {"0020000D": {"Value": []}},
        "text",
        named(series_of(1)),
    ]
    assert server.archive.find(WANTED) == [series_of(1)]


def test_objects_are_kept_as_they_came(server: Server, tmp_path: Path) -> None:
    server.found = lambda _: [named(series_of(1))]
    server.parts = [as_file(make_image(1)), b"no DICOM", as_file(make_image(2, side=400)), as_file(make_image(3))]
    lost: list[int] = []
    store = ObjectStore(tmp_path / "found")
    fetched = list(query(server.archive, WANTED, store, None, missing=lost.append))
    assert [one.state for one in fetched] == ["fetched", "fetched"]
    assert [one.path.read_bytes() for one in fetched] == [server.parts[0], server.parts[3]]
    # The text, and the one that is too large.
    assert lost == [2]
    again = list(query(server.archive, WANTED, store, None, missing=lost.append))
    assert [one.path for one in again] == [one.path for one in fetched]


class Judging:
    """Answers with a file, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def judge(self, stored: Path, folder: Path) -> Answers:
        self.asked += 1
        (folder / "answer.dcm").write_bytes(b"%d" % self.asked)
        return Answers(("answer.dcm",), ("1.2.3",))


def test_what_another_judged_is_judged_anew(server: Server, tmp_path: Path) -> None:
    server.found = lambda asked: [named(series_of(1))]
    store, judging = ObjectStore(tmp_path / "found"), Judging()
    told = []
    for name in ("one", "one", "other", "one"):
        asked = query(server.archive, WANTED, store, cast("JudgeProcess", judging), judged_by=name, missing=pytest.fail)
        (fetched,) = asked
        told.append((fetched.answers[0].read_bytes(), fetched.known))
    assert told == [(b"1", False), (b"1", True), (b"2", False), (b"1", True)]


@pytest.mark.parametrize(
    ("status", "found", "message"),
    [
        (401, b"[]", r"does not answer as a DICOMweb server \(HTTP 401\)"),
        (404, b"[]", r"\(HTTP 404\)"),
        (200, b"<html>", "gave an answer that is not understood|does not answer as a DICOMweb server"),
    ],
)
def test_a_web_server_that_says_no(server: Server, status: int, found: bytes, message: str) -> None:
    server.status, server.found = status, lambda _: found
    with pytest.raises(PeerError, match=message):
        server.archive.find(WANTED)


def test_a_web_server_that_does_not_give_what_it_found(server: Server) -> None:
    kept: list[Sequence[bytes]] = []
    server.status = 404
    with pytest.raises(PeerError, match=r"does not give a series that it found \(HTTP 404\)"):
        server.archive.fetch(series_of(1), kept.append)
    server.status = 200
    server.parts = []
    assert server.archive.fetch(series_of(1), kept.append) == 0
    archive = server.archive
    server.shutdown()
    server.server_close()
    with pytest.raises(PeerError, match=r"does not answer as a DICOMweb server \(no-connection\)"):
        archive.fetch(series_of(1), kept.append)


class Archive:
    """An archive that is asked by DICOM: two series of a study, an object each."""

    def __init__(self) -> None:
        self.images = {str(make_image(seed).SeriesInstanceUID): make_image(seed) for seed in (1, 2)}
        self.status = 0x0000
        self.uids: list[str] | None = None
        self.sent: list[int] = []
        self.move_to: tuple[str, int] | None = None
        entity = AE("ARCHIVE")
        entity.supported_contexts = [build_context(uid) for uid in (FIND, GET, MOVE)]
        entity.add_supported_context(CR, "1.2.840.10008.1.2.1", scu_role=True, scp_role=True)
        entity.requested_contexts = [build_context(CR, "1.2.840.10008.1.2.1")]
        handlers = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_GET, self._get), (evt.EVT_C_MOVE, self._move)]
        self._server: Any = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = self._server.server_address[1]

    def close(self) -> None:
        self._server.shutdown()

    def archive(self, **keywords: Any) -> DicomArchive:
        return DicomArchive(peer_at(f"127.0.0.1:{self.port}", called="ARCHIVE"), 100_000, **keywords)

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        if self.status:
            yield self.status, None
            return
        answers = []
        if asked.QueryRetrieveLevel == "STUDY":
            answers = [{"StudyInstanceUID": uid} for uid in self.uids or ["1.2.3"]]
        elif asked.StudyInstanceUID == "1.2.3":
            answers = [{"SeriesInstanceUID": uid, "Modality": "CR"} for uid in self.images]
            answers.append({"SeriesInstanceUID": "1.2.9", "Modality": "MG"})
        for answer in answers:
            yield 0xFF00, dataset(QueryRetrieveLevel=asked.QueryRetrieveLevel, **answer)

    def _chosen(self, event: Any) -> list[Dataset]:
        return [image for uid, image in self.images.items() if uid == event.identifier.SeriesInstanceUID]

    def _get(self, event: Any) -> Iterator[Any]:
        chosen = self._chosen(event)
        yield len(chosen)
        if self.status:
            yield self.status, None
            return
        for image in chosen:
            yield 0xFF00, image

    def _move(self, event: Any) -> Iterator[Any]:
        if self.move_to is None:
            yield None, None
            return
        yield self.move_to
        yield from self._get(event)


def dataset(**values: str) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


@pytest.fixture
def peer() -> Iterator[Archive]:
    made = Archive()
    yield made
    made.close()


def test_series_are_found_by_dicom(peer: Archive) -> None:
    found = peer.archive().find(WANTED)
    # Not the mammogram, though this archive does not heed the modality.
    assert found == [Series("1.2.3", uid) for uid in peer.images]


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_studies_without_a_uid_are_not_asked_for(peer: Archive) -> None:
    peer.uids = ["../x", "1.2.3", "*"]
    assert len(peer.archive().find(WANTED)) == 2


def test_objects_come_by_c_get(peer: Archive, tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "found")
    fetched = list(query(peer.archive(), WANTED, store, None, missing=pytest.fail))
    pixels = [dcmread(one.path).PixelData for one in fetched]
    assert pixels == [image.PixelData for image in peer.images.values()]


def test_objects_come_by_c_move(peer: Archive, tmp_path: Path) -> None:
    archive = peer.archive(by="move")
    peer.move_to = ("127.0.0.1", archive._server.server_address[1])
    try:
        store = ObjectStore(tmp_path / "found")
        fetched = list(query(archive, WANTED, store, None, missing=pytest.fail))
        assert [dcmread(one.path).PixelData for one in fetched] == [i.PixelData for i in peer.images.values()]
        peer.move_to = None
        with pytest.raises(PeerError, match=r"\(status 0xA801\)\. Make CARINA, with this machine's address and port"):
            archive.fetch(Series("1.2.3", next(iter(peer.images))), lambda _: None)
    finally:
        archive.close()


def test_what_is_too_large_is_counted(peer: Archive, tmp_path: Path) -> None:
    large = make_image(5, side=400)
    peer.images = {str(large.SeriesInstanceUID): large, **peer.images}
    lost: list[int] = []
    fetched = list(query(peer.archive(), WANTED, ObjectStore(tmp_path / "found"), None, missing=lost.append))
    assert (len(fetched), lost) == (2, [1])


def test_a_full_disk_is_no_affair_of_the_archive(peer: Archive) -> None:
    def full(parts: Sequence[bytes]) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        peer.archive().fetch(Series("1.2.3", next(iter(peer.images))), full)


def test_an_archive_that_says_no(peer: Archive, tmp_path: Path) -> None:
    peer.status = 0xC000
    with pytest.raises(PeerError, match=r"does not answer the query \(status 0xC000\)"):
        peer.archive().find(WANTED)
    with pytest.raises(PeerError, match=r"does not send what it found \(status 0xC000\)"):
        peer.archive().fetch(Series("1.2.3", next(iter(peer.images))), lambda _: None)
    peer.close()
    with pytest.raises(PeerError, match=r"does not take the association \(no-connection\)"):
        peer.archive().find(WANTED)
    peer.close = lambda: None  # type: ignore[method-assign]
    assert names_in(tmp_path) == []
