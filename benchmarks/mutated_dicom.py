"""Whether DICOM files that were changed at random crash, hang or fill the memory of what reads them.

    python benchmarks/mutated_dicom.py [100000] [--first SEED] [--seconds MOST] [--keep DIR] [--out FILE.json]

Sound files of every coding, and those that pydicom ships, are changed in one to four ways each, by a seed each
(`tests/mutate_dicom.py`). Every one must become a radiograph or a named error: what its reading process may use is
limited, and what ends that process is counted. Exit code 1 if anything else is raised, if one is not done within its
limit of time, or if a process held over 1 GB. Needs the dev dependencies.
"""

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from carina.errors import InputError
from carina.radiographs.dicom.outline import NotDicomError
from carina.radiographs.dicom.workers import Workers
from carina.runtime.machine import describe_machine, library_versions
from mutate_dicom import corpus, mutated

_MOST_BYTES = 1_000_000_000
_BROKE_DOWN = "the decoder broke down"


class Tally:
    """What became of the files so far.

    Attributes
    ----------
    outcomes
        How many became a radiograph, no DICOM, or each code of an error.
    broken
        Seeds whose decoder ended without an answer.
    slow
        Seeds whose decoder was ended.
    strange
        Seeds that raised anything else, with its name.
    longest_s
        The longest that one took.
    peak_bytes
        The most memory that a process held.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.broken: list[int] = []
        self.slow: list[int] = []
        self.strange: dict[int, str] = {}
        self.longest_s = 0.0
        self.peak_bytes = 0
        self._lock = threading.Lock()

    def read(self, seed: int, content: bytes, workers: Workers) -> None:
        """Read one file and note what became of it."""
        started = time.perf_counter()
        said, message = "read", ""
        try:
            workers.decode(content, deflated=True)
        except InputError as error:
            said, message = error.code, str(error)
        except NotDicomError:
            said = "no DICOM"
        except Exception as error:  # noqa: BLE001  # this is what is looked for
            said = "something else"
            self.strange[seed] = type(error).__name__
        seconds, peak = time.perf_counter() - started, _peak_bytes(workers)
        with self._lock:
            self.outcomes[said] += 1
            if message.startswith(_BROKE_DOWN):
                self.broken.append(seed)
            if said == "too-slow":
                self.slow.append(seed)
            self.longest_s = max(self.longest_s, seconds)
            self.peak_bytes = max(self.peak_bytes, peak)


def _peak_bytes(workers: Workers) -> int:
    """Return the most memory that any of the processes has held; 0 where the system does not tell."""
    peak = 0
    for pid in workers.process_ids():
        try:
            status = Path(f"/proc/{pid}/status").read_text("ascii")
        except OSError:
            continue
        peak = max([peak, *(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
    return peak


def run(
    sound: Sequence[bytes], first: int, count: int, keep: Path | None = None, seconds: float = float("inf")
) -> dict[str, Any]:
    """Return what became of so many changed files, from a seed on, or of those that were begun within some seconds."""
    tally, workers, started = Tally(), Workers(), time.perf_counter()
    seeds = iter(range(first, first + count))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                seed = next(seeds, None) if time.perf_counter() - started < seconds else None
            if seed is None:
                return
            tally.read(seed, mutated(sound, seed), workers)

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(work) for _ in range(2)]:
            done.result()
    workers.close()
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for seed in [*tally.broken, *tally.slow, *tally.strange]:
            (keep / f"{seed}.dcm").write_bytes(mutated(sound, seed))
    return {
        "files": tally.outcomes.total(),
        "asked_for": count,
        "first_seed": first,
        "outcomes": dict(tally.outcomes.most_common()),
        "decoder_broke_down": len(tally.broken),
        "broke_down_seeds": sorted(tally.broken)[:20],
        "not_done_in_time": sorted(tally.slow),
        "anything_else": tally.strange,
        "longest_s": round(tally.longest_s, 2),
        "peak_memory_mb": round(tally.peak_bytes / 1e6, 1),
        "seconds": round(time.perf_counter() - started, 1),
    }


def is_sound(figures: dict[str, Any]) -> bool:
    """Return whether every file became a radiograph or a named error within its limits."""
    bad = figures["anything_else"] or figures["not_done_in_time"]
    return not bad and figures["peak_memory_mb"] * 1e6 <= _MOST_BYTES


def main() -> None:
    """Change and read so many files, and print what became of them."""
    parser = argparse.ArgumentParser(description="Whether changed DICOM files crash, hang or fill memory.")
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more after so many")
    parser.add_argument("--keep", type=Path, help="write what broke a decoder into this folder")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    figures = run(corpus(), arguments.first, arguments.count, arguments.keep, arguments.seconds)
    figures |= {"machine": describe_machine(), "versions": library_versions()}
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    if not is_sound(figures):
        sys.exit(1)


if __name__ == "__main__":
    main()
