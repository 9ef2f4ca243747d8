"""Carina beside TorchXRayVision's DenseNet121: the same files, as many threads, in turns, in one run.

    python benchmarks/beside_torchxrayvision.py --python OTHER/bin/python --out results/beside_torchxrayvision.json

OTHER is an environment with torch and torchxrayvision; Carina's own has neither. The other network's weights are
random, as the result says: its trained ones are a download, and the time does not depend on them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from carina.benchmark.films import SMALL, write_films
from carina.bundles.bundle import released_bundle
from carina.bundles.safety import last_part
from carina.inference.predictor import Predictor
from carina.runtime.machine import describe_machine, instruction_set, library_versions, usable_cores

_OTHER_SIDE = Path(__file__).with_name("torchxrayvision_side.py")
_OTHER = "TorchXRayVision"
# Files a round: so many that each turn takes a second or two.
_BULK = {"Carina f32": 256, "Carina int8": 256, _OTHER: 32}
_ONES = {"Carina f32": 100, "Carina int8": 100, _OTHER: 15}


class Other:
    """The other library, in a process of its own, which waits while Carina has its turn."""

    def __init__(self, python: str, threads: int) -> None:
        command = [python, str(_OTHER_SIDE), str(threads)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._asked: Any = self._process.stdin
        self._answers: Any = self._process.stdout
        self.told = self._answer()

    def seconds(self, paths: Sequence[Path]) -> float:
        """Return how long it took from files to outputs."""
        self._asked.write(json.dumps([str(path) for path in paths]) + "\n")
        self._asked.flush()
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._asked.close()
        self._process.wait()

    def _answer(self) -> Any:
        line = self._answers.readline()
        if not line:
            message = f"{_OTHER} ended with exit code {self._process.wait()}."
            raise SystemExit(message)
        return json.loads(line)


def main() -> None:
    """Measure in turns and write the JSON."""
    parser = argparse.ArgumentParser(description="Carina beside TorchXRayVision's DenseNet121.")
    parser.add_argument("bundle", type=Path, nargs="?", help="by default the released one")
    parser.add_argument("--python", required=True, help="an interpreter that has torch and torchxrayvision")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    folder, threads = arguments.bundle or released_bundle(), usable_cores()
    many = {f"Carina {p}": Predictor(folder, precision=p) for p in ("f32", "int8")}
    one = {f"Carina {p}": Predictor(folder, precision=p, one_at_a_time=True) for p in ("f32", "int8")}
    other = Other(arguments.python, threads)

    def seconds(name: str, predictors: dict[str, Predictor], paths: Sequence[Path]) -> float:
        if name == _OTHER:
            return other.seconds(paths)
        started = time.perf_counter()
        list(predictors[name].predict(paths))
        return time.perf_counter() - started

    bulk: dict[str, list[float]] = {name: [] for name in _BULK}
    ones: dict[str, list[float]] = {name: [] for name in _ONES}
    with TemporaryDirectory(prefix="carina-beside-") as place:
        films = write_films(Path(place), {SMALL: 48})[SMALL]
        for number in range(arguments.rounds + 1):
            for name in sorted(_BULK, reverse=bool(number % 2)):
                per_image = seconds(name, many, films.take(_BULK[name])) / _BULK[name]
                films_alone = [seconds(name, one, films.take(1)) for _ in range(_ONES[name])]
                if number:  # the first round loads and compiles
                    bulk[name].append(1 / per_image)
                    ones[name].append(1000 * statistics.median(films_alone))
    other.close()
    result = {
        "command": " ".join(["python", "benchmarks/beside_torchxrayvision.py", *(last_part(w) for w in sys.argv[1:])]),
        "machine": describe_machine(),
        "instructions": instruction_set(),
        "threads": threads,
        "rounds": arguments.rounds,
        "files": SMALL,
        "versions": library_versions() | other.told["versions"],
        "weights_of_torchxrayvision": other.told["weights"],
        "bulk_images_per_second": _told(bulk, more_is_better=True),
        "one_film_ms": _told(ones, more_is_better=False),
    }
    print(json.dumps(result, indent=2))
    arguments.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _told(rounds: dict[str, list[float]], *, more_is_better: bool) -> dict[str, Any]:
    """Return the median of each over the rounds with its range, and how many times as good Carina is, in pairs."""
    told: dict[str, Any] = {name: _spread(values) for name, values in rounds.items()}
    for name in (name for name in rounds if name != _OTHER):
        pairs = zip(rounds[name], rounds[_OTHER], strict=True)
        ratios = [ours / theirs if more_is_better else theirs / ours for ours, theirs in pairs]
        told[name]["times_as_good"] = _spread(ratios)
    return told


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


if __name__ == "__main__":
    main()
