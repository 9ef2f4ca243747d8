"""The published baseline against the head recipe on one machine, one after the other, each in a process of its own.

    python benchmarks/baseline_and_head.py DATASET OUT [--keep-baseline]

trains `baseline`, then `head` with an empty cache, then `head` again with the cache warm; measures wall time and peak
memory of each process; evaluates both on the test split; compares them; and writes OUT/timing.json. Import the data set
first: carina data import SRC --out DATASET. Nothing else should run meanwhile.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from carina.runtime.machine import describe_machine, library_versions

CARINA = str(Path(sys.executable).parent / "carina")


def measure(*arguments: str) -> dict[str, float]:
    """Return wall and processor seconds and peak memory (MB) of one `carina` command.

    Parameters
    ----------
    arguments
        As typed after ``carina``.

    Raises
    ------
    SystemExit
        If the command fails.
    """
    print("carina", *arguments, flush=True)
    started = time.perf_counter()
    process = subprocess.Popen([CARINA, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"carina {' '.join(arguments)} failed with exit code {process.returncode}")
    measured = {
        "seconds": round(seconds, 1),
        # What the processor worked: unlike wall time, hardly changed by whatever else ran.
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_mb": round(usage.ru_maxrss * 1024 / 1e6, 1),
    }
    print(measured, flush=True)
    return measured


def recorded(run: Path) -> dict[str, float]:
    """Return wall seconds and peak memory (MB) as a finished run records them, without the start of Python."""
    content = json.loads((run / "run.json").read_text(encoding="utf-8"))
    return {"seconds": content["seconds"]["total"], "peak_memory_mb": content["peak_memory_mb"]}


def main(dataset: str, out: str, *options: str) -> None:
    """Run the three trainings, the two evaluations and the comparison, and write the timing."""
    folder = Path(out)
    keep = "--keep-baseline" in options and (folder / "run-baseline" / "run.json").is_file()
    folder.mkdir(parents=True, exist_ok=keep)
    cache = ["--cache", str(folder / "cache")]
    trainings = {
        "baseline": recorded(folder / "run-baseline")
        if keep
        else measure("train", dataset, "--recipe", "baseline", "--out", str(folder / "run-baseline"), *cache),
        "head, nothing cached": measure(
            "train", dataset, "--recipe", "head", "--out", str(folder / "run-head"), *cache
        ),
        "head, cache warm": measure(
            "train", dataset, "--recipe", "head", "--out", str(folder / "run-head-warm"), *cache
        ),
    }
    for recipe in ("baseline", "head"):
        measure("evaluate", str(folder / f"run-{recipe}"), dataset, "--out", str(folder / recipe))
    measure("compare", str(folder / "baseline"), str(folder / "head"), "--out", str(folder / "comparison.json"))
    slowest = trainings["baseline"]["seconds"]
    timing = {
        "command": f"python benchmarks/baseline_and_head.py {dataset} {out}" + " --keep-baseline" * keep,
        "machine": describe_machine(),
        "versions": library_versions(),
        "trainings": {
            name: measured | {"baseline_takes_times_as_long": round(slowest / measured["seconds"], 1)}
            for name, measured in trainings.items()
        },
    }
    (folder / "timing.json").write_text(json.dumps(timing, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(timing["trainings"], indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
