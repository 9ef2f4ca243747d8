"""Whether ``carina batch`` on nodes of Ray gives the rows of ``carina predict``, and what it costs.

    python benchmarks/batch_equal.py [--files 20000] [--out FILE.json]

Two nodes with one core each judge the files, then one node does, and ``carina predict`` with two threads. Nodes,
driver and Ray's head share two cores in the first case, and one in the second. Each judges a quarter of the files
first: the difference is what more files cost, without starting Ray and loading models. Wall time gives the efficiency
of two nodes, their rate over twice that of one. Processor time of all processes, Ray's own among them, gives the
overhead over ``carina predict``.

Two cores of one machine share caches and memory, and often one core's arithmetic, so that they never do twice the work
of one. What they can do is measured, too: two ``carina predict`` that know nothing of each other, each with one thread
and a core of its own, beside one of them. That is the ideal for two nodes here.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from batch_clusters import (
    COMMAND,
    CoreSeconds,
    cluster_of,
    differences,
    judging_seconds,
    link_films,
    on_cores,
    predict_rows,
    run_batch,
    write_result,
)

_Measured = tuple[float, float]  # wall and core seconds


def more(few: _Measured, many: _Measured, files: int) -> dict[str, float]:
    """Return what each further file costs."""
    wall, cores = many[0] - few[0], many[1] - few[1]
    return {"images_per_second": round(files / wall, 1), "core_ms_per_image": round(1000 * cores / files, 3)}


def measured(work: Callable[[], float]) -> _Measured:
    """Return the wall seconds that some work tells, and its core seconds."""
    with CoreSeconds() as counted:
        wall = work()
    return wall, counted.total


def on_nodes(nodes: int, films: Path, folder: Path) -> _Measured:
    """Judge films on so many nodes, and return the seconds of judging and the core seconds of all."""

    def work() -> float:
        log = folder / f"batch-{nodes}-{films.name}.log"
        # Ray counts cores and holds nobody to them: a node that is alone would use two.
        with on_cores(sorted(os.sched_getaffinity(0))[:nodes]), cluster_of(nodes, pinned=True) as cluster:
            run_batch(films, str(folder / f"table-{nodes}-{films.name}"), cluster.address, log)
        return judging_seconds(log)

    return measured(work)


def side_by_side(folder: Path, files: int) -> float:
    """Return the rate of two independent processes, a core and so many files for each, over twice that of one."""
    sets = []
    for name in ("first", "second"):
        (folder / name).mkdir()
        sets.append([link_films(folder / name / str(count), count) for count in (files // 4, files)])
    cores = sorted(os.sched_getaffinity(0))

    def seconds(processes: int, place: int) -> float:
        started = time.perf_counter()
        running = [
            subprocess.Popen(
                ["taskset", "-c", str(core), *COMMAND, "predict", str(films[place]), "--json", "--threads", "1"],  # noqa: S607  # of every Linux
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for films, core in zip(sets[:processes], cores, strict=False)
        ]
        if any(process.wait() not in (0, 1) for process in running):
            sys.exit("carina predict failed.")
        return time.perf_counter() - started

    one, two = (seconds(processes, 1) - seconds(processes, 0) for processes in (1, 2))
    return one / two


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Rows and rates of carina batch beside carina predict.")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    few, load = arguments.files // 4, os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="carina-batch-") as temporary:
        folder = Path(temporary)
        sets = [link_films(folder / name, count) for name, count in (("few", few), ("films", arguments.files))]
        rows = {}

        def predict(films: Path) -> float:
            seconds, rows[films.name] = predict_rows(films, 2, folder / f"{films.name}.jsonl")
            return seconds

        alone = more(*(measured(lambda f=films: predict(f)) for films in sets), arguments.files - few)
        ideal = side_by_side(folder, arguments.files // 2)
        two, one = (more(*(on_nodes(n, films, folder) for films in sets), arguments.files - few) for n in (2, 1))
        wall = two["images_per_second"] / (2 * one["images_per_second"])
        write_result(
            arguments.out,
            "batch_equal.py",
            {
                "files": arguments.files,
                "load of the machine before": [round(each, 1) for each in load],
                "carina predict, two threads": alone,
                "two nodes of one core": two,
                "one node of one core": one,
                "rows against carina predict": {
                    f"{n} nodes": differences(folder / f"table-{n}-films", rows["films"]) for n in (2, 1)
                },
                "efficiency of two independent processes": round(ideal, 3),
                "efficiency of two nodes": round(wall, 3),
                "of the ideal": round(wall / ideal, 3),
                "wall time of carina predict over that of two nodes": round(
                    two["images_per_second"] / alone["images_per_second"], 3
                ),
                "overhead over carina predict, core seconds": round(
                    two["core_ms_per_image"] / alone["core_ms_per_image"] - 1, 3
                ),
            },
        )


if __name__ == "__main__":
    main()
