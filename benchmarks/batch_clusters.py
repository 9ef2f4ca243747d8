"""Clusters of Ray on one machine, and films for them: what the benchmarks of ``carina batch`` share.

The nodes are real: each has a raylet, an object store and workers of its own. They share the processor, so what is
measured is what the work costs, and not a network.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import cv2
import polars as pl
import psutil

from carina.cluster.ray_engine import ENVIRONMENT
from carina.phantoms.phantom import PHANTOM_FINDINGS, draw_phantom
from carina.runtime.machine import describe_machine, library_versions

COMMAND = [sys.executable, "-c", "from carina.cli import main; main()"]
_FILES_IN_A_FOLDER = 1000
_STARTS = 5
_STORE_BYTES = 192 * 1024**2


def link_films(folder: Path, count: int, different: int = 64, size: int = 224) -> Path:
    """Fill a new folder with so many JPEG files, links to a few different phantoms."""
    made = folder.parent / "different"
    made.mkdir(exist_ok=True)
    films = []
    for seed in range(min(different, count)):
        films.append(made / f"{seed}-{size}.jpg")
        if not films[-1].exists():
            pixels = draw_phantom(PHANTOM_FINDINGS[seed % len(PHANTOM_FINDINGS)], seed=seed, size=size).pixels
            films[-1].write_bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    for number in range(count):
        link = folder / f"{number // _FILES_IN_A_FOLDER:04d}" / f"{number:07d}.jpg"
        if number % _FILES_IN_A_FOLDER == 0:
            link.parent.mkdir(parents=True)
        os.link(films[number % len(films)], link)
    return folder


@contextmanager
def on_cores(cores: Iterable[int]) -> Iterator[None]:
    """Keep this process, and all that it starts meanwhile, on some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def cluster_of(nodes: int, *, pinned: bool = False) -> Iterator[Any]:
    """Yield a cluster: a head without cores, and nodes with one each, which `pinned` keeps to a core of its own."""
    os.environ.update(ENVIRONMENT)
    from ray.cluster_utils import Cluster  # noqa: PLC0415  # it reads the environment

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    cluster = _patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
    try:
        for number in range(nodes):
            with on_cores(sorted(os.sched_getaffinity(0))[number : number + 1] if pinned else os.sched_getaffinity(0)):
                add_node(cluster)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any) -> Any:
    """Add a node of one core, and return it."""
    return _patiently(lambda: cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES))


def _patiently(start: Callable[[], Any]) -> Any:
    """Start something of Ray, which waits for its own processes no longer than 30 s, on a machine that is busy."""
    for left in reversed(range(_STARTS)):
        try:
            return start()
        except Exception:  # Ray raises this class itself
            if not left:
                raise
    return None


def start_batch(films: Path | str, out: str, address: str, log: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start ``carina batch`` in a process of its own."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            [*COMMAND, "batch", str(films), "--out", out, "--ray", address, *more],
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


def run_batch(films: Path, out: str, address: str, log: Path, *more: str) -> float:
    """Run ``carina batch`` to its end, and return its seconds."""
    started = time.perf_counter()
    if start_batch(films, out, address, log, *more).wait() != 0:
        sys.exit(f"carina batch failed; its last words: {log.read_text()[-2000:]}")
    return time.perf_counter() - started


def judging_seconds(log: Path) -> float:
    """Return the seconds from the first unit to the last, by the log: without starting Ray and loading models."""
    for line in reversed(log.read_text().splitlines()):
        if line.startswith("Judged: ") and " in " in line:
            return _seconds(line.rsplit(" in ", 1)[1].rstrip("."))
    sys.exit(f"{log} has no line about the end.")


def _seconds(text: str) -> float:
    units = {"s": 1.0, "min": 60.0, "h": 3600.0}
    words = text.split()
    return sum(float(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))


class CoreSeconds:
    """Counts the processor time of all processes below this one, of those that ended too, while it is open.

    On a machine that is busy with other work this tells what a command costs, and its wall time does not.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, float], float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._before = sum(self._seen.values())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        self.total = sum(self._seen.values()) - self._before

    def _sample(self) -> None:
        while not self._stop.wait(0.25):
            self._look()

    def _look(self) -> None:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                used = process.cpu_times()
                self._seen[process.pid, process.create_time()] = used.user + used.system


def predict_rows(films: Path, threads: int, log: Path) -> tuple[float, dict[str, dict[str, Any]]]:
    """Return the seconds of ``carina predict --json`` over a folder, and its rows by path."""
    started = time.perf_counter()
    with log.open("wb") as stream:
        command = [*COMMAND, "predict", str(films), "--json", "--threads", str(threads)]
        done = subprocess.run(command, check=False, stdout=stream, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    if done.returncode not in (0, 1):
        sys.exit("carina predict failed.")
    rows = map(json.loads, log.read_text("utf-8").splitlines())
    return seconds, {row["path"]: row for row in rows}


def differences(out: Path, expected: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Return how many rows are missing, there twice, or other than those of ``carina predict --json``."""
    table = pl.read_parquet(str(out / "part-*.parquet"))
    rows = {row["address"]: row for row in table.iter_rows(named=True)}
    other, largest = 0, 0.0
    for path, told in expected.items():
        row = rows.get(path)
        if row is None:
            continue
        shares = {finding: row[f"probability:{finding}"] for finding in told["probabilities"] or {}}
        same = (row["pixel_sha256"], row["finding"], row["priority"], row["reason"]) == (
            *(told["sha256"], told["finding"]),
            *(told["triage"]["priority"], told["triage"]["reason"]),
        )
        for finding, share in shares.items():
            largest = max(largest, abs(share - told["probabilities"][finding]))
        other += not same or shares != (told["probabilities"] or {})
    return {
        "rows": len(table),
        "missing": len(set(expected) - set(rows)),
        "twice": len(table) - len(rows),
        "different": other,
        "largest_difference_of_a_probability": largest,
    }


def is_worker(name: str) -> bool:
    """Return whether a process of this name is one of Ray's workers."""
    return name.startswith("ray::") and not name.startswith(("ray::Dashboard", "ray::RuntimeEnv"))


def write_result(out: Path | None, script: str, content: dict[str, Any]) -> None:
    """Print a result, and write it with the command and the machine where a file is named."""
    told = {
        "command": " ".join(["python", f"benchmarks/{script}", *sys.argv[1:]]),
        "machine": describe_machine(),
        "versions": library_versions(),
        **content,
    }
    print(json.dumps(content, indent=2))
    if out is not None:
        out.write_text(json.dumps(told, indent=2) + "\n", "utf-8")


def workers_of(node: Any) -> Sequence[Any]:
    """Return the processes of Ray's workers below a node's raylet, as psutil has them.

    Its agents are none: without them the raylet ends, and the node with it.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        return [child for child in raylet.children(recursive=True) if is_worker(child.name())]
    return []


def main() -> None:
    """Say what this file is."""
    sys.exit("Run batch_equal.py, batch_killed.py, batch_memory.py or batch_store.py.")
