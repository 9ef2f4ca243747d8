"""Image files become predictions: read, preprocess, infer and decide, on as many threads as keep the cores busy."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.bundles.bundle import (
    BundleDescription,
    choose_precision,
    classifier_graph,
    in_precision,
    open_named_model,
)
from carina.bundles.pipeline import Judged, load_pipeline
from carina.bundles.run_folder import GATE_FILE, LUNGS_FILE, ONNX_FILE, FinishedRun
from carina.datasets.images import DatasetImage
from carina.decisions.triage import choose_triage
from carina.errors import BundleError, InputError
from carina.inference.explanation.explain import build_explanation, display_grey
from carina.inference.image_input import Input
from carina.inference.prediction import AnyPrediction, FailedPrediction, Prediction
from carina.radiographs.fingerprint import pixel_sha256
from carina.radiographs.gate import NO_GATE
from carina.radiographs.header import Header
from carina.radiographs.intended_use import pixel_refusals, refusals, reservations_of
from carina.radiographs.lungs import LungFinder
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.radiograph import Radiograph
from carina.radiographs.raster import decoders_are_quiet
from carina.radiographs.read import radiograph_of, read_radiograph
from carina.runtime.blas_threads import on_one_thread
from carina.runtime.engine import Backend, Engine, Precision
from carina.runtime.streams import batched, side_by_side

Source = Path | Input | DatasetImage | Callable[[], Radiograph]
"""An image file, an image of a data set, or what gives a radiograph and raises `InputError` where there is none."""

# Of objects that belong into a study beside its radiographs.
_BESIDE_IMAGES = frozenset({"companion-object", "own-answer"})

# A thread reads so many, finds their lungs and asks the network. Of fewer, the weights of the two networks and of the
# gate push each other out of the processor's cache more often: 4 take a twentieth longer. 16 are no faster.
BATCH = 8
# Twice what the network is shown, at each side: `carina.radiographs.read.read_radiograph` may leave out what is beyond.
ENOUGH = 2
# With explanations, radiographs of up to 2,048 pixels wait until they are decided: fewer at a time.
_EXPLAINED = 2


@dataclass(slots=True)
class Film:
    """An image that was read and is to be judged, in this process or another.

    Attributes
    ----------
    path, sha256
        As its prediction will have them.
    whole
        uint8 ``(read_size, read_size)``; see `carina.radiographs.preprocess.resize_grey`.
    milliseconds
        What reading it took.
    header, doubts
        What its file's header says, and what it leaves in doubt.
    grey
        What an overlay is drawn on, where one is asked for.
    reduced
        See `carina.radiographs.radiograph.Radiograph`.
    """

    path: Path | None
    sha256: str
    whole: NDArray[np.uint8]
    milliseconds: float
    header: Header | None
    doubts: tuple[str, ...]
    grey: NDArray[np.uint8] | None = None
    reduced: int = 1


ReadFilm = Film | FailedPrediction
"""An image that was read, or why it could not be read."""
_Given = TypeVar("_Given")


def read_film(source: Source, *, read_size: int, deflated: bool = False, explain: bool = False) -> ReadFilm:
    """Return an image, ready to be judged by `Predictor.judge`.

    Parameters
    ----------
    source
        The image.
    read_size
        Of the model's `carina.radiographs.preprocess.Preprocessing`.
    deflated
        Whether deflated DICOM data sets are to be inflated.
    explain
        Whether its prediction is to be explained.
    """
    started = time.perf_counter()
    path = source if isinstance(source, Path) else getattr(source, "path", None)
    try:
        radiograph = _radiograph(source, deflated=deflated, enough=0 if explain else ENOUGH * read_size)
    except InputError as error:
        found = isinstance(source, Input) and not source.named
        return FailedPrediction(path, error, passed_over=found and error.code in _BESIDE_IMAGES)
    # An image of a data set was hashed already, to see that it is the one that was imported.
    sha256 = source.sha256 if isinstance(source, DatasetImage) else pixel_sha256(radiograph)
    whole = resize_grey(radiograph, read_size)
    milliseconds = 1000 * (time.perf_counter() - started)
    grey = display_grey(radiograph) if explain else None
    doubts = reservations_of(radiograph)
    return Film(path, sha256, whole, milliseconds, radiograph.header, doubts, grey, radiograph.reduced)


def _radiograph(source: Source, *, deflated: bool, enough: int) -> Radiograph:
    if isinstance(source, Path):
        return read_radiograph(source, deflated=deflated, enough=enough)
    if isinstance(source, Input):
        return radiograph_of(source.read(), deflated=deflated, enough=enough)
    if isinstance(source, DatasetImage):
        return source.read()
    return source()


class Predictor:
    """A model that is loaded and ready.

    Parameters
    ----------
    folder
        A bundle or a finished run.
    backend, threads, one_at_a_time
        See `carina.runtime.engine.load_engine`.
    precision
        Of the classifier; ``auto`` is the fastest that the model offers and this processor has instructions for. The
        lungs are sought in 32-bit floating point, so that their box does not move.
    deflated
        Whether deflated DICOM data sets are to be inflated.

    Attributes
    ----------
    run
        What it says of itself in the precision that is computed; see `carina.bundles.bundle.in_precision`.
    sha256
        A hash of the whole of it; see `carina.bundles.bundle.open_named_model`.
    graph_sha256
        Of the classifier's graph, which is another in int8.

    Raises
    ------
    BundleError
        If the folder holds no finished run, or its model is not the one that was trained.
    ConfigurationError
        If the backend or the precision is not available.
    """

    def __init__(
        self,
        folder: Path,
        *,
        backend: Backend = "auto",
        precision: Precision = "auto",
        threads: int | None = None,
        one_at_a_time: bool = False,
        deflated: bool = False,
    ) -> None:
        self._deflated = deflated
        described, self.sha256 = open_named_model(folder)
        precision = choose_precision(described, precision, backend)
        self.run: FinishedRun = in_precision(described, precision)
        name, self.graph_sha256 = classifier_graph(described, precision)
        if not isinstance(described, BundleDescription):  # every byte of a bundle was checked just now
            _require_unchanged(folder, self.run)
        self.pipeline = load_pipeline(
            folder,
            self.run,
            graph=name,
            backend=backend,
            precision=precision,
            threads=threads,
            one_at_a_time=one_at_a_time,
            keep_compiled=True,
        )

    @property
    def engine(self) -> Engine:
        """Return the classifier's engine."""
        return self.pipeline.engine

    @property
    def lung_finder(self) -> LungFinder | None:
        """Return the segmenter, where the model has one."""
        return self.pipeline.lung_finder

    def predict(
        self, paths: Iterable[Source], *, prevalence: float | None = None, explain: bool = False
    ) -> Iterator[AnyPrediction]:
        """Yield what the model says of each image, in the order given; memory does not grow with their number.

        Parameters
        ----------
        paths
            Images; one that cannot be judged gives a `FailedPrediction` and the rest goes on, except for an image of a
            data set: figures over the remaining ones would not be the figures of the set.
        prevalence
            See `carina.decisions.triage.choose_triage`.
        explain
            Give each prediction its explanation. It comes out of the same forward pass; what it costs is that the
            radiographs are kept until they are decided.

        Raises
        ------
        BundleError
            If explanations are asked for, and the model's graph gives none.
        DataError
            If an image of a data set is gone, unreadable, or not the one that was imported.
        """
        size = self.run.preprocessing.read_size
        read = partial(read_film, read_size=size, deflated=self._deflated, explain=explain)

        def judge(group: list[Source]) -> list[AnyPrediction]:
            with decoders_are_quiet():
                films = [read(source) for source in group]
            return self._judged(films, prevalence, explain=explain)

        sources = iter(paths)
        first = list(islice(sources, 2 * BATCH))
        # A few, which may be large, are read at the same time and not one after the other.
        together = 1 if len(first) < 2 * BATCH else _EXPLAINED if explain else BATCH
        yield from self._side_by_side(judge, batched(chain(first, sources), together))

    def judge(
        self, films: Iterable[ReadFilm], *, prevalence: float | None = None, embed: bool = False
    ) -> Iterator[AnyPrediction]:
        """Yield what `predict` says of images that were read before by `read_film`, in the order given.

        A film that was read to be explained is explained. With `embed` each prediction has its embedding.
        """
        judge = partial(self._judged, prevalence=prevalence, embed=embed)
        yield from self._side_by_side(judge, batched(films, BATCH))

    def _side_by_side(
        self, judge: Callable[[list[_Given]], list[AnyPrediction]], groups: Iterator[list[_Given]]
    ) -> Iterator[AnyPrediction]:
        """Yield what is said of each image; each thread takes a group from its beginning to its end.

        So the threads wait neither for each other nor for a queue, and a core keeps what it read near at hand.
        """
        # The threads here are the parallelism; OpenCV's own would fight them and the engine for the same cores.
        cv2.setNumThreads(1)
        first = list(islice(groups, 2))
        if len(first) < 2:  # a thread would take longer to start than the images to be judged
            yield from chain.from_iterable(map(judge, first))
            return
        with on_one_thread():
            said = side_by_side(judge, chain(first, groups), threads=self.pipeline.at_once)
            yield from chain.from_iterable(said)

    def _judged(
        self, films: list[ReadFilm], prevalence: float | None, *, explain: bool = False, embed: bool = False
    ) -> list[AnyPrediction]:
        started = time.perf_counter()
        judged = self.pipeline.judge([film.whole for film in films if isinstance(film, Film)])
        if explain and judged.outputs and "contributions" not in judged.outputs:
            msg = (
                f"{ONNX_FILE} of {self.run.name} does not give what each cell contributes: it was made by an "
                "earlier Carina. Predict without explanations, or train again."
            )
            raise BundleError(msg)
        share_ms = 1000 * (time.perf_counter() - started) / max(1, len(judged.lungs))
        return list(self._decide(films, judged, share_ms, prevalence, embed=embed))

    def pixel_sha256(self, source: Source, *, explain: bool = False) -> str:
        """Return the SHA-256 of an image's pixels, as its prediction has it, with an explanation or without.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        enough = 0 if explain else ENOUGH * self.run.preprocessing.read_size
        return pixel_sha256(_radiograph(source, deflated=self._deflated, enough=enough))

    def _decide(
        self, items: list[ReadFilm], judged: Judged, share_ms: float, prevalence: float | None, *, embed: bool
    ) -> Iterator[AnyPrediction]:
        probabilities = self.run.policy.probabilities(judged.logits) if judged.outputs else np.empty((0, 0))
        rows = iter(range(len(probabilities)))
        for item in items:
            if isinstance(item, FailedPrediction):
                yield item
                continue
            row = next(rows)
            given = dict(zip(self.run.findings, probabilities[row].tolist(), strict=True))
            header = () if item.header is None else refusals(item.header)
            # What a gate says of such pixels says more.
            reasons = (*header, *(judged.refusals[row] or pixel_refusals(item.whole)))
            doubts = item.doubts
            if self.pipeline.gate is None and not reasons:
                doubts = (*doubts, NO_GATE)
            refused = ", and ".join(reasons) or None
            triage = choose_triage(given, self.run.policy, prevalence=prevalence, refused=refused)
            explanation = None
            if triage.priority != "not-assessable" and item.grey is not None:
                explanation = build_explanation(
                    # Copies, so that one explanation that is kept does not keep its batch.
                    judged.outputs["contributions"][row].copy(),
                    judged.logits[row].copy(),
                    self.run.findings,
                    self.run.policy.calibration,
                    self.run.preprocessing,
                    judged.lungs[row],
                    item.grey,
                )
            yield Prediction(
                item.path,
                item.sha256,
                given,
                triage,
                reasons,
                item.milliseconds + share_ms,
                explanation,
                doubts,
                self.pipeline.gate is not None,
                judged.distances[row] if judged.distances else None,
                judged.outputs["embedding"][row].copy() if embed else None,
                item.reduced,
            )


def _require_unchanged(folder: Path, run: FinishedRun) -> None:
    wanted = {ONNX_FILE: run.model_sha256}
    if run.has_segmenter:
        wanted[LUNGS_FILE] = run.lungs_sha256 or ""
    if run.gate is not None:
        wanted[GATE_FILE] = run.gate.sha256
    for name, sha256 in wanted.items():
        graph = folder / name
        if not graph.is_file() or hashlib.sha256(graph.read_bytes()).hexdigest() != sha256:
            msg = (
                f"{graph} is not the graph that this model came with: it is missing or was changed. "
                "Train or export again."
            )
            raise BundleError(msg)
