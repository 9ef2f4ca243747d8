"""Whether ``carina batch`` on nodes of Ray gives the rows of ``carina predict``, and what it costs.

    python benchmarks/batch_equal.py [--files 20000] [--out FILE.json]

Two nodes with one core each judge the files, then one node does, then ``carina predict`` with one thread and with two.
Efficiency is the rate of two nodes over twice that of one. Overhead compares two nodes with ``carina predict`` on the
same two cores. The seconds of starting Ray and loading the model are given beside the judging: they do not grow.
"""

import argparse
import tempfile
from pathlib import Path

from batch_clusters import cluster_of, differences, judging_seconds, link_films, predict_rows, run_batch, write_result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Rows and rates of carina batch beside carina predict.")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carina-batch-") as temporary:
        folder = Path(temporary)
        films = link_films(folder / "films", arguments.files)
        measured, found = {}, {}
        two_threads, expected = predict_rows(films, 2, folder / "predict-2.jsonl")
        one_thread, _ = predict_rows(films, 1, folder / "predict-1.jsonl")
        for nodes in (2, 1):
            log, out = folder / f"batch-{nodes}.log", folder / f"table-{nodes}"
            with cluster_of(nodes) as cluster:
                whole = run_batch(films, str(out), cluster.address, log)
            judging = judging_seconds(log)
            measured[nodes] = {
                "seconds": round(whole, 1),
                "judging_seconds": judging,
                "images_per_second": round(arguments.files / judging, 1),
            }
            found[nodes] = differences(out, expected)
        two, one = (measured[nodes]["judging_seconds"] for nodes in (2, 1))
        write_result(
            arguments.out,
            "batch_equal.py",
            {
                "files": arguments.files,
                "carina predict": {
                    "two threads, seconds": round(two_threads, 1),
                    "one thread, seconds": round(one_thread, 1),
                    "two threads, images per second": round(arguments.files / two_threads, 1),
                },
                "two nodes of one core": measured[2],
                "one node of one core": measured[1],
                "rows against carina predict": {"two nodes": found[2], "one node": found[1]},
                "efficiency of two nodes": round(one / (2 * two), 3),
                "overhead over carina predict on two cores": round(two / two_threads - 1, 3),
            },
        )


if __name__ == "__main__":
    main()
