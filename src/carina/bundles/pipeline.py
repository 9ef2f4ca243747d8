"""The one way from whole radiographs to logits: the lungs are found, the gate is asked, the network is shown the frame.

`Pipeline.judge` does it for a list of radiographs. `Pipeline.stream` gives the same for many lists, faster: each thread
takes a list from its beginning to its end.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, Unpack

import numpy as np
from numpy.typing import NDArray

from carina.bundles.run_folder import GATE_FILE, LUNGS_FILE, ONNX_FILE, FinishedRun
from carina.errors import BundleError
from carina.radiographs.gate import NO_LUNGS, Gate, read_gate
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.lungs import Found, LungFinder
from carina.radiographs.preprocess import Preprocessing, frame, to_tensor
from carina.runtime.blas_threads import on_one_thread
from carina.runtime.engine import Engine, EngineSettings, Tensors, load_engine
from carina.runtime.streams import side_by_side

Wholes = Sequence[NDArray[np.uint8]]
"""Whole radiographs as `carina.radiographs.preprocess.resize_grey` gives them: uint8 ``(read_size, read_size)``."""
_Carried = TypeVar("_Carried")


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model makes of n radiographs.

    Attributes
    ----------
    lungs
        Where the lungs of each are; none where no two were found, or none were sought.
    refusals
        Why each must not be judged, in the gate's sentences; empty where it may be.
    frames
        uint8 ``(n, size, size)``: what the network is shown.
    outputs
        What the network gives, by name, with n rows each; empty where n is 0.
    distances
        How far each is from the radiographs that the gate was fitted to (`carina.radiographs.gate.Verdict`); empty
        where the model has no gate.
    """

    lungs: tuple[Lungs | None, ...]
    refusals: tuple[tuple[str, ...], ...]
    frames: NDArray[np.uint8]
    outputs: Tensors
    distances: tuple[float, ...] = ()

    @property
    def logits(self) -> NDArray[np.float32]:
        """Return float32 ``(n, findings)``; n is not 0."""
        return np.asarray(self.outputs["logits"], np.float32)

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Return bool ``(n,)``: whether each may be judged."""
        return np.array([not reasons for reasons in self.refusals], np.bool_)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Return float64 ``(n, 4)``: top, left, bottom, right of the lungs as shares; NaN where there are none."""
        return np.array([(np.nan,) * 4 if lungs is None else lungs.box for lungs in self.lungs], np.float64)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A model that is loaded, step by step.

    Attributes
    ----------
    preprocessing, engine
        What the network is shown, and the classifier.
    lung_finder, gate
        The segmenter and what needs its features; none where the model has none.
    """

    preprocessing: Preprocessing
    engine: Engine
    lung_finder: LungFinder | None = None
    gate: Gate | None = None

    @property
    def at_once(self) -> int:
        """Return how many threads are to judge at once: one reads and prepares while the others compute."""
        return self.engine.at_once + 1

    def judge(self, wholes: Wholes) -> Judged:
        """Return what the model makes of a list of whole radiographs. Threads may call it at once."""
        found = None if self.lung_finder is None else self.lung_finder.find(wholes)
        shown = self._shown(wholes, found)
        frames = shown.frames
        given = frames if self.engine.takes_bytes else to_tensor(frames, self.preprocessing.pixel_range)
        return shown.judged(self.engine.run(given))

    def stream(self, batches: Iterable[tuple[_Carried, Wholes]]) -> Iterator[tuple[_Carried, Judged]]:
        """Yield for each list of whole radiographs, in order, what `judge` gives for it, beside what came with it."""

        def judge(pair: tuple[_Carried, Wholes]) -> tuple[_Carried, Judged]:
            return pair[0], self.judge(pair[1])

        with on_one_thread():
            yield from side_by_side(judge, batches, threads=self.at_once)

    def _shown(self, wholes: Wholes, found: Found | None) -> "_Shown":
        lungs: tuple[Lungs | None, ...] = (None,) * len(wholes) if found is None else found.lungs
        refusals: tuple[tuple[str, ...], ...] = ((),) * len(wholes)
        distances: tuple[float, ...] = ()
        if found is not None and self.gate is not None:
            verdicts = self.gate.judge(found.features, list(wholes), lungs)
            refusals = tuple(verdict.reasons for verdict in verdicts)
            distances = tuple(verdict.distance for verdict in verdicts)
        elif found is not None:
            refusals = tuple(() if each is not None else (NO_LUNGS,) for each in lungs)
        framed = [frame(whole, each, self.preprocessing) for whole, each in zip(wholes, lungs, strict=True)]
        size = self.preprocessing.size
        frames = np.stack(framed) if framed else np.zeros((0, size, size), np.uint8)
        return _Shown(lungs, refusals, frames, distances)


@dataclass(frozen=True, slots=True)
class _Shown:
    """Where the lungs are, why a radiograph is refused, what the network is shown, and how far each is from others."""

    lungs: tuple[Lungs | None, ...]
    refusals: tuple[tuple[str, ...], ...]
    frames: NDArray[np.uint8]
    distances: tuple[float, ...]

    def judged(self, outputs: Tensors) -> Judged:
        return Judged(self.lungs, self.refusals, self.frames, outputs, self.distances)


def load_pipeline(
    folder: Path, model: FinishedRun, *, graph: str = ONNX_FILE, **settings: Unpack[EngineSettings]
) -> Pipeline:
    """Return a run's or bundle's pipeline, ready to judge.

    Parameters
    ----------
    folder, model
        A run or bundle, and what it says of itself.
    graph
        The classifier's file.
    settings
        See `carina.runtime.engine.load_engine`. The lungs are sought in 32-bit floating point: their box must not move.
        With int8, the backend ``auto`` is ONNX Runtime, so that the answer does not depend on what is installed.

    Raises
    ------
    BundleError
        If a file is missing or damaged, or the gate is for another segmenter.
    ConfigurationError
        If this machine does not have the backend or the precision.
    """
    if settings.get("precision") == "int8" and settings.get("backend", "auto") == "auto":
        settings["backend"] = "onnxruntime"
    finder = gate = None
    with ThreadPoolExecutor(1) as pool:  # both graphs are compiled at once
        engine = pool.submit(load_engine, folder / graph, **settings)
        if model.has_segmenter:
            finder = LungFinder(folder / LUNGS_FILE, **settings | {"precision": "auto"})
    if model.gate is not None:
        gate = read_gate(folder / GATE_FILE)
        if gate.lungs_sha256 != model.lungs_sha256:
            msg = f"{folder / GATE_FILE} is for another lung segmenter than {LUNGS_FILE}. Train or export again."
            raise BundleError(msg)
    return Pipeline(model.preprocessing, engine.result(), finder, gate)
