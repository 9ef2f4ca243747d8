"""Image files become predictions: read, preprocess, infer and decide, with decoding and inference overlapped."""

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.decisions.probabilities import softmax
from carina.decisions.triage import Triage, choose_triage
from carina.engine import Backend, load_engine
from carina.errors import BundleError, InputError
from carina.radiographs.fingerprint import pixel_sha256
from carina.radiographs.preprocess import resize_grey, to_tensor
from carina.radiographs.read import read_radiograph
from carina.run_folder import ONNX_FILE, FinishedRun, open_run

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says of one image.

    Attributes
    ----------
    path
        As it was given.
    sha256
        Of the decoded pixels.
    finding
        The most probable.
    probabilities
        Of every finding, summing to 1. Softmax outputs: not yet calibrated.
    triage
        Priority and reason.
    elapsed_ms
        Reading this image, and its share of the time from handing its batch to the engine until it was decided.
    """

    path: Path
    sha256: str
    finding: str
    probabilities: Mapping[str, float]
    triage: Triage
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class FailedPrediction:
    """An image that could not be judged.

    Attributes
    ----------
    path
        As it was given.
    error
        Why, with a code for programs.
    """

    path: Path
    error: InputError


@dataclass(slots=True)
class _Read:
    path: Path
    sha256: str
    grey: NDArray[np.uint8]
    milliseconds: float


@dataclass(slots=True)
class _Group:
    items: list[_Read | FailedPrediction] = field(default_factory=list)
    submitted: float = 0.0

    @property
    def readable(self) -> list[_Read]:
        return [item for item in self.items if isinstance(item, _Read)]


class Predictor:
    """A model that is loaded and ready.

    Parameters
    ----------
    folder
        A finished run.
    backend
        See `carina.engine.load_engine`.

    Raises
    ------
    BundleError
        If the folder holds no finished run, or its model is not the one that was trained.
    """

    def __init__(self, folder: Path, *, backend: Backend = "auto") -> None:
        self.run: FinishedRun = open_run(folder)
        graph = folder / ONNX_FILE
        if not graph.is_file() or hashlib.sha256(graph.read_bytes()).hexdigest() != self.run.model_sha256:
            msg = f"{graph} is not the model that this run trained: it is missing or was changed. Train again."
            raise BundleError(msg)
        self.engine = load_engine(graph, backend=backend)

    def predict(
        self, paths: Iterable[Path], *, prevalence: float | None = None
    ) -> Iterator[Prediction | FailedPrediction]:
        """Yield what the model says of each image, in the order given; memory does not grow with their number.

        Parameters
        ----------
        paths
            Image files; one that cannot be judged gives a `FailedPrediction` and the rest goes on.
        prevalence
            See `carina.decisions.triage.choose_triage`.
        """
        # The threads here are the parallelism; OpenCV's own would fight them and the engine for the same cores.
        cv2.setNumThreads(1)
        pending: deque[_Group] = deque()
        with ThreadPoolExecutor(2) as pool:
            for outputs in self.engine.stream(self._tensors(iter(paths), pool, pending)):
                yield from self._decide(pending.popleft(), outputs.get("logits"), prevalence)

    def _tensors(
        self, paths: Iterator[Path], pool: ThreadPoolExecutor, pending: deque[_Group]
    ) -> Iterator[NDArray[np.float32]]:
        """Yield a tensor for each group, without rows where no image of it can be read, and note it on `pending`."""

        def start() -> list[Future[_Read | FailedPrediction]]:
            return [pool.submit(self._read, path) for path in islice(paths, _BATCH)]

        ahead = start()
        while ahead:
            current, ahead = ahead, start()
            group = _Group([future.result() for future in current])
            pending.append(group)
            size = self.run.preprocessing.size
            greys = np.stack([item.grey for item in group.readable] or [np.zeros((size, size), np.uint8)])
            group.submitted = time.perf_counter()
            yield to_tensor(greys[: len(group.readable)], self.run.preprocessing.pixel_range)

    def _read(self, path: Path) -> _Read | FailedPrediction:
        started = time.perf_counter()
        try:
            radiograph = read_radiograph(path)
        except InputError as error:
            return FailedPrediction(path, error)
        sha256, grey = pixel_sha256(radiograph), resize_grey(radiograph, self.run.preprocessing.size)
        return _Read(path, sha256, grey, 1000 * (time.perf_counter() - started))

    def _decide(
        self, group: _Group, logits: NDArray[np.float32] | None, prevalence: float | None
    ) -> Iterator[Prediction | FailedPrediction]:
        share_ms = 1000 * (time.perf_counter() - group.submitted) / max(1, len(group.readable))
        probabilities = iter(() if logits is None else softmax(logits))
        for item in group.items:
            if isinstance(item, FailedPrediction):
                yield item
                continue
            of_finding = dict(zip(self.run.findings, next(probabilities).tolist(), strict=True))
            finding = max(of_finding, key=of_finding.__getitem__)
            triage = choose_triage(finding, of_finding, self.run.operating_point, prevalence=prevalence)
            yield Prediction(item.path, item.sha256, finding, of_finding, triage, item.milliseconds + share_ms)
