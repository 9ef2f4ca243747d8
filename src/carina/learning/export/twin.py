"""A finished run gets a twin in 8-bit integers: made on training images, measured on those that training stopped on."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.bundles.int8_twin import Int8Record, Parity, TwinLimits
from carina.bundles.run_folder import LUNGS_FILE, ONNX_FILE, open_run
from carina.bundles.writing import Twin
from carina.decisions.policy import Policy
from carina.learning.data.frames import Frames
from carina.learning.data.training_data import reopen_training_data
from carina.learning.export.quantise import METHOD, quantise
from carina.progress import Progress, no_progress
from carina.radiographs.preprocess import to_tensor
from carina.runtime.streams import read_ahead
from carina.storage.cache_folder import default_cache_folder

# More take longer and change little: docs/decisions/0133-int8.md.
ROUNDED_ON = 256
_BATCH = 16
_SEED = 0

Batches = Callable[[], Iterator[NDArray[np.float32]]]
# From the classifier, its twin, tensors, their findings and the policy to what the twin changes on each engine.
Measure = Callable[[Path, Path, Batches, NDArray[np.integer], Policy], tuple[Parity, ...]]


def make_twin(
    run: Path,
    *,
    measure: Measure,
    limits: TwinLimits | None = None,
    cache: Path | None = None,
    progress: Progress = no_progress,
) -> Twin:
    """Return the twin of a finished run's classifier, with what it was measured to change; no graph if that is much.

    Parameters
    ----------
    run
        A finished run. The data sets it was trained on must be where they were.
    measure
        Measures parity: `carina.evaluation.int8_parity.measure_parity`.
    limits
        What the twin may cost.
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
    finished, limits = open_run(run), limits or TwinLimits()
    _, data = reopen_training_data(run)
    lungs = run / LUNGS_FILE if finished.preprocessing.crop == "lungs" else None
    frames = Frames(finished.preprocessing, lungs, cache or default_cache_folder())
    # Some more than are needed: those without two lungs fall away.
    some = data.train_rows.sample(min(data.train_rows.height, 2 * ROUNDED_ON), seed=_SEED, shuffle=True)
    trained_on = shown(frames, some)[0][:ROUNDED_ON]
    measured, rows = shown(frames, data.stopping_rows)
    truth = np.array([finished.findings.index(finding) for finding in rows["finding"]])

    def tensors(greys: NDArray[np.uint8]) -> NDArray[np.float32]:
        return to_tensor(greys, finished.preprocessing.pixel_range)

    def batches() -> Iterator[NDArray[np.float32]]:
        return (tensors(measured[start : start + _BATCH]) for start in range(0, len(measured), _BATCH))

    with TemporaryDirectory(prefix="carina-int8-") as folder:
        made = Path(folder) / "model.int8.onnx"
        quantise(run / ONNX_FILE, tensors, trained_on, progress=progress).write(made)
        parity = measure(run / ONNX_FILE, made, batches, truth, finished.policy)
        graph = made.read_bytes() if all(each.within(limits) for each in parity) else None
    record = Int8Record(
        accepted=graph is not None,
        sha256=None if graph is None else hashlib.sha256(graph).hexdigest(),
        method=METHOD,
        rounded_on=len(trained_on),
        measured_on=f"{len(measured):,} images of the {finished.stopping_split} split of {data.name}",
        limits=limits,
        parity=parity,
    )
    return Twin(record, graph)


def shown(frames: Frames, rows: pl.DataFrame) -> tuple[NDArray[np.uint8], pl.DataFrame]:
    """Return what the network is shown of the rows that prediction would judge, and these rows."""
    frames.find_lungs(rows)
    kept = rows.filter(pl.Series(frames.assessable(rows)))
    greys = read_ahead(lambda image: frames.grey(*image), kept.select("path", "sha256").iter_rows(), ahead=8)
    return np.stack(list(greys)), kept
