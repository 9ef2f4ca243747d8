"""A benchmark of the whole predicting way on this machine: how fast, how evenly, in how much memory, and of what limit.

Everything that is compared is timed in the same rounds, one after the other (see `carina.benchmark.rounds`). Each
figure has two limits. The processor's: the rate of large float32 matrix products, divided by the operations
that the graphs need (see `carina.benchmark.arithmetic`). That of the parts: what decoding, the search for lungs and the
classifier, each measured alone on all cores, allow together.
"""

import subprocess
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.benchmark.arithmetic import MATRIX_SIZES, MatrixProduct, matrix_products, multiply_adds
from carina.benchmark.bench_report import Bench, BenchRow, Limit
from carina.benchmark.contestants import ONNX_RUNTIME, Contestant, carina_itself, on_onnx_runtime
from carina.benchmark.films import LARGE, MEDIUM, SMALL, Films, Kind, write_films
from carina.benchmark.rounds import Rounds, RoundSpread, Task, percentile, rate, spread, time_in_rounds
from carina.bundles.run_folder import LUNGS_FILE, ONNX_FILE
from carina.errors import ConfigurationError
from carina.inference.predictor import BATCH, Predictor
from carina.progress import Progress, no_progress
from carina.radiographs.preprocess import resize_grey, to_tensor
from carina.radiographs.read import read_radiograph
from carina.runtime.engine import Backend, Precision
from carina.runtime.machine import describe_machine, instruction_set, library_versions, peak_memory_of_command_mb
from carina.runtime.streams import batched

_PERCENTILES = (50, 95, 99)

_Tasks = dict[Hashable, Task]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int
    films: Mapping[Kind, int]  # files of each kind
    tensors: int  # tensors in bulk, and radiographs in which lungs are sought
    # bulk, singles: files a round that are judged in bulk, and one by one, of each kind
    bulk: Mapping[Kind, int]
    singles: Mapping[Kind, int]
    many: int  # files that one command is given, for its memory; 0 leaves memory out
    matrix_sizes: tuple[int, ...] = MATRIX_SIZES  # of the products that the processor is measured by
    pause_s: float = 0.1  # before each task


FULL = Plan(
    rounds=7,
    films={SMALL: 48, MEDIUM: 6, LARGE: 4},
    tensors=256,
    bulk={SMALL: 256, MEDIUM: 96, LARGE: 16},
    singles={SMALL: 60, MEDIUM: 30, LARGE: 8},
    many=1000,
)
QUICK = Plan(
    rounds=3,
    films={SMALL: 12, MEDIUM: 2, LARGE: 1},
    tensors=64,
    bulk={SMALL: 64, MEDIUM: 24, LARGE: 4},
    singles={SMALL: 20, MEDIUM: 10, LARGE: 3},
    many=100,
    pause_s=0.05,
)


def run_bench(
    folder: Path,
    *,
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
    plan: Plan = FULL,
    rivals: Sequence[Contestant] = (),
    notes: tuple[str, ...] = (),
    instructions: str | None = None,
    progress: Progress = no_progress,
) -> Bench:
    """Return what a model's predicting way was measured to do on this machine.

    Parameters
    ----------
    folder
        A bundle or a finished run.
    backend, precision, threads
        What Carina computes with; see `carina.inference.predictor.Predictor`. What it is compared with computes in f32,
        on as many cores.
    rivals, notes
        What it is compared with, besides ONNX Runtime, and what a reader must know of them.
    instructions
        The newest instruction set that this process may use, where newer ones are hidden from it.

    Raises
    ------
    BundleError
        If the folder holds no model, or a synthetic radiograph cannot be judged.
    ConfigurationError
        If a command that is measured fails, or this machine does not have the engine or precision.
    """
    predictor = Predictor(folder, backend=backend, precision=precision, threads=threads)
    contestants = [carina_itself(predictor, folder, backend, precision, threads)]
    if not predictor.engine.name.startswith(ONNX_RUNTIME) or predictor.engine.precision != "f32":
        contestants.append(on_onnx_runtime(folder, threads))
    contestants += rivals
    with TemporaryDirectory(prefix="carina-bench-") as temporary:
        films = write_films(Path(temporary), plan.films)
        wholes, frames = _decoded(predictor, films[SMALL].take(plan.tensors))
        tensors = to_tensor(frames, predictor.run.preprocessing.pixel_range)
        given = {contestant.name: frames if contestant.takes_bytes else tensors for contestant in contestants}
        products = matrix_products(predictor.engine.threads, plan.matrix_sizes)
        tasks: _Tasks = {
            **{_key(product): Task(product.compute, calls=3) for product in products},
            **_tensor_tasks(contestants, wholes, given),
            **_file_tasks(contestants, films, plan, predictor.engine.threads),
            **_command_tasks(contestants, films[SMALL].paths[0]),
        }
        timed = time_in_rounds(tasks, rounds=plan.rounds, pause_s=plan.pause_s, progress=progress)
        memory = list(_memory_rows(contestants, films[SMALL], plan.many)) if plan.many else []
        agreement = _agreement(contestants, predictor, given, films[SMALL].paths)
    limit = _limit(products, timed, predictor, folder)
    found = _Found(timed, [contestant.name for contestant in contestants], limit, plan)
    run = predictor.run
    return Bench(
        model={"name": run.name, "sha256": run.model_sha256},
        machine=describe_machine(),
        instructions=instructions or instruction_set(),
        versions=library_versions(),
        engine=predictor.engine.name,
        precision=predictor.engine.precision,
        threads=predictor.engine.threads,
        rounds=plan.rounds,
        limit=limit,
        rows=(*found.rows(f"{run.preprocessing.size}² float32"), *memory),
        agreement=agreement,
        notes=notes,
    )


def _key(product: MatrixProduct) -> tuple[str, str, int]:
    return "matrix product", product.library, product.size


def _tensor_tasks(
    contestants: Sequence[Contestant], wholes: list[NDArray[np.uint8]], given: Mapping[str, NDArray[Any]]
) -> _Tasks:
    tasks: _Tasks = {("logits", c.name): Task(partial(c.logits, given[c.name])) for c in contestants}
    for c in contestants:
        if c.find_lungs is not None:
            tasks["lungs", c.name] = Task(partial(c.find_lungs, wholes))
    return tasks


def _file_tasks(contestants: Sequence[Contestant], films: Mapping[Kind, Films], plan: Plan, threads: int) -> _Tasks:
    tasks: _Tasks = {}
    for kind, of_kind in films.items():
        many, one = of_kind.take(plan.bulk[kind]), of_kind.take(1)
        tasks["decode", kind] = Task(partial(_decode, many, threads))
        tasks |= {("bulk", kind, c.name): Task(partial(c.decide, many)) for c in contestants}
        tasks |= {("single", kind, c.name): Task(partial(c.decide, one), plan.singles[kind]) for c in contestants}
    return tasks


def _command_tasks(contestants: Sequence[Contestant], film: Path) -> _Tasks:
    return {("command", c.name): Task(partial(_run, [*c.command, str(film)])) for c in contestants if c.command}


def _decoded(predictor: Predictor, paths: Sequence[Path]) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return whole radiographs, and what the classifier is shown of them."""
    preprocessing = predictor.run.preprocessing
    of_path = {path: resize_grey(read_radiograph(path), preprocessing.read_size) for path in set(paths)}
    wholes = [of_path[path] for path in paths]
    judged = predictor.pipeline.stream((None, batch) for batch in batched(wholes, BATCH))
    frames = np.concatenate([each.frames for _, each in judged])
    return wholes, frames


def _decode(paths: Sequence[Path], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda path: read_radiograph(path).height, paths):
            pass


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  # what a contestant says
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        msg = f"{' '.join(command[:4])} … failed with exit code {done.returncode}: {' '.join(said)}"
        raise ConfigurationError(msg)


def _memory_rows(contestants: Sequence[Contestant], films: Films, many: int) -> Iterator[BenchRow]:
    one = {c.name: _peak(c, films.take(1)) for c in contestants if c.command is not None}
    ours, *others = one
    both = ((f"{films.kind}, one", one), (f"{films.kind}, {many:,}", {ours: _peak(contestants[0], films.take(many))}))
    for given, of_name in both:
        figures = {name: RoundSpread(peak, peak, peak) for name, peak in of_name.items() if peak is not None}
        if ours in figures:
            rivals = {name: figures[name] for name in others if name in figures}
            yield BenchRow("command", given, "peak memory", "MB", figures[ours], rivals)


def _peak(contestant: Contestant, paths: Sequence[Path]) -> float | None:
    return peak_memory_of_command_mb([*(contestant.command or ()), *map(str, paths)])


def _agreement(
    contestants: Sequence[Contestant], predictor: Predictor, given: Mapping[str, NDArray[Any]], paths: Sequence[Path]
) -> dict[str, dict[str, float]]:
    def answers(contestant: Contestant) -> dict[str, NDArray[np.float64]]:
        logits = contestant.logits(given[contestant.name])
        return {
            "logit from tensor": np.asarray(logits, np.float64),
            "probability from tensor": predictor.run.policy.probabilities(logits),
            "probability from file": contestant.decide(paths),
        }

    ours, *others = [answers(contestant) for contestant in contestants]
    names = [contestant.name for contestant in contestants[1:]]
    return {
        name: {where: float(np.abs(of_rival[where] - ours[where]).max()) for where in ours}
        for name, of_rival in zip(names, others, strict=True)
    }


def _limit(
    products: Sequence[MatrixProduct], timed: Mapping[Hashable, Rounds], predictor: Predictor, folder: Path
) -> Limit:
    best, most = [], Counter[str]()
    for number in range(len(timed[_key(products[0])])):
        rates = {p: p.operations / min(timed[_key(p)][number]) / 1e9 for p in products}
        fastest = max(rates, key=rates.__getitem__)
        best.append(rates[fastest])
        most[f"{fastest.library}, {fastest.size}²"] += 1
    graphs = (ONNX_FILE,) if predictor.lung_finder is None else (LUNGS_FILE, ONNX_FILE)
    return Limit(spread(best), most.most_common(1)[0][0], {graph: multiply_adds(folder / graph) for graph in graphs})


@dataclass(frozen=True, slots=True)
class _Found:
    """The times, on their way to rows."""

    timed: Mapping[Hashable, Rounds]
    names: Sequence[str]
    limit: Limit
    plan: Plan

    def rows(self, tensor: str) -> Iterator[BenchRow]:
        """Yield every figure that was timed."""
        of_count, all_graphs = partial(rate, items=self.plan.tensors), tuple(self.limit.multiply_adds)
        classified, rivals = self._figures(of_count, "logits")
        yield BenchRow("tensor to logits", tensor, "bulk", "images/s", classified, rivals, self._allowed(ONNX_FILE))
        nets = [{self.names[0]: classified, **rivals}]
        if LUNGS_FILE in all_graphs:
            sought, rivals = self._figures(of_count, "lungs")
            nets.append({self.names[0]: sought, **rivals})
            yield BenchRow("lungs alone", SMALL, "bulk", "images/s", sought, rivals, self._allowed(LUNGS_FILE))
        for kind, files in self.plan.bulk.items():
            decoded = rate(self.timed["decode", kind], files)
            yield BenchRow("decoding alone", kind, "bulk", "images/s", decoded, {})
        for kind, files in self.plan.bulk.items():
            figure, rivals = self._figures(partial(rate, items=files), "bulk", kind)
            decoded = rate(self.timed["decode", kind], files)
            of_name = {
                name: 1 / sum(1 / part.value for part in (decoded, *(of[name] for of in nets)))
                for name in self.names
                if all(name in of for of in nets)
            }
            parts = of_name.pop(self.names[0])
            limit = self._allowed(*all_graphs)
            yield BenchRow("file to decision", kind, "bulk", "images/s", figure, rivals, limit, parts, of_name)
        for kind in self.plan.singles:
            yield from self._latencies(kind, self._allowed(*all_graphs))
        figure, rivals = self._figures(partial(percentile, percent=50), "command")
        yield BenchRow("command", f"{SMALL}, one", "cold start", "s", figure, rivals)

    def _allowed(self, *graphs: str) -> float | None:
        return self.limit.images_per_second(*graphs)

    def _latencies(self, kind: Kind, allowed: float | None) -> Iterator[BenchRow]:
        limit = None if allowed is None else 1000 / allowed
        for percent in _PERCENTILES:
            figure, rivals = self._figures(partial(_percentile_ms, percent=percent), "single", kind)
            yield BenchRow("one file to decision", kind, f"p{percent}", "ms", figure, rivals, limit)

    def _figures(
        self, measure: Callable[[Rounds], RoundSpread], *key: str
    ) -> tuple[RoundSpread, dict[str, RoundSpread]]:
        """Return a figure of Carina's times, and that of each rival that was timed."""
        figures = {name: measure(self.timed[*key, name]) for name in self.names if (*key, name) in self.timed}
        return figures.pop(self.names[0]), figures


def _percentile_ms(timed: Rounds, percent: float) -> RoundSpread:
    seconds = percentile(timed, percent)
    return RoundSpread(1000 * seconds.value, 1000 * seconds.low, 1000 * seconds.high)
