"""Whether the driver of ``carina batch`` needs more memory for a million addresses than for ten thousand.

    python benchmarks/batch_memory.py [--few 10000] [--many 1000000] [--seconds 60] [--out FILE.json]

The addresses are links to a few small films. A driver lists all of them and judges for so many seconds; then it is
ended. Its peak memory is that of the process alone, without Ray's own processes and the memory that they share.
"""

import argparse
import tempfile
import time
from pathlib import Path

import psutil
from batch_clusters import link_films, start_batch, write_result


def measure(films: Path, out: Path, seconds: float) -> dict[str, float]:
    """Return the largest private memory (MB) of a driver, and the seconds until it began to judge."""
    log = out.parent / f"{out.name}.log"
    started, judging = time.perf_counter(), 0.0
    driver = start_batch(films, str(out), "auto", log)
    process, peak = psutil.Process(driver.pid), 0
    while driver.poll() is None and (not judging or time.perf_counter() - started < judging + seconds):
        used = process.memory_full_info()
        peak = max(peak, used.uss)
        if not judging and list(out.glob("part-*.parquet")):
            judging = time.perf_counter() - started
        time.sleep(0.2)
    driver.terminate()
    driver.wait()
    return {"peak_memory_mb": round(peak / 2**20, 1), "seconds_until_the_first_part": round(judging, 1)}


def main() -> None:
    """Measure few and many, and print both."""
    parser = argparse.ArgumentParser(description="Memory of the driver of carina batch.")
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    measured = {}
    with tempfile.TemporaryDirectory(prefix="carina-memory-") as temporary:
        for count in (arguments.few, arguments.many):
            films = link_films(Path(temporary) / f"films-{count}", count, size=96)
            measured[f"{count:,} addresses"] = measure(films, Path(temporary) / f"table-{count}", arguments.seconds)
    few, many = (each["peak_memory_mb"] for each in measured.values())
    write_result(arguments.out, "batch_memory.py", {**measured, "more_mb": round(many - few, 1)})


if __name__ == "__main__":
    main()
