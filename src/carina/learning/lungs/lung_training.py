"""Radiographs with lung masks become the segmenter: the story of ``carina lungs train``."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina._version import __version__
from carina.datasets.table_columns import columns_of
from carina.datasets.table_reading import read_table
from carina.errors import DataError, InputError
from carina.learning.backbone import build_network
from carina.learning.export.onnx_export import largest_output_difference
from carina.learning.lungs.lung_net import (
    LungTraining,
    build_lung_net,
    dice,
    export_lung_net,
    features_of,
    fit_lung_net,
)
from carina.learning.recipe import BackboneSettings
from carina.learning.training import ProgressOf
from carina.progress import Progress, no_progress
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.lungs import LUNG_GRAPH, LUNG_NET_SIZE, LungFinder
from carina.radiographs.preprocess import resize_grey, to_tensor
from carina.radiographs.radiograph import Radiograph
from carina.radiographs.read import read_radiograph
from carina.runtime.machine import describe_machine, library_versions, peak_memory_mb
from carina.storage.atomic import write_text
from carina.storage.seal import file_sha256

TABLE_FILE = "metadata.csv"
LUNGS_FILE = LUNG_GRAPH
DICE_FILE = "dice.csv"
HELD_OUT_SHARE = 0.20
# Images are kept for training at this size: the largest varied copy has 130 pixels a side.
_KEPT_SIZE = 256
_BATCH = 16
_PARITY_IMAGES = 16

_DICE_SCHEMA = {"image": pl.String, "patient": pl.Int64, "dice": pl.Float64, "two_lungs": pl.Boolean}


@dataclass(frozen=True, slots=True)
class LungsTrained:
    """What a training of the segmenter says of itself.

    Attributes
    ----------
    held_out_by
        How the images were chosen that it did not learn from.
    images, patients
        How many, ``trainable`` and ``held_out``.
    metadata_sha256
        Of the table that names the images.
    training
        Passes, batch size, rate and seed.
    weights, weights_sha256
        What the encoder started from; no hash for random weights.
    parameters
        Numbers in the network.
    lungs_sha256
        Of ``lungs.onnx``.
    graph_difference
        Largest difference between the probabilities of the Keras model and of the graph.
    seconds
        Wall time of each stage, and ``total``.
    peak_memory_mb, versions, machine, carina, command, finished
        Under which circumstances.
    """

    held_out_by: str
    images: dict[str, int]
    patients: dict[str, int]
    metadata_sha256: str
    training: dict[str, Any]
    weights: str
    weights_sha256: str | None
    parameters: int
    lungs_sha256: str
    graph_difference: float
    seconds: dict[str, float]
    peak_memory_mb: float
    versions: dict[str, str]
    machine: str
    carina: str
    command: str
    finished: str


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - started, 2)


def train_lungs(
    data: Path,
    folder: Path,
    *,
    weights: str = "imagenet",
    training: LungTraining | None = None,
    command: str = "",
    progress_of: ProgressOf | None = None,
) -> LungsTrained:
    """Train the segmenter, judge it on the held-out images, and return what the training says of itself.

    Writes ``lungs.onnx`` (input ``tensor``, output ``lung``) and ``dice.csv``: one row per held-out image with its
    name, a number for its patient, the Dice coefficient at the mask's own resolution, and whether
    two lungs were found. If they were not, the answer is no lungs, and its Dice is 0.

    Parameters
    ----------
    data
        A folder with ``metadata.csv``: see `read_lung_table`.
    folder
        An existing folder to write into.
    weights
        What the encoder starts from: ``imagenet``, ``none`` or a Keras ``.h5`` file.
    training
        Passes, rate and seed.
    command
        What was typed, for the record.
    progress_of
        Gives, for the name of a stage, what is told of its progress.

    Raises
    ------
    DataError
        If the table, an image or a mask is wrong; nothing has been trained then.
    ConfigurationError
        If the weights cannot be had or do not fit.
    BundleError
        If the exported graph is not the trained model.
    """
    training = training or LungTraining()
    tell = progress_of or (lambda _stage: no_progress)
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    with _timed(seconds, "read"):
        table, held_out_by = read_lung_table(data)
        greys, masks = _read_all(table, tell("Reading images"))
    with _timed(seconds, "build"):
        keras.utils.set_random_seed(training.seed)
        settings = BackboneSettings(weights=weights, trainable=True)
        network, described, weights_sha256 = build_network(settings, LUNG_NET_SIZE)
        model = build_lung_net(network)
    with _timed(seconds, "fit"):
        fit_lung_net(model, greys, masks, training, progress=tell("Training (batches)"))
    held_out = table.filter(~pl.col("trainable"))
    with _timed(seconds, "export"):
        export_lung_net(model, folder / LUNGS_FILE)
        tensors = to_tensor(_small(held_out.head(_PARITY_IMAGES)), "minus-one-one")
        difference = largest_output_difference(model, folder / LUNGS_FILE, tensors, output="lung")
        largest_output_difference(features_of(model), folder / LUNGS_FILE, tensors, output="features")
    with _timed(seconds, "judge"):
        judged = _judge(held_out, folder / LUNGS_FILE, tell("Judging held-out images"))
        write_text(folder / DICE_FILE, judged.write_csv())
    seconds["total"] = round(time.perf_counter() - started, 2)
    parts = {"trainable": table.filter("trainable"), "held_out": held_out}
    return LungsTrained(
        held_out_by=held_out_by,
        images={name: part.height for name, part in parts.items()},
        patients={name: part["patient"].n_unique() for name, part in parts.items()},
        metadata_sha256=file_sha256(data / TABLE_FILE),
        training=asdict(training),
        weights=described,
        weights_sha256=weights_sha256,
        parameters=model.count_params(),
        lungs_sha256=file_sha256(folder / LUNGS_FILE),
        graph_difference=difference,
        seconds=seconds,
        peak_memory_mb=round(peak_memory_mb(), 1),
        versions=library_versions(),
        machine=describe_machine(),
        carina=__version__,
        command=command,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def read_lung_table(data: Path) -> tuple[pl.DataFrame, str]:
    """Return the images with their masks, and how those were chosen that are held out.

    The table has the columns image and mask (absolute), name (as ``metadata.csv`` has it), patient, and trainable
    (bool).

    Parameters
    ----------
    data
        A folder with ``metadata.csv``: columns image, mask (paths from that folder), patient and, if some may not be
        learned from, trainable (1 or 0). Others are not looked at. Without trainable a fifth of the patients is held
        out, those whose SHA-256 of ``carina lungs`` + space + patient comes first.

    Raises
    ------
    DataError
        If the table is missing or damaged, a row is incomplete, an image or a patient is in both parts, or a part is
        empty.
    """
    path = data / TABLE_FILE
    read = read_table(path)
    table = read.cells.with_columns(read.rows)
    for column in ("image", "mask", "patient"):
        if column not in table.columns:
            msg = f"{path} has no column {column!r}. {columns_of(read)}"
            raise DataError(msg)
        # A patient who is not known could be one who is learned from.
        _refuse_rows(table, table[column].is_null(), path, f"it has no {column}. Complete or remove it.")
    _refuse_rows(table, table["image"].is_duplicated(), path, "the same image is in another row too. Keep one of them.")
    table, held_out_by = _with_trainable(table, path)
    part_of_patient = table.group_by("patient").agg(mixed=pl.col("trainable").n_unique() > 1)
    mixed = table.join(part_of_patient, on="patient", how="left", maintain_order="left")["mixed"]
    both = "its patient has both trainable and held-out images. Put all of a patient's images on one side."
    _refuse_rows(table, mixed, path, both)
    for part, rows in (("trainable", table["trainable"]), ("held-out", ~table["trainable"])):
        if not rows.any():
            msg = f"{path} has no {part} images. Both are needed, of different patients."
            raise DataError(msg)
    named = [pl.col(column).map_elements(lambda name: str(data / name), pl.String) for column in ("image", "mask")]
    return table.select(*named, "patient", "trainable", name="image"), held_out_by


def _with_trainable(table: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, str]:
    if "trainable" in table.columns:
        given = table["trainable"].fill_null("")
        _refuse_rows(table, ~given.is_in(["0", "1"]), path, "its trainable is neither 1 nor 0. Write one of them.")
        return table.with_columns(trainable=given == "1"), "the column trainable"
    patients = sorted(table["patient"].unique(), key=_order_key)
    held_out = patients[: max(1, round(HELD_OUT_SHARE * len(patients)))]
    return table.with_columns(trainable=~pl.col("patient").is_in(held_out)), "a fifth of the patients, by hash"


def _order_key(patient: str) -> str:
    return hashlib.sha256(f"carina lungs {patient}".encode()).hexdigest()


def _refuse_rows(table: pl.DataFrame, wrong: pl.Series, path: Path, what: str) -> None:
    if wrong.any():
        msg = f"{path}, row {table['row'].filter(wrong)[0]}: {what}"
        raise DataError(msg)


def _read_all(table: pl.DataFrame, progress: Progress) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Return what is learned from; what is held out is read too, so that no training ends on a bad file."""
    greys, masks = [], []
    for done, row in enumerate(table.iter_rows(named=True), start=1):
        radiograph, mask = _read_pair(row["image"], row["mask"])
        if row["trainable"]:
            greys.append(resize_grey(radiograph, _KEPT_SIZE))
            masks.append(resize_grey(mask, _KEPT_SIZE))
        progress(done, table.height)
    return greys, masks


def _read_pair(image: str, mask: str) -> tuple[Radiograph, Radiograph]:
    radiograph, lungs = _read(image), _read(mask)
    sizes = [f"{one.width} × {one.height}" for one in (lungs, radiograph)]
    if sizes[0] != sizes[1]:
        msg = f"{mask} has {sizes[0]} pixels, its image {sizes[1]}. A mask is as large as its image: draw it again."
        raise DataError(msg)
    if not _lung(lungs).any():
        msg = f"{mask} marks no lung. In a mask lungs are white (255) and the rest is black (0)."
        raise DataError(msg)
    return radiograph, lungs


def _read(path: str) -> Radiograph:
    try:
        return read_radiograph(Path(path))
    except InputError as error:
        msg = f"{path}: {error}"
        raise DataError(msg) from None


def _lung(mask: Radiograph) -> NDArray[np.bool_]:
    return np.asarray(mask.pixels > 0.5 * mask.white, dtype=np.bool_)


def _small(rows: pl.DataFrame) -> NDArray[np.uint8]:
    return np.stack([resize_grey(_read(path), LUNG_NET_SIZE) for path in rows["image"]])


def _judge(held_out: pl.DataFrame, graph: Path, progress: Progress) -> pl.DataFrame:
    """Return the Dice coefficient of each held-out image, by the graph that is shipped."""
    numbers: dict[str, int] = {}
    starts = range(0, held_out.height, _BATCH)
    found = LungFinder(graph).stream(list(_small(held_out[start : start + _BATCH])) for start in starts)
    answers = (lungs for batch in found for lungs in batch.lungs)
    rows = []
    for row, lungs in zip(held_out.iter_rows(named=True), answers, strict=True):
        truth = _lung(_read(row["mask"]))
        number = numbers.setdefault(row["patient"], len(numbers) + 1)
        rows.append((row["name"], number, round(dice(_at_size(lungs, truth), truth), 5), lungs is not None))
        progress(len(rows), held_out.height)
    return pl.DataFrame(rows, schema=_DICE_SCHEMA, orient="row")


def _at_size(lungs: Lungs | None, truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the lungs that were found in the pixels of the mask; nothing where there were no two."""
    if lungs is None:
        return np.zeros_like(truth)
    height, width = truth.shape
    grown = cv2.resize(lungs.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown >= 0.5, dtype=np.bool_)
