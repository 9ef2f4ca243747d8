"""Whether ``carina batch`` loses, doubles or changes a row when its processes are killed (SIGKILL) again and again.

    python benchmarks/batch_killed.py [--files 20000] [--workers 50] [--raylets 10] [--drivers 5] [--out FILE.json]

Two nodes judge the files. At random moments a worker is killed, or the raylet of a node (a new node takes its place), or
the driver, which is started again with the same command. In the end every file has its row, once, and with the values
of ``carina predict --json``.
"""

import argparse
import contextlib
import random
import tempfile
import time
from pathlib import Path

import psutil
from batch_clusters import (
    add_node,
    cluster_of,
    differences,
    link_films,
    predict_rows,
    run_batch,
    start_batch,
    workers_of,
    write_result,
)


def main() -> None:
    """Kill and count."""
    parser = argparse.ArgumentParser(description="carina batch under SIGKILL.")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--raylets", type=int, default=10)
    parser.add_argument("--drivers", type=int, default=5)
    parser.add_argument("--pause", type=float, default=4.0, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    planned = ["worker"] * arguments.workers + ["raylet"] * arguments.raylets + ["driver"] * arguments.drivers
    dice.shuffle(planned)
    killed: dict[str, int] = dict.fromkeys(("worker", "raylet", "driver"), 0)
    with tempfile.TemporaryDirectory(prefix="carina-killed-") as temporary:
        folder = Path(temporary)
        films = link_films(folder / "films", arguments.files)
        _, expected = predict_rows(films, 2, folder / "predict.jsonl")
        out, log = folder / "table", folder / "batch.log"
        started = time.perf_counter()
        with cluster_of(2) as cluster:
            nodes = list(cluster.worker_nodes)
            driver = start_batch(films, str(out), cluster.address, log)
            early_ends = 0
            while planned:
                time.sleep(dice.uniform(0.5, 2 * arguments.pause - 0.5))
                if driver.poll() is not None:
                    # It was done before all kills were: what is left is killed while a new table is made.
                    if driver.returncode == 0:
                        break
                    early_ends += 1
                    driver = start_batch(films, str(out), cluster.address, log)
                    continue
                kind = planned[-1]
                if kind == "driver":
                    driver.kill()
                    driver.wait()
                    driver = start_batch(films, str(out), cluster.address, log)
                elif kind == "raylet":
                    node = dice.choice(nodes)
                    cluster.remove_node(node, allow_graceful=False)
                    nodes.remove(node)
                    nodes.append(add_node(cluster))
                else:
                    workers = workers_of(dice.choice(nodes))
                    if not workers:
                        continue
                    with contextlib.suppress(psutil.NoSuchProcess):
                        dice.choice(workers).kill()
                planned.pop()
                killed[kind] += 1
            driver.wait()
            ends = driver.returncode
            if ends != 0:
                run_batch(films, str(out), cluster.address, log)
        write_result(
            arguments.out,
            "batch_killed.py",
            {
                "files": arguments.files,
                "killed": killed,
                "kills left when all files had their row": len(planned),
                "driver ended by itself and was started again": early_ends,
                "seconds": round(time.perf_counter() - started, 1),
                "rows against carina predict": differences(out, expected),
            },
        )


if __name__ == "__main__":
    main()
