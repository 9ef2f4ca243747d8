"""Ways from files and tensors to answers that are timed against each other: Carina's, and what it is compared with."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.errors import BundleError
from carina.inference.prediction import FailedPrediction
from carina.inference.predictor import BATCH, Predictor
from carina.runtime.engine import Backend, Precision

ONNX_RUNTIME = "ONNX Runtime"

Tensors = NDArray[np.float32]
Probabilities = NDArray[np.float64]

# What the console script does.
_COMMAND = (sys.executable, "-c", "from carina.cli import main; main()", "predict", "--json", "--bundle")


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way from files and tensors to answers."""

    name: str  # its name in the table
    # Gives the logits, float32 ``(n, findings)``, of tensors ``(n, size, size, 3)``, or of the grey bytes of which they
    # are made where it takes bytes.
    logits: Callable[[Any], Tensors]
    # Takes every decision on some files, and gives the probabilities: float64 ``(n, findings)``.
    decide: Callable[[Sequence[Path]], Probabilities]
    # Seeks the lungs in whole radiographs, uint8 ``(height, width)`` each; none where this way has no search of
    # its own.
    find_lungs: Callable[[Sequence[NDArray[np.uint8]]], object] | None = None
    # What judges files in a process of its own: program and arguments, to which the files are added.
    command: tuple[str, ...] | None = None
    takes_bytes: bool = False


def carina_itself(
    predictor: Predictor,
    folder: Path,
    backend: Backend,
    precision: Precision,
    threads: int | None,
    name: str = "Carina",
) -> Contestant:
    """Return Carina's own way: what the predictor, loaded with these options, chose, and the command."""
    for_one = Predictor(folder, backend=backend, precision=precision, threads=threads, one_at_a_time=True)
    options = ["--backend", backend, "--precision", precision]
    options += [] if threads is None else ["--threads", str(threads)]
    return _with_predictor(name, predictor, for_one, (*_COMMAND, str(folder), *options))


def on_onnx_runtime(folder: Path, threads: int | None) -> Contestant:
    """Return the same way with ONNX Runtime for both graphs, in 32-bit floating point."""
    predictor = Predictor(folder, backend="onnxruntime", precision="f32", threads=threads)
    return _with_predictor(ONNX_RUNTIME, predictor, predictor, None)


def _with_predictor(name: str, predictor: Predictor, for_one: Predictor, command: tuple[str, ...] | None) -> Contestant:
    def logits(tensors: Any) -> Tensors:
        return np.concatenate([outputs["logits"] for outputs in predictor.engine.stream(_batches(tensors))])

    def decide(paths: Sequence[Path]) -> Probabilities:
        # As `carina.load_bundle` does.
        judge = for_one if len(paths) == 1 else predictor
        return np.array([_probabilities(prediction) for prediction in judge.predict(paths)])

    def find_lungs(wholes: Sequence[NDArray[np.uint8]]) -> object:
        return [] if finder is None else [found.lungs for found in finder.stream(_batches(wholes))]

    finder, takes_bytes = predictor.lung_finder, predictor.engine.takes_bytes
    return Contestant(name, logits, decide, find_lungs if finder else None, command, takes_bytes)


def _batches(items: Any) -> Iterator[Any]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _probabilities(prediction: Any) -> list[float]:
    if isinstance(prediction, FailedPrediction):
        msg = f"{prediction.path}: a synthetic radiograph could not be judged: {prediction.error}"
        raise BundleError(msg)
    return list(prediction.network_probabilities.values())
