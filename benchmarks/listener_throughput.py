"""How many objects a second the listener acknowledges, against pynetdicom's own server, in the same rounds.

    python benchmarks/listener_throughput.py [--rounds 5] [--folder DIR] [--out FILE.json]

dcmtk's ``storescu`` sends distinct images, 512² of 16 bit (0.5 MB) and 2500 × 2000 of 16 bit (10 MB), over 1 and over
4 associations at a time, to

carina     the listener: checked, within bounds, on the disk and in the journal before it is acknowledged; while nothing
           is judged
bare       pynetdicom's server with a handler that answers at once and keeps nothing
written    the same with a handler that writes the bytes to a file and does not wait for the disk

Each is a process of its own. Every round does all of them in turn, every second round backwards; what is given is the
median of the rounds with the lowest and the highest. Beside them stands what the disk alone takes: the same bytes,
written and flushed, a file after the other.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from carina.runtime.machine import describe_machine, library_versions

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from dicom_network import CR, ListenerProcess, network_versions
from dicom_stand_in import HOLD, write_image

_SIZES = {"512² (0.5 MB)": ((512, 512), 80), "2500 × 2000 (10 MB)": ((2500, 2000), 12)}
_ASSOCIATIONS = (1, 4)
_LISTENER = "carina"
_CONTESTANTS = (_LISTENER, "bare", "written")
_DISK = "disk alone"


def serve_bare(kind: str, folder: Path) -> None:
    """Be pynetdicom's own server, until the end of the input; the first line of the output is the port."""
    from pynetdicom import AE, build_context, evt  # noqa: PLC0415

    def keep(event: object) -> int:
        if kind == "written":
            name = f"{time.time_ns()}-{id(event)}.dcm"
            (folder / name).write_bytes(event.encoded_dataset())  # type: ignore[attr-defined]
        return 0x0000

    entity = AE("CARINA")
    entity.supported_contexts = [build_context(CR, "1.2.840.10008.1.2.1")]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    server.shutdown()


@contextlib.contextmanager
def serving(kind: str, folder: Path) -> Iterator[int]:
    """Yield the port of a contestant that runs in a new folder."""
    folder.mkdir()
    if kind == _LISTENER:
        with ListenerProcess(folder / "f", environment={HOLD: "1"}, limits={"stop_s": 0.0}) as listener:
            yield listener.start().port
        return
    command = [sys.executable, __file__, "--serve", kind, "--folder", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None:
            sys.exit("The bare server has no pipes.")
        yield int(process.stdout.readline())
        process.stdin.close()


def send(port: int, folders: list[Path]) -> float:
    """Return how long it takes to send each folder's files over an association of its own, all at once, in seconds."""
    started = time.perf_counter()
    command = ["storescu", "-xe", "-aec", "CARINA", "-aet", "SENDER", "-pdu", "131072", "+sd", "127.0.0.1", str(port)]
    senders = [
        subprocess.Popen([*command, folder], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for folder in folders
    ]
    said = [sender.communicate()[1] for sender in senders]
    seconds = time.perf_counter() - started
    if any(sender.returncode for sender in senders):
        sys.exit(f"storescu: {b''.join(said).decode()}")
    return seconds


def flush_alone(images: list[Path], folder: Path) -> float:
    """Return how long it takes to write the bytes of some files one after the other, each flushed, in seconds."""
    contents = [path.read_bytes() for path in images]
    folder.mkdir()
    started = time.perf_counter()
    for number, content in enumerate(contents):
        with (folder / str(number)).open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    return time.perf_counter() - started


def measure(base: Path, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return objects a second, by size and number of associations, by contestant, a value a round."""
    measured: dict[str, dict[str, list[float]]] = {}
    for size, (shape, count) in _SIZES.items():
        images = [write_image(base / f"{size[:4]}-{number}.dcm", number, shape=shape) for number in range(count)]
        for associations in _ASSOCIATIONS:
            folders = _spread(images, base / f"{size[:4]}-{associations}", associations)
            case = f"{size}, {associations} association{'s' * (associations > 1)}"
            rates: dict[str, list[float]] = {kind: [] for kind in (*_CONTESTANTS, _DISK)}
            for number in range(rounds):
                for kind in rates if number % 2 == 0 else reversed(rates):
                    rates[kind].append(count / _take_turn(kind, base / "turn", images, folders))
            measured[case] = rates
            print(f"{case:>36}  " + "  ".join(f"{kind} {_shown(values)}" for kind, values in rates.items()), flush=True)
    return measured


def _take_turn(kind: str, folder: Path, images: list[Path], folders: list[Path]) -> float:
    """Return how long a contestant takes for all images, in seconds, and delete what it left."""
    try:
        if kind == _DISK:
            return flush_alone(images, folder)
        with serving(kind, folder) as port:
            return send(port, folders)
    finally:
        shutil.rmtree(folder)


def _spread(images: list[Path], base: Path, count: int) -> list[Path]:
    folders = [base / str(number) for number in range(count)]
    for folder in folders:
        folder.mkdir(parents=True)
    for number, image in enumerate(images):
        os.link(image, folders[number % count] / image.name)
    return folders


def _shown(values: list[float]) -> str:
    return f"{statistics.median(values):.1f}/s ({min(values):.1f}–{max(values):.1f})"


def main() -> None:
    """Measure, print, and give the ratio to each of pynetdicom's servers."""
    parser = argparse.ArgumentParser(description="The listener's rate against pynetdicom's own server.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="on the disk to try; by default a temporary one")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    parser.add_argument("--serve", choices=_CONTESTANTS[1:], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve_bare(arguments.serve, arguments.folder)
        return
    if shutil.which("storescu") is None:
        sys.exit("storescu, which sends, is not installed (on Debian: apt-get install dcmtk).")
    with tempfile.TemporaryDirectory(prefix="carina-throughput-", dir=arguments.folder) as temporary:
        measured = measure(Path(temporary), arguments.rounds)
    ratios = {
        case: {
            other: round(statistics.median(a / b for a, b in zip(rates[_LISTENER], rates[other], strict=True)), 2)
            for other in (*_CONTESTANTS[1:], _DISK)
        }
        for case, rates in measured.items()
    }
    for case, ratio in ratios.items():
        print(f"{case:>36}  " + ", ".join(f"{value} × {other}" for other, value in ratio.items()))
    if arguments.out is not None:
        content = {
            "command": " ".join(["python", "benchmarks/listener_throughput.py", *sys.argv[1:]]),
            "machine": describe_machine(),
            "versions": {**library_versions(), **network_versions()},
            "objects_per_second": measured,
            "ratio_of_carina": ratios,
        }
        arguments.out.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
