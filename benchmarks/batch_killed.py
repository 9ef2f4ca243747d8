"""Whether ``carina batch`` loses, doubles or changes a row when its processes are killed (SIGKILL) again and again.

    python benchmarks/batch_killed.py [--files 30000] [--workers 50] [--raylets 10] [--drivers 5] [--out FILE.json]

Two nodes judge the files. At random moments a worker is killed, or the raylet of a node (a new node takes its place),
or the driver, which is started again with the same command. Nothing is killed before a part was written since the last
time, so that each kill meets a batch at work. In the end every file has its row, once, and with the values of ``carina
predict --json``.
"""

import argparse
import contextlib
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

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


class Killer:
    """What kills processes of a batch that runs, as planned."""

    def __init__(self, cluster: Any, films: Path, out: Path, log: Path, dice: random.Random) -> None:
        self._cluster, self._films, self._out, self._log, self._dice = cluster, films, out, log, dice
        self._parts = 0
        self._nodes = list(cluster.worker_nodes)
        self.killed = dict.fromkeys(("worker", "raylet", "driver"), 0)
        self.ended_by_itself = 0
        self.driver = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return start_batch(self._films, str(self._out), self._cluster.address, self._log)

    def run(self, planned: list[str], pause: float) -> int:
        """Kill what is planned at random moments; return how many kills were left when all files were judged."""
        while planned:
            time.sleep(self._dice.uniform(0, 2 * pause))
            if self.driver.poll() is None:
                parts = sum(1 for _ in self._out.glob("part-*.parquet"))
                if parts > self._parts and self._kill(planned[-1]):
                    self.killed[planned.pop()] += 1
                    self._parts = parts
            elif self.driver.returncode == 0:
                break
            else:
                self.ended_by_itself += 1
                self.driver = self._start()
        if self.driver.wait() != 0:
            run_batch(self._films, str(self._out), self._cluster.address, self._log)
        return len(planned)

    def _kill(self, kind: str) -> bool:
        node = self._dice.choice(self._nodes)
        if kind == "driver":
            self.driver.kill()
            self.driver.wait()
            self.driver = self._start()
        elif kind == "raylet":
            self._cluster.remove_node(node, allow_graceful=False)
            self._nodes.remove(node)
            self._nodes.append(add_node(self._cluster))
        else:
            workers = workers_of(node)
            if not workers:
                return False
            with contextlib.suppress(psutil.NoSuchProcess):
                self._dice.choice(workers).kill()
        return True


def main() -> None:
    """Kill and count."""
    parser = argparse.ArgumentParser(description="carina batch under SIGKILL.")
    parser.add_argument("--files", type=int, default=30_000)
    for kind, count in (("workers", 50), ("raylets", 10), ("drivers", 5)):
        parser.add_argument(f"--{kind}", type=int, default=count)
    parser.add_argument("--pause", type=float, default=1.0, help="mean seconds before it is tried to kill again")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)  # noqa: S311  # no secret
    planned = ["worker"] * arguments.workers + ["raylet"] * arguments.raylets + ["driver"] * arguments.drivers
    dice.shuffle(planned)
    with tempfile.TemporaryDirectory(prefix="carina-killed-") as temporary:
        folder = Path(temporary)
        films = link_films(folder / "films", arguments.files)
        _, expected = predict_rows(films, 2, folder / "predict.jsonl")
        started = time.perf_counter()
        with cluster_of(2) as cluster:
            killer = Killer(cluster, films, folder / "table", folder / "batch.log", dice)
            left = killer.run(planned, arguments.pause)
        write_result(
            arguments.out,
            "batch_killed.py",
            {
                "files": arguments.files,
                "killed": killer.killed,
                "kills left when all files had their row": left,
                "driver ended by itself and was started again": killer.ended_by_itself,
                "seconds": round(time.perf_counter() - started, 1),
                "rows against carina predict": differences(folder / "table", expected),
            },
        )


if __name__ == "__main__":
    main()
