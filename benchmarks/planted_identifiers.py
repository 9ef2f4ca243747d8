"""Whether a patient's identifier leaves a site by log, metrics, webhooks, addresses, errors, audit log or file names.

    python benchmarks/planted_identifiers.py [--out FILE.json]

The whole of ``carina serve`` runs with the released model. 200 identifiers are planted: eight in each of twenty films'
headers (names, numbers, an address, a UID), twenty in names of files and twenty in notes of readers. The films come by
C-STORE, by upload, by the API and through the watched folder, some of them damaged. Readers search for them, open them
and give verdicts; programs ask for all that the API has; forms are sent wrong, pages asked for that do not exist, files
deleted, studies deleted by an administrator, a worker killed, and the site started again with the other form of its
log. The films are then of 30 days, so that *Watching* has charts and an alert. A receiver of webhooks keeps what it is
told. Then the identifiers are looked for in all that should hold none. That they are found where they belong (the
reading page, the database) shows that the search can find them.
"""

import argparse
import contextlib
import http.server
import io
import re
import signal
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import psutil
from pydicom import Dataset, dcmwrite
from served_site import (
    Reader,
    Served,
    add_people,
    film,
    free_port,
    new_site,
    wait_for_pages,
    wait_until_judged,
    write_told,
)
from sqlalchemy import func, select

from carina.dicom.transport.log import EventLog
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Study
from carina.service.mode import change_mode
from carina.service.people.accounts import add_account
from carina.service.people.tokens import SCOPES, add_token
from carina.service.site_folder import Site
from carina.service.watching.alerts import measure_days
from carina.service.watching.watching_tables import Alert
from dicom_network import send

_FILMS = 20
_TAGS = (
    "PatientName",
    "PatientID",
    "AccessionNumber",
    "StudyDescription",
    "InstitutionName",
    "ReferringPhysicianName",
    "PatientAddress",
)
_UID = "1.2.826.0.1.77712"
_UID_OF_REPORT = re.compile(r"urn:oid:[0-9.]+")
_WAIT_S = 180.0
# Webhooks are sent within seconds.
_TOLD_S = 6.0
# What of a page is an address, and not words for a reader.
_ADDRESSES = re.compile(r'(?:href|src|action|hx-[a-z-]+|formaction)="([^"]*)"')


def word(number: int) -> str:
    """Return a planted identifier: letters that stand nowhere else."""
    return f"Plantd{number:03d}Zq"


def planted_film(number: int) -> Dataset:
    """Return a film whose header holds eight identifiers."""
    tags: dict[str, object] = {tag: word(number * len(_TAGS) + place) for place, tag in enumerate(_TAGS)}
    return film(number, 256, StudyInstanceUID=f"{_UID}.{number}", **tags)


def planted() -> list[str]:
    """Return all 200: seven words and a UID for each film, a name of a file, and a note."""
    words = [word(number) for number in range(_FILMS * (len(_TAGS) + 2))]
    return [*words, *(f"{_UID}.{number}" for number in range(_FILMS))]


def name_of_file(number: int) -> str:
    """Return the planted name of a file."""
    return word(_FILMS * len(_TAGS) + number)


def note_of(number: int) -> str:
    """Return the planted note of a reader."""
    return word(_FILMS * (len(_TAGS) + 1) + number)


def encoded(image: Dataset) -> bytes:
    """Return a film as a file."""
    content = io.BytesIO()
    dcmwrite(content, image, enforce_file_format=True)
    return content.getvalue()


class Collected:
    """What a site has said, by where it said it."""

    def __init__(self) -> None:
        self.places: dict[str, list[str]] = {}

    def add(self, place: str, *texts: str) -> None:
        """Keep what was said somewhere."""
        self.places.setdefault(place, []).extend(texts)

    def watch(self, client: httpx2.Client) -> None:
        """Keep what every answer to a client holds besides a page's words."""
        client.event_hooks = {"response": [self._note]}

    def _note(self, answer: httpx2.Response) -> None:
        if "event-stream" in answer.headers.get("content-type", ""):
            return
        answer.read()
        self.add("addresses", str(answer.request.url))
        self.add("headers of answers", *(f"{name}: {value}" for name, value in answer.headers.items()))
        kind = answer.headers.get("content-type", "")
        if answer.status_code >= 400:
            self.add("error pages", answer.text)
        elif "json" in kind:
            # By the study's UID a FHIR report names it, and the receiving system finds the patient; by nothing else.
            text = _UID_OF_REPORT.sub("", answer.text) if "/fhir/" in answer.request.url.path else answer.text
            self.add("API", text)
        elif "html" in kind:
            self.add("addresses", *_ADDRESSES.findall(answer.text))
            self.add("pages (where they belong)", answer.text)
        elif "csv" in kind:
            self.add("audit log", answer.text)

    def found(self, words: Sequence[str]) -> dict[str, int]:
        """Return how many of some words each place holds."""
        return {place: sum(word in text for word in words) for place, text in self._texts()}

    def _texts(self) -> Iterable[tuple[str, str]]:
        return ((place, "\n".join(texts)) for place, texts in sorted(self.places.items()))


def come_in(site: Site, port: int, reader: Reader, program: httpx2.Client) -> None:
    """Let the films come by every way, some damaged."""
    numbers = iter(range(_FILMS))
    send(port, [planted_film(next(numbers)) for _ in range(6)])
    for _ in range(5):
        number = next(numbers)
        _upload(reader, encoded(planted_film(number)), f"{name_of_file(number)}.dcm")
    damaged = next(numbers)
    _upload(reader, encoded(planted_film(damaged))[:20_000], f"{name_of_file(damaged)}.dcm")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        number = next(numbers)
        files.writestr(f"{name_of_file(number)}/{name_of_file(number)}.dcm", encoded(planted_film(number)))
        files.writestr(f"{name_of_file(damaged)}.txt", name_of_file(damaged))
    _upload(reader, archive.getvalue(), f"{name_of_file(number)}.zip")
    _upload(reader, archive.getvalue()[:5000], f"{name_of_file(number)}.zip")
    for _ in range(3):
        number = next(numbers)
        headers = {"X-File-Name": f"{name_of_file(number)}.dcm"}
        program.post("/images", content=encoded(planted_film(number)), headers=headers)
    drop = site.folder / "drop"
    for number in numbers:
        (drop / f"{name_of_file(number)}.dcm").write_bytes(encoded(planted_film(number)))
    (drop / f"{name_of_file(0)}.dcm").write_bytes(encoded(planted_film(0))[:3000])
    (drop / f"{name_of_file(1)}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + name_of_file(1).encode())


def _upload(reader: Reader, content: bytes, name: str) -> None:
    reader.client.post("/upload", content=content, headers={"X-CSRF-Token": reader.csrf, "X-File-Name": name})


def wait_until_all_came(site: Site) -> None:
    """Wait until every film has come, also those of the watched folder, and no image waits to be judged."""
    until = time.monotonic() + _WAIT_S
    while time.monotonic() < until:
        with reading(site.engine) as session:
            if (session.scalar(select(func.count(Study.id))) or 0) >= _FILMS:
                break
        time.sleep(0.5)
    wait_until_judged(site, _WAIT_S)


class Receiver:
    """A server that keeps the headers and the bodies of all that webhooks send it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        told = self.told

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.append(f"{self.path}\n{self.headers}\n{body.decode()}")
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/told"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


def spread_over_days(site: Site) -> None:
    """Let the studies be of some weeks, the last day with many, and measure these days: charts, and an alert."""
    with writing(site.engine) as session:
        for study in session.scalars(select(Study)):
            # One or none on the first days; the last one has the rest.
            days = 30 - study.id if study.id < _FILMS // 2 else 2
            study.arrived_at = now() - timedelta(days=days)
    while measure_days(site, EventLog(io.StringIO())):
        pass


def be_used(site: Site, reader: Reader, program: httpx2.Client, auditor: Reader, chief: Reader) -> None:
    """Let readers, programs, an auditor and an administrator do what they do, right and wrong."""
    with reading(site.engine) as session:
        numbers = list(session.scalars(select(Study.id).order_by(Study.id)))
        images = list(session.scalars(select(Image.id).order_by(Image.id)))
    for place, study in enumerate(numbers[:_FILMS]):
        for tag in range(3):
            reader.post("/worklist", q=word(place * len(_TAGS) + tag))
        reader.client.get(f"/studies/{study}")
        reader.post(f"/studies/{study}/verdict", finding="Normal", note=note_of(place))
        reader.post(f"/studies/{study}/verdict", finding=word(place), note=note_of(place))
        reader.client.post(f"/studies/{study}/verdict", data={"finding": word(place), "csrf": word(place)})
        reader.client.get(f"/studies/{study}")
        for path in (f"/images/{study}/result", f"/fhir/DiagnosticReport/{study}", f"/studies/{study}/verdicts"):
            program.get(path)
        program.post(f"/studies/{study}/verdicts", json={"finding": word(place), "note": note_of(place)})
        program.post(f"/studies/{study}/verdicts", json={"finding": None, word(place): note_of(place)})
    for image in images:
        for part in ("thumbnail", "pixels", "evidence"):
            reader.client.get(f"/images/{image}/{part}")
        program.get(f"/images/{image}")
    with reading(site.engine) as session:
        gone = session.get_one(Image, images[0])
    site.store.object_path(gone.digest).unlink()
    reader.client.get(f"/images/{gone.id}/pixels")
    for path in ("/worklist", "/good-enough", "/watching", "/sessions", "/nothing", "/healthz", "/readyz"):
        reader.client.get(path)
    for path in ("/administration", "/models", "/watching", f"/studies/{numbers[-1]}/delete"):
        chief.client.get(path)
    for reason in ("short", "The patient asked for it."):
        sent = {"reason": reason, "own": chief.password, "unread": "true", "whole": "true"}
        chief.post(f"/studies/{numbers[-1]}/delete", **sent)
    chief.post("/models/1/use", reason="It is in use already.")
    program.get("/studies", params={"limit": 500})
    auditor.client.get("/audit")
    auditor.post("/audit/export")


def kill_a_worker(served: Served) -> None:
    """Kill a process that has children and is not the first one, as a worker has."""
    for process in served.tree()[1:]:
        with contextlib.suppress(psutil.Error):
            if process.children():
                process.send_signal(signal.SIGKILL)
                return


def run(folder: Path) -> dict[str, Any]:
    """Return in how many places how many identifiers were found."""
    port, pages, receiver = free_port(), free_port(), Receiver()
    settings = f'webhooks = ["{receiver.address}"]\n[watch]\nfolder = "drop"\nevery_s = 0.5\n'
    settings += "[watching]\nfirst_days = 5\nfewest = 1\n"
    site = new_site(folder / "site", None, pages=pages, listener=port, more=settings)
    (site.folder / "drop").mkdir()
    (anna,), (carl,), (dora,) = (add_people(site, 1, role) for role in ("reader", "auditor", "administrator"))
    account = add_account(site.engine, "program", "four words that stay", "reader")
    token = add_token(site.engine, account, "planted", SCOPES, 1, by="system")
    change_mode(site.engine, "live", "A benchmark with phantoms.", account_id=account)
    collected, address = Collected(), f"http://127.0.0.1:{pages}"
    program = httpx2.Client(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    collected.watch(program)
    for options in (("--json",), ()):
        served = Served(site.folder, None, *options)
        served.start()
        wait_for_pages(address, "/readyz")
        reader, auditor, chief = Reader(address, *anna), Reader(address, *carl, home="/audit"), Reader(address, *dora)
        for each in (reader, auditor, chief):
            collected.watch(each.client)
        come_in(site, port, reader, program)
        kill_a_worker(served)
        wait_until_all_came(site)
        spread_over_days(site)
        be_used(site, reader, program, auditor, chief)
        metrics = httpx2.get(f"{address}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=60)
        collected.add(f"metrics (HTTP {metrics.status_code})", metrics.text)
        time.sleep(_TOLD_S)
        served.stop()
        collected.add(f"log {' '.join(options) or 'as lines'}", served.log.read_text("utf-8", errors="replace"))
        served.forget_log()
    receiver.close()
    collected.add("webhooks", *receiver.told)
    # The watched folder's own files keep the names that somebody gave them.
    own = (path for path in site.folder.rglob("*") if "drop" not in path.parts)
    collected.add("names of files", *map(str, own))
    with reading(site.engine) as session:
        rows = session.execute(select(Study.patient_name, Study.patient_id, Study.study_instance_uid)).all()
        alerts = list(session.scalars(select(Alert.words)))
        deleted = session.scalar(select(func.count()).where(Study.state == "deleted")) or 0
    collected.add("database (where they belong)", *(str(row) for row in rows))
    collected.add("alerts", *alerts)
    site.close()
    found = collected.found(planted())
    belongs = {place: count for place, count in found.items() if "belong" in place}
    leaks = {place: count for place, count in found.items() if "belong" not in place}
    return {
        "planted": len(planted()),
        "studies": len(rows),
        "studies_deleted": deleted,
        "answers_looked_at": len(collected.places["headers of answers"]),
        "notices_looked_at": len(receiver.told),
        "alerts_looked_at": len(alerts),
        "found_where_none_should_be": leaks,
        "found_where_they_belong": belongs,
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write what is printed to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder))
    write_told(found, given.out)


if __name__ == "__main__":
    main()
