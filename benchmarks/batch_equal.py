"""Whether ``carina batch`` on nodes of Ray gives the rows of ``carina predict``, and what it costs.

    python benchmarks/batch_equal.py [--files 20000] [--out FILE.json]

Two nodes with one core each judge the files, then one node does, and ``carina predict`` with two threads. Each judges
a quarter of the files first: the difference is what more files cost, without starting Ray and loading models. Wall time
gives the efficiency of two nodes, their rate over twice that of one. Processor time of all processes, Ray's own among
them, gives the overhead over ``carina predict``; it holds on a machine that does other work meanwhile, and wall time
does not.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from batch_clusters import (
    CoreSeconds,
    cluster_of,
    differences,
    judging_seconds,
    link_films,
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
        with cluster_of(nodes) as cluster:
            run_batch(films, str(folder / f"table-{nodes}-{films.name}"), cluster.address, log)
        return judging_seconds(log)

    return measured(work)


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
        two, one = (more(*(on_nodes(n, films, folder) for films in sets), arguments.files - few) for n in (2, 1))
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
                "efficiency of two nodes, wall": round(two["images_per_second"] / (2 * one["images_per_second"]), 3),
                "efficiency of two nodes, core seconds": round(one["core_ms_per_image"] / two["core_ms_per_image"], 3),
                "overhead over carina predict, core seconds": round(
                    two["core_ms_per_image"] / alone["core_ms_per_image"] - 1, 3
                ),
            },
        )


if __name__ == "__main__":
    main()
