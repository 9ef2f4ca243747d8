"""What the network's tests and benchmarks share: a listener in a process of its own, its peers, and their sending."""

import contextlib
import json
import multiprocessing
import queue
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import tomli_w
from pydicom import Dataset
from pynetdicom import AE, build_context, evt

import dicom_stand_in
from commands import Forked

STAND_IN = Path(__file__).parent / "dicom_stand_in.py"
CR = "1.2.840.10008.5.1.4.1.1.1"
SC = "1.2.840.10008.5.1.4.1.1.7"
# Comprehensive 3D SR: Carina's reports.
SR = "1.2.840.10008.5.1.4.1.1.88.34"
ECHO = "1.2.840.10008.1.1"
# On a busy machine a process takes minutes to start.
PATIENCE_S = 600.0


class ListenerProcess:
    """A listener with a stand-in for the judge, in a forked process."""

    def __init__(self, folder: Path, *, environment: dict[str, str] | None = None, **settings: Any) -> None:
        self.folder = folder
        values = {"folder": str(folder), "allow": ["SENDER"], "port": 0, **settings}
        self.settings = folder.parent / f"{folder.name}.toml"
        self.settings.write_text(tomli_w.dumps(values), encoding="utf-8")
        self.events: list[dict[str, Any]] = []
        self.output = ""
        self._environment = environment or {}
        self._changed = threading.Condition()
        self._process: Forked | None = None

    def start(self, *, wait: bool = True) -> "ListenerProcess":
        """Start it, and wait until it listens."""
        reading, writing = multiprocessing.Pipe(duplex=False)
        with writing:
            self._process = Forked(
                dicom_stand_in.main, [self.settings, "--json"], stdout=writing, environment=self._environment
            )
        self._pump = threading.Thread(target=self._read, args=(reading,), daemon=True)
        seen = len(self.events)
        self._pump.start()
        if wait:
            try:
                self.wait_for("listening", after=seen)
            except BaseException:
                self.kill()
                raise
        return self

    def _read(self, reading: Connection) -> None:
        with reading, open(reading.fileno(), encoding="utf-8", closefd=False) as lines:  # a pipe
            for line in lines:
                with self._changed:
                    self.output += line
                    with contextlib.suppress(json.JSONDecodeError):
                        self.events.append(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        """Where it listened last."""
        address = next(event["address"] for event in reversed(self.events) if event["event"] == "listening")
        return int(address.rsplit(":", 1)[1])

    def wait_for(self, event: str, count: int = 1, *, after: int = 0, **facts: Any) -> list[dict[str, Any]]:
        """Wait until so many lines tell of an event (with some facts), and return them."""

        def found() -> list[dict[str, Any]]:
            wanted = {"event": event, **facts}
            return [told for told in self.events[after:] if wanted.items() <= told.items()]

        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while len(found()) < count:
                assert self._pump.is_alive(), f"it ended, and said:\n{self.output}"
                assert time.monotonic() < deadline, f"no {event!r} in:\n{self.output}"
                self._changed.wait(0.2)
            return found()

    def count(self, event: str, **facts: Any) -> int:
        wanted = {"event": event, **facts}
        return sum(wanted.items() <= told.items() for told in self.events)

    def kill(self) -> None:
        """Kill it as a power cut would (SIGKILL)."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._pump.join(PATIENCE_S)

    def stop(self) -> int:
        """Ask it to stop (SIGTERM), and return its exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(PATIENCE_S)
        self._pump.join(PATIENCE_S)
        return code

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        assert self._process is not None
        code = self._process.wait(PATIENCE_S)
        self._pump.join(PATIENCE_S)
        return code

    def __enter__(self) -> "ListenerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


class Pacs:
    """A peer that takes answers and counts them; what it answers itself can be set."""

    def __init__(self, *, ssl_context: Any = None, aet: str = "PACS") -> None:
        self.taken: Counter[str] = Counter()
        self.datasets: dict[str, Dataset] = {}
        self.statuses: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._entity = AE(aet)
        self._entity.maximum_associations = 50
        self._entity.supported_contexts = [build_context(kind) for kind in (SC, CR, SR, ECHO)]
        self._ssl_context = ssl_context
        self._server: Any = None
        self.port = 0

    def start(self) -> "Pacs":
        handlers = [(evt.EVT_C_STORE, self._store)]
        self._server = self._entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers, ssl_context=self._ssl_context
        )
        self.port = self._server.server_address[1]
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _store(self, event: Any) -> int:
        if not self.statuses.empty():
            status = self.statuses.get()
            if status != 0:
                return status
        uid = str(event.request.AffectedSOPInstanceUID)
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        with self._lock:
            self.taken[uid] += 1
            self.datasets[uid] = dataset
        return 0

    def destination(self) -> dict[str, Any]:
        return {"dicom": {"host": "127.0.0.1", "port": self.port, "called": "PACS"}}

    def __enter__(self) -> "Pacs":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextlib.contextmanager
def association(port: int, *, calling: str = "SENDER", called: str = "CARINA", **keywords: Any) -> Iterator[Any]:
    """Yield an association with a listener, established or not."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    entity.requested_contexts = [build_context(CR, "1.2.840.10008.1.2.1"), build_context(ECHO)]
    made = entity.associate("127.0.0.1", port, ae_title=called, **keywords)
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


def renamed(image: Dataset, uid: str) -> Dataset:
    """Return the image with a UID that is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.SOPInstanceUID = uid
    return image


def send(port: int, images: Sequence[Dataset], **keywords: Any) -> list[int | None]:
    """Return the status that each image was answered with; none where the connection was lost."""
    statuses: list[int | None] = []
    with association(port, **keywords) as made:
        for image in images:
            try:
                statuses.append(made.send_c_store(image).get("Status"))
            except (RuntimeError, OSError):
                statuses.append(None)
    return statuses


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def network_versions() -> dict[str, str]:
    """Return the versions of the libraries that a benchmark of the network depends on."""
    return {name: version(name) for name in ("pydicom", "pynetdicom")}
