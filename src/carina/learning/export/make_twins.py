"""A finished run gets twins in other precisions: made on training images, fitted and tried on the stopping split."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.bundles.run_folder import GATE_FILE, LUNGS_FILE, ONNX_FILE, FinishedRun, open_run
from carina.bundles.twin import INT8_FILE, Margins, Trial, Twin, TwinPrecision
from carina.bundles.verification import golden_engine
from carina.bundles.writing import Twins
from carina.datasets.manifest import labels_of, open_dataset
from carina.decisions.policy import Policy, fit_policy
from carina.learning.data.frames import Frames
from carina.learning.data.training_data import TrainingData, reopen_training_data
from carina.learning.export.quantise import METHOD, quantise
from carina.learning.gate.gate_training import accepted_rows
from carina.learning.recipe import Recipe
from carina.progress import Progress, no_progress
from carina.radiographs.gate import read_gate
from carina.radiographs.preprocess import to_tensor
from carina.runtime.engine import Backend, Engine, available_precisions, installed_backends, load_engine
from carina.runtime.streams import read_ahead
from carina.storage.cache_folder import default_cache_folder

_log = logging.getLogger(__name__)
# More take longer and change little: docs/decisions/0133-int8.md.
ROUNDED_ON = 256
_BATCH = 16
_SEED = 0

Judged = tuple[NDArray[np.floating], Policy]
# From logits and policy of classifier and twin, truth and groups to what the twin reaches: `carina.evaluation`.
Try = Callable[..., Trial]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the network is shown of images that prediction would judge, uint8 ``(n, size, size)``, and what they are."""

    greys: NDArray[np.uint8]
    truth: NDArray[np.int64]
    groups: NDArray[np.int64]
    of: str


def make_twins(
    run: Path,
    *,
    try_twin: Try,
    margins: Margins | None = None,
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> Twins:
    """Return a finished run's classifier in 8-bit integers, and in bf16 where this machine computes it.

    Each gets a policy of its own, fitted to its own logits as that of the classifier was, and is refused where it is
    then worse by more than the margins on the images of the stopping split. What it reaches on the test split of the
    first data set is written down and decides nothing.

    Parameters
    ----------
    run
        A finished run. The data sets it was trained on must be where they were.
    try_twin
        `carina.evaluation.twin_trial.try_twin`.
    margins
        By how much a twin may be worse.
    cache
        The folder that holds all caches; by default `carina.storage.cache_folder.default_cache_folder`.
    progress
        Told how much of the quantiser's work is done.

    Raises
    ------
    BundleError
        If the run is not finished, or its graph has nothing to compute in integers.
    DataError
        If its data sets are gone or have changed.
    """
    finished, margins = open_run(run), margins or Margins()
    recipe, data = reopen_training_data(run)
    lungs = run / LUNGS_FILE if finished.preprocessing.crop == "lungs" else None
    frames = Frames(finished.preprocessing, lungs, cache or default_cache_folder())
    # Some more than are needed: those without two lungs fall away.
    some = data.train_rows.sample(min(data.train_rows.height, 2 * ROUNDED_ON), seed=_SEED, shuffle=True)
    trained_on = shown(frames, some)[0][:ROUNDED_ON]
    fitted = _judged_rows(run, finished, frames, data.stopping_rows, f"the {finished.stopping_split} split")
    test = _test_rows(run, finished, frames, data)
    with TemporaryDirectory(prefix="carina-int8-") as folder:
        graph = Path(folder) / INT8_FILE
        quantised = quantise(run / ONNX_FILE, finished.preprocessing.pixel_range, trained_on, progress=progress)
        quantised.write(graph)
        trying = _Trying(run, finished, recipe, margins, try_twin, fitted, test)
        twins = [trying.twin("int8", graph, METHOD, len(trained_on))]
        if any("bf16" in available_precisions(backend) for backend in installed_backends()):
            twins.append(trying.twin("bf16", run / ONNX_FILE, "the same graph, rounded by the processor", 0))
        for each in twins:
            _log.info("%s", each.in_words())
        return Twins(tuple(twins), graph.read_bytes() if twins[0].accepted else None)


@dataclass(frozen=True, slots=True)
class _Trying:
    run: Path
    finished: FinishedRun
    recipe: Recipe
    margins: Margins
    try_twin: Try
    fitted: _Shown
    test: _Shown | None

    def twin(self, precision: TwinPrecision, graph: Path, method: str, rounded_on: int) -> Twin:
        """Return a twin with its policy, tried on each engine that can compute it."""
        made_by = golden_engine(precision)
        backends: Sequence[Backend] = [
            each for each in installed_backends() if precision == "int8" or precision in available_precisions(each)
        ]
        after = {each: load_engine(graph, backend=each, precision=precision) for each in backends}
        policy = self._policy(self._logits(after[made_by], self.fitted))
        before = load_engine(self.run / ONNX_FILE)

        def trials(images: _Shown) -> tuple[Trial, ...]:
            reference = self._logits(before, images), self.finished.policy
            return tuple(
                self.try_twin(
                    reference, (self._logits(engine, images), policy), images.truth, images.groups, engine=engine.name
                )
                for engine in after.values()
            )

        tried = trials(self.fitted)
        accepted = all(each.within(self.margins) for each in tried)
        hashed = accepted and precision == "int8"
        return Twin(
            precision=precision,
            accepted=accepted,
            sha256=hashlib.sha256(graph.read_bytes()).hexdigest() if hashed else None,
            policy=policy if accepted else None,
            method=method,
            rounded_on=rounded_on,
            measured_on=self.fitted.of,
            margins=self.margins,
            trials=tried,
            tested_on=None if self.test is None else self.test.of,
            tests=() if self.test is None else trials(self.test),
        )

    def _logits(self, engine: Engine, images: _Shown) -> NDArray[np.float32]:
        parts = (images.greys[start : start + _BATCH] for start in range(0, len(images.greys), _BATCH))
        pixel_range = self.finished.preprocessing.pixel_range
        given = (part if engine.takes_bytes else to_tensor(part, pixel_range) for part in parts)
        return np.concatenate([outputs["logits"] for outputs in engine.stream(given)])

    def _policy(self, logits: NDArray[np.float32]) -> Policy:
        """Return the policy by the recipe's rules, on the same images as the classifier's."""
        point = self.recipe.operating_point.model_copy(update={"finding": self.finished.policy.flag_finding})
        return fit_policy(
            logits,
            self.fitted.truth,
            self.finished.findings,
            point.rule_for(self.finished.findings),
            self.recipe.decisions,
            chosen_on=self.finished.operating_point.chosen_on,
            groups=self.fitted.groups,
        )


def _judged_rows(run: Path, finished: FinishedRun, frames: Frames, rows: pl.DataFrame, of: str) -> _Shown:
    """Return what the network is shown of those rows that prediction would judge: the gate's word counts, too."""
    greys, kept = shown(frames, rows)
    if finished.gate is not None:
        gate, size = read_gate(run / GATE_FILE), finished.preprocessing.read_size
        accepted = accepted_rows(gate, kept, run / LUNGS_FILE, whole_size=size)
        greys, kept = greys[accepted], kept.filter(pl.Series(accepted))
    truth = labels_of(kept, finished.findings).astype(np.int64)
    return _Shown(greys, truth, kept["group"].to_numpy().astype(np.int64), f"{len(kept):,} images of {of}")


def _test_rows(run: Path, finished: FinishedRun, frames: Frames, data: TrainingData) -> _Shown | None:
    first = open_dataset(data.datasets[0].folder)
    rows = first.rows("test").filter(pl.col("finding").is_in(finished.findings))
    known = rows["finding"].n_unique() if rows.height else 0
    if known < 2 or finished.policy.flag_finding not in rows["finding"].to_list():
        return None
    return _judged_rows(run, finished, frames, rows, f"the test split of {first.folder.name}")


def shown(frames: Frames, rows: pl.DataFrame) -> tuple[NDArray[np.uint8], pl.DataFrame]:
    """Return what the network is shown of the rows that have two lungs, where lungs are cropped, and these rows."""
    frames.find_lungs(rows)
    kept = rows.filter(pl.Series(frames.assessable(rows)))
    greys = read_ahead(lambda image: frames.grey(*image), kept.select("path", "sha256").iter_rows(), ahead=8)
    return np.stack(list(greys)), kept
