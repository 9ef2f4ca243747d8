"""Whether a hundred thousand predictions need more memory than a thousand.

    python benchmarks/memory_of_many.py [BUNDLE] [--few 1000] [--many 100000] [--out FILE.json]

A few synthetic radiographs (224² JPEG) are named again and again by links in two folders. `carina predict FOLDER`
judges each folder in a process of its own, and its peak memory is printed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from carina.benchmark.films import SMALL, write_films
from carina.bundles.bundle import released_bundle
from carina.runtime.machine import describe_machine, library_versions, peak_memory_of_command_mb

_FILMS = 6
_FILES_IN_A_FOLDER = 1000
_COMMAND = "from carina.cli import main; main()"


def link_films(folder: Path, films: Sequence[Path], count: int) -> None:
    """Fill a new folder with so many links to the films, a thousand in each of its folders."""
    for number in range(count):
        link = folder / f"{number // _FILES_IN_A_FOLDER:04d}" / f"{number:07d}{films[0].suffix}"
        if number % _FILES_IN_A_FOLDER == 0:
            link.parent.mkdir(parents=True)
        os.link(films[number % len(films)], link)


def measure(bundle: Path, folder: Path, count: int) -> dict[str, float]:
    """Return peak memory (MB) and wall time (s) of judging all files in a folder."""
    started = time.perf_counter()
    command = [sys.executable, "-c", _COMMAND, "predict", str(folder), "--json", "--bundle", str(bundle)]
    peak = peak_memory_of_command_mb(command)
    if peak is None:
        sys.exit("This system does not tell how much memory a process took.")
    seconds = time.perf_counter() - started
    return {"predictions": count, "peak_memory_mb": round(peak, 1), "seconds": round(seconds, 1)}


def main() -> None:
    """Measure few and many, and print both."""
    parser = argparse.ArgumentParser(description="Whether many predictions need more memory than few.")
    parser.add_argument("bundle", type=Path, nargs="?", help="by default the released one")
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    bundle = arguments.bundle or released_bundle()
    measured = []
    with tempfile.TemporaryDirectory(prefix="carina-memory-") as temporary:
        films = write_films(Path(temporary), {SMALL: _FILMS})[SMALL].paths
        for count in (arguments.few, arguments.many):
            folder = Path(temporary) / f"films-{count}"
            link_films(folder, films, count)
            measured.append(measure(bundle, folder, count))
            print(measured[-1], flush=True)
    few, many = measured
    more = many["peak_memory_mb"] - few["peak_memory_mb"]
    print(f"{many['predictions']:,} predictions took {more:+.1f} MB against {few['predictions']:,}.")
    if arguments.out is not None:
        content = {
            "command": " ".join(["python", "benchmarks/memory_of_many.py", *sys.argv[1:]]),
            "machine": describe_machine(),
            "versions": library_versions(),
            "measured": measured,
            "more_mb": round(more, 1),
        }
        arguments.out.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
