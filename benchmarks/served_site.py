"""What the benchmarks of ``carina serve`` share: a site that runs, readers in browsers, films, and what is told.

Nothing is measured here; see `worklist_at_scale`, `arrivals`, `killed_site`, `site_faults` and `planted_identifiers`.
"""

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from carina.phantoms.phantom import draw_phantom
from carina.runtime.machine import describe_machine, library_versions
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Image
from carina.service.people.accounts import add_account
from carina.service.site_folder import Site, open_site

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from dicom_stand_in import make_image
from postgresql import running_postgresql

TIMEOUT_S = 30.0
_START_S = 180.0
# What a part says once it works.
_READY = {"pages ready": "web", "ready to judge": "worker", "listening": "listener", "ready to send": "outbox"}
_CSRF = re.compile(r'data-csrf="([^"]+)"')


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def database_of(kind: str) -> Iterator[str | None]:
    """Yield the address of an empty database; none for SQLite."""
    if kind == "sqlite":
        yield None
    else:
        with running_postgresql() as cluster:
            yield cluster.new_database()


def new_site(folder: Path, database: str | None, *, pages: int, listener: int | None = None, more: str = "") -> Site:
    """Return a new site whose pages and DICOM listener have these ports."""
    folder.mkdir(parents=True, exist_ok=True)
    table = "" if listener is None else f'[listener]\nallow = ["SENDER"]\nport = {listener}\n'
    (folder / "site.toml").write_text(f"port = {pages}\n{more}\n{table}", encoding="utf-8")
    return open_site(folder, database=database)


class Served:
    """``carina serve``, running; it can be killed in part or whole.

    Parameters
    ----------
    folder, database
        Of the site.
    options
        More words of the command line.
    environment
        More variables.
    """

    def __init__(
        self,
        folder: Path,
        database: str | None,
        *options: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [str(Path(sys.executable).parent / "carina"), "serve", "--folder", str(folder), *options]
        self._command += [] if database is None else ["--database", database]
        self._environment = {**os.environ, **(environment or {})}
        # Not beside the site, whose disk may be full.
        self.log = Path(tempfile.mkdtemp(prefix="carina-log-")) / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self._begun = log.tell()
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT, env=self._environment)

    def tree(self) -> list[psutil.Process]:
        """Return its processes, the first one first; none where it does not run."""
        if self._process is None or self._process.poll() is not None:
            return []
        root = psutil.Process(self._process.pid)
        return [root, *root.children(recursive=True)]

    def works(self) -> bool:
        """Return whether every part that was started has said since that it is ready; for a log of ``--json``."""
        ready: dict[str, bool] = {}
        for line in self._lines():
            event, part = str(line.get("event")), str(line.get("part"))
            if event in ("part started", "part ended"):
                ready[_plain(part)] = False
            elif event in _READY:
                ready[_READY[event]] = True
        return bool(self.tree()) and bool(ready) and all(ready.values())

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Yield what the log has told since the first process was started last."""
        for line in self.log.read_bytes()[self._begun :].decode("utf-8", "replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                told = json.loads(line)
                if isinstance(told, dict):
                    yield told

    def by_kind(self) -> dict[str, list[psutil.Process]]:
        """Return its processes by what they do: *first*, each part by its name, *judge of* a part, *decoder*.

        The log must be one of ``--json``.
        """
        tree = self.tree()
        started = (line for line in self._lines() if line.get("event") == "part started")
        named = {int(line["process"]): _plain(str(line["part"])) for line in started}
        kinds: dict[str, list[psutil.Process]] = {}
        for process in tree:
            with contextlib.suppress(psutil.Error):
                kinds.setdefault(self._kind(process, tree[0].pid, named), []).append(process)
        return kinds

    @staticmethod
    def _kind(process: psutil.Process, first: int, named: Mapping[int, str]) -> str:
        words = " ".join(process.cmdline())
        if process.pid == first:
            return "first"
        if "resource_tracker" in words:
            return "resource tracker"
        if "carina.radiographs.dicom.worker" in words:
            return "decoder"
        above = process.parent()
        if above is not None and above.pid == first:
            return named.get(process.pid, "part")
        return "judge of " + named.get(0 if above is None else above.pid, "part")

    def kill(self, process: psutil.Process) -> None:
        """Kill one of its processes; if it was the first one, all of it is started again."""
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        if self._process is not None and process.pid == self._process.pid:
            self._process.wait()
            self.start()

    def stop(self) -> None:
        """Let it end by itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(120)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def forget_log(self) -> None:
        """Delete the log."""
        shutil.rmtree(self.log.parent, ignore_errors=True)


def _plain(part: str) -> str:
    """Return the name of a part without its number."""
    return part.rstrip(" 0123456789")


class Reader:
    """A reader's browser, logged in; its forms send what theirs send.

    Parameters
    ----------
    address
        Of the site.
    name, password
        Of the account.
    home
        A page that it may see.
    """

    def __init__(self, address: str, name: str, password: str, *, home: str = "/worklist") -> None:
        self.client = httpx2.Client(base_url=address, timeout=TIMEOUT_S)
        self.password = password
        entered = self.client.post("/login", data={"name": name, "password": password})
        if entered.status_code != 303:
            msg = f"Nobody could log in: HTTP {entered.status_code}."
            raise ValueError(msg)
        self.csrf = csrf_of(self.client.get(home).text)

    def post(self, path: str, **values: str) -> httpx2.Response:
        """Send a form."""
        return self.client.post(path, data={"csrf": self.csrf, **values})


@dataclass(frozen=True, slots=True)
class Running:
    """A site that is served.

    Attributes
    ----------
    address, port
        Of its pages, and of its DICOM listener.
    readers
        Who are logged in.
    """

    site: Site
    served: Served
    address: str
    port: int
    readers: list[Reader]


@contextmanager
def running_site(
    folder: Path,
    database: str | None,
    *options: str,
    readers: int = 0,
    listens: bool = True,
    settings: str = "",
    fill: Callable[[Site], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Yield a new site that is served and ready, and end it afterwards.

    Parameters
    ----------
    folder
        In which its folder and its log are made.
    options
        More words of the command line.
    readers
        How many are logged in.
    listens
        Whether it has a DICOM listener, and so a worker that must be ready.
    settings
        More lines of site.toml.
    fill
        Is given the site before it is served.
    environment
        More variables.
    """
    pages, port = free_port(), free_port()
    site = new_site(folder / "site", database, pages=pages, listener=port if listens else None, more=settings)
    if fill is not None:
        fill(site)
    people = add_people(site, readers)
    served = Served(site.folder, database, *options, environment=environment)
    address = f"http://127.0.0.1:{pages}"
    browsers: list[Reader] = []
    try:
        served.start()
        wait_for_pages(address, "/readyz" if listens else "/healthz")
        browsers += [Reader(address, *person) for person in people]
        yield Running(site, served, address, port, browsers)
    finally:
        for browser in browsers:
            browser.client.close()
        served.stop()
        served.forget_log()
        site.close()


def wait_until_judged(site: Site, seconds: float = _START_S) -> int:
    """Wait until no image waits to be judged, at most so long; return how many do."""
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(SQLAlchemyError), reading(site.engine) as session:
            left = session.scalar(select(func.count(Image.id)).where(Image.state == "received")) or 0
            if not left or time.monotonic() > until:
                return left
        if time.monotonic() > until:
            sys.exit("The database did not answer.")
        time.sleep(0.5)


def csrf_of(page: str) -> str:
    """Return what the forms of a page send along."""
    found = _CSRF.search(page)
    if found is None:
        msg = "Nobody is logged in."
        raise ValueError(msg)
    return found[1]


def add_people(site: Site, count: int, role: str = "reader") -> list[tuple[str, str]]:
    """Add accounts; return their names and passwords."""
    people = [(f"{role}{number}", secrets.token_urlsafe(16)) for number in range(count)]
    for name, password in people:
        add_account(site.engine, name, password, role)  # type: ignore[arg-type]
    return people


def wait_for_pages(address: str, path: str = "/healthz") -> None:
    """Wait until the pages answer; with ``/readyz`` until a worker judges too."""
    until = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(address + path, timeout=TIMEOUT_S).status_code == 200:
                return
        if time.monotonic() > until:
            sys.exit(f"{path} did not answer within {_START_S:g} s.")
        time.sleep(0.2)


def film(number: int, side: int = 512, **tags: object) -> Dataset:
    """Return a phantom as a computed radiograph; each number gives another one."""
    image = make_image(number, side=64, **tags)
    finding = ("Normal", "COVID-19", "Viral Pneumonia")[number % 3]
    # Drawing takes longer than judging: a few films are drawn, and each gets noise of its own.
    drawn = _drawn(finding, number % 8, side).astype(np.int32) * 16
    noise = np.random.default_rng(number).integers(-8, 9, drawn.shape)
    pixels = np.clip(drawn + noise, 0, 4095).astype(np.uint16)
    image.Rows, image.Columns = pixels.shape
    image.PixelData = pixels.tobytes()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


_films: dict[tuple[str, int, int], Any] = {}


def _drawn(finding: str, seed: int, side: int) -> Any:
    key = (finding, seed, side)
    if key not in _films:
        _films[key] = draw_phantom(finding, seed=seed, size=side).pixels
    return _films[key]


def shares_of(values: list[float], *shares: float) -> dict[str, float]:
    """Return some percentiles and the largest of values, to four digits."""
    if not values:
        return {}
    found = {f"p{100 * share:g}": float(np.quantile(values, share)) for share in shares}
    return {name: float(f"{value:.4g}") for name, value in (*found.items(), ("largest", max(values)))}


def write_told(found: Mapping[str, Any], out: Path | None) -> None:
    """Print what was found with the machine and the libraries, and write it as JSON where that is asked for."""
    told = {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        **found,
        "machine": describe_machine(),
        "load_average_at_the_end": [round(value, 1) for value in os.getloadavg()],
        "versions": library_versions("sqlalchemy", "fastapi", "uvicorn", "pynetdicom", "psycopg"),
    }
    text = json.dumps(told, indent=2, ensure_ascii=False)
    print(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Return a command line with ``--database`` and ``--out``."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--out", type=Path, help="also write what is printed to this file")
    return parser
