"""Archives on the loopback that answer well, badly or not at all: one by DICOMweb, one by C-FIND, C-GET and C-MOVE."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydicom import Dataset, dcmwrite
from pynetdicom import AE, build_context, evt
from pynetdicom.transport import ThreadedAssociationServer

from carina.dicom.fetching.query import Series
from dicom_network import CR
from dicom_stand_in import make_image

FIND, GET, MOVE = (f"1.2.840.10008.5.1.4.1.2.2.{last}" for last in (1, 3, 2))
MULTIPART = 'multipart/related; type="application/dicom"; boundary=xyz'
LOGIN_PAGE = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>"


def as_file(image: Dataset) -> bytes:
    stream = BytesIO()
    dcmwrite(stream, image, enforce_file_format=True)
    return stream.getvalue()


def series_of(seed: int, images: int | None = None) -> Series:
    image = make_image(seed)
    return Series(image.StudyInstanceUID, image.SeriesInstanceUID, images)


def row_of(series: Series, **others: Any) -> dict[str, Any]:
    """A result of a search, as DICOM's JSON has it; other attributes by tag."""
    attributes = {"0020000D": series.study, "0020000E": series.series, **others}
    if series.images is not None:
        attributes["00201209"] = series.images
    return {
        tag.removeprefix("x"): {"vr": "UI", "Value": value if isinstance(value, list) else [value]}
        for tag, value in attributes.items()
    }


@dataclass(frozen=True)
class Answer:
    """What the web server answers: with `cut` so many bytes fewer than promised, with `stall_s` no end after them."""

    content: bytes = b""
    kind: str = "application/dicom+json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    stall_s: float = 0


def rows(*found: dict[str, Any], **others: Any) -> Answer:
    return Answer(json.dumps(found).encode(), **others)


def multipart(*parts: bytes, kind: str = MULTIPART, **others: Any) -> Answer:
    body = b"".join(b"\r\n--xyz\r\n\r\n" + part for part in parts) + b"\r\n--xyz--"
    return Answer(body.removeprefix(b"\r\n"), kind, **others)


class WebServer(ThreadingHTTPServer):
    """A DICOMweb server with three series of one image each, unless it is told otherwise."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        # Given the keys of a search for series, of one for instances, and the path of a series.
        self.found: Callable[[dict[str, str]], Answer] = lambda _: rows(*(row_of(series_of(n, 1)) for n in range(3)))
        self.instances: Callable[[dict[str, str]], Answer] = lambda _: Answer(status=404)
        self.given: Callable[[str], Answer] = lambda path: multipart(
            *(as_file(make_image(seed)) for seed in range(3) if path.endswith(series_of(seed).series))
        )
        self.stored: Callable[[bytes], Answer] = lambda _: Answer()
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/web"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Handshakes that fail are meant."""


class _Handler(BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        keys = {name: given[0] for name, given in parse_qs(parts.query).items()}
        self.server.asked.append((parts.path, keys))
        if parts.path == "/web/series":
            self._answer(self.server.found(keys))
        elif parts.path.endswith("/instances"):
            self._answer(self.server.instances(keys))
        else:
            self._answer(self.server.given(parts.path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers)))
        self._answer(self.server.stored(body))

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        if answer.kind:
            self.send_header("Content-Type", answer.kind)
        if "Transfer-Encoding" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.content)))
        for name, text in answer.headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(answer.content[: len(answer.content) - answer.cut])
        if answer.stall_s:
            self.wfile.flush()
            time.sleep(answer.stall_s)

    def log_message(self, *arguments: Any) -> None:
        """Be silent."""


@contextmanager
def web_server() -> Iterator[WebServer]:
    with WebServer() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield made
        made.shutdown()


def paged(found: list[dict[str, Any]], *, most: int = 1000, warns: bool = False) -> Callable[[dict[str, str]], Answer]:
    """A search that gives pages as they are asked for, of so many results at most, and may say how many remain."""

    def page(keys: dict[str, str]) -> Answer:
        first = int(keys["offset"])
        last = first + min(most, int(keys["limit"]))
        left = max(0, len(found) - last)
        said = f'299 server: "There are {left} additional results that can be requested"'
        return rows(*found[first:last], headers={"Warning": said} if warns and left else {})

    return page


class DimseServer:
    """An archive that is asked by DICOM: a study with two series of one image each, unless it is told otherwise."""

    def __init__(self, services: Sequence[str] = (FIND, GET, MOVE)) -> None:
        self.images = {str(make_image(seed).SeriesInstanceUID): make_image(seed) for seed in (1, 2)}
        # What a search gives beside its results, and for one key of it alone: its last status.
        self.statuses: dict[str, int] = {}
        self.studies: list[dict[str, Any]] = [{"StudyInstanceUID": "1.2.3"}]
        self.extra_series: list[dict[str, Any]] = [{"SeriesInstanceUID": "1.2.9", "Modality": "MG"}]
        self.modality: Any = "CR"
        self.counts: bool = True
        # Instead of sending a series: a status, or no image at all.
        self.refused: dict[str, int] = {}
        self.move_to: tuple[str, int] | None = None
        # The title that it asks for when it brings objects; by default that of whoever wants them.
        self.brings_to: str | None = None
        entity = AE("ARCHIVE")
        entity.supported_contexts = [build_context(uid) for uid in services]
        entity.add_supported_context(CR, "1.2.840.10008.1.2.1", scu_role=True, scp_role=True)
        entity.requested_contexts = [build_context(CR, "1.2.840.10008.1.2.1")]
        handlers = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_GET, self._get), (evt.EVT_C_MOVE, self._move)]
        self._server: Any = entity.make_server(
            ("127.0.0.1", 0), evt_handlers=handlers, server_class=ThreadedAssociationServer
        )
        # What it is taken off again when it is shut down; started by pynetdicom, it would take half a second for that.
        entity._servers.append(self._server)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.port = self._server.server_address[1]

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        for answer in self._found(asked):
            yield 0xFF00, dataset(QueryRetrieveLevel=asked.QueryRetrieveLevel, **answer)
        if status := self.statuses.get(asked.QueryRetrieveLevel):
            yield status, None

    def _found(self, asked: Dataset) -> list[dict[str, Any]]:
        if asked.QueryRetrieveLevel == "STUDY":
            return self.studies
        if asked.QueryRetrieveLevel == "IMAGE":
            image = self.images.get(asked.SeriesInstanceUID)
            return [] if image is None else [{"SOPInstanceUID": image.SOPInstanceUID}]
        if asked.StudyInstanceUID != "1.2.3":
            return []
        counts = {"NumberOfSeriesRelatedInstances": 1} if self.counts else {}
        named = [{"SeriesInstanceUID": uid, "Modality": self.modality, **counts} for uid in self.images]
        return [*named, *self.extra_series]

    def _get(self, event: Any) -> Iterator[Any]:
        wanted = event.identifier.SeriesInstanceUID
        chosen = [image for uid, image in self.images.items() if uid == wanted]
        status = self.refused.get(wanted)
        yield 0 if status == 0 else len(chosen)
        if status is not None:
            if status:
                yield status, None
            return
        for image in chosen:
            yield 0xFF00, image

    def _move(self, event: Any) -> Iterator[Any]:
        if self.move_to is None:
            yield None, None
            return
        yield self.move_to if self.brings_to is None else (*self.move_to, {"ae_title": self.brings_to})
        yield from self._get(event)


@contextmanager
def dimse_server(services: Sequence[str] = (FIND, GET, MOVE)) -> Iterator[DimseServer]:
    made = DimseServer(services)
    try:
        yield made
    finally:
        made.close()


def dataset(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made
