"""Radiographs become the gate: the segmenter is shown them as they are, varied, and made odd on purpose."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import call
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.bundles.run_folder import GateRecord
from carina.datasets.images import read_whole
from carina.errors import DataError, InputError
from carina.learning.gate.gate_fitting import VARIED, fit_gate
from carina.learning.recipe import GateSettings
from carina.phantoms.not_chests import draw_not_chest, draw_surroundings
from carina.progress import Progress, no_progress
from carina.radiographs.corruptions import ODDITIES, make_odd, mirror_sideways, vary_harmless
from carina.radiographs.gate import OTHER, RADIOGRAPH, Gate, write_gate
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.lungs import LungFinder
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.read import read_radiograph
from carina.runtime.streams import batched, carry, read_ahead
from carina.storage.atomic import whole_file
from carina.storage.seal import file_sha256
from carina.wording import counted

Grey = NDArray[np.uint8]

_BATCH = 16
# Kinds of random numbers, each with a key of its own.
_PLAN, _ALTERED, _DRAWN = range(3)


def train_gate(
    training_rows: pl.DataFrame,
    calibration_rows: pl.DataFrame,
    lung_graph: Path,
    out: Path,
    *,
    whole_size: int = 224,
    settings: GateSettings | None = None,
    negatives: Path | None = None,
    progress: Progress = no_progress,
) -> tuple[Gate, GateRecord]:
    """Write a gate that lets the calibration radiographs through; return it, and how it came to be.

    Parameters
    ----------
    training_rows, calibration_rows
        Rows of a manifest, with the columns path, sha256, finding and source: frontal chest radiographs.
    lung_graph
        ``lungs.onnx``; the gate is for this segmenter alone.
    out
        The file to write, ``gate.npz``.
    whole_size
        The size that radiographs are brought to first, as in prediction (``preprocessing.read_size``).
    settings
        Numbers, acceptance and seed.
    negatives
        A folder of images that must be refused, in addition to those that are made and drawn here.
    progress
        Told how many images were shown to the segmenter.

    Raises
    ------
    DataError
        If there are too few radiographs, an image is gone or was changed since the import, or the folder of negatives
        holds no readable image.
    BundleError
        If the segmenter is missing, damaged, or gives no features.
    """
    started = time.perf_counter()
    # The threads here are the parallelism; OpenCV's own would fight them and the engine for the same cores.
    cv2.setNumThreads(1)
    settings = settings or GateSettings()
    chosen = choose_radiographs(training_rows, settings.radiographs, seed=settings.seed)
    others, unreadable = _read_folder(negatives, whole_size)
    drawn = round(settings.drawn * chosen.height)
    each = 1 + settings.varied + settings.oddities
    finder, total = LungFinder(lung_graph), chosen.height * (1 + each) + calibration_rows.height + drawn + len(others)
    shown = _Shown(finder, progress, total)

    calibration, _ = shown.features_of(_reading(calibration_rows, whole_size))
    features, lungs = shown.features_of(_reading(chosen, whole_size))
    kinds, origins = [RADIOGRAPH] * chosen.height, list(range(chosen.height))
    plan = [_plan(sha256, settings) for sha256 in chosen["sha256"]]
    jobs = (
        partial(_altered, chosen, place, lungs[place], plan[place], whole_size, settings) for place in range(len(plan))
    )
    altered, _ = shown.features_of(jobs)
    for place, odd in enumerate(plan):
        kinds += [RADIOGRAPH, *[VARIED] * settings.varied, *odd]
        origins += [place] * each
    given: Iterator[Callable[[], list[Grey]]] = (partial(list, group) for group in batched(others, _BATCH))
    strangers, _ = shown.features_of([*_drawing(drawn, whole_size, settings.seed), *given])
    kinds += [OTHER] * len(strangers)
    origins += [-1] * len(strangers)

    gate, dropped = fit_gate(
        np.concatenate([part for part in (features, altered, strangers) if len(part)]),
        kinds,
        np.array(origins, np.int64),
        calibration,
        acceptance=settings.acceptance,
        lungs_sha256=file_sha256(lung_graph),
    )
    with whole_file(out) as temporary:
        write_gate(temporary, gate)
    record = GateRecord(
        sha256=file_sha256(out),
        radiographs=chosen.height,
        images=dict(sorted(Counter(kinds).items())),
        dropped=dropped,
        negatives=len(others),
        negatives_unreadable=unreadable,
        calibration_images=gate.calibration_images,
        acceptance=gate.acceptance,
        reached=gate.reached,
        largest_strangeness=gate.largest_strangeness,
        seconds=round(time.perf_counter() - started, 2),
    )
    return gate, record


def accepted_rows(
    gate: Gate,
    rows: pl.DataFrame,
    lung_graph: Path,
    *,
    whole_size: int = 224,
    progress: Progress = no_progress,
) -> NDArray[np.bool_]:
    """Return which images of a manifest the gate lets through: bool ``(n,)``; see `train_gate` for the parameters.

    Raises
    ------
    DataError
        If an image is gone or was changed since the import.
    """
    finder, done = LungFinder(lung_graph), 0
    accepted: list[bool] = []
    batches = read_ahead(call, _reading(rows, whole_size), ahead=4)
    for wholes, found in carry(finder.stream, ((wholes, wholes) for wholes in batches)):
        accepted += [verdict.accepted for verdict in gate.judge(found.features, wholes, found.lungs)]
        done += len(wholes)
        progress(done, rows.height)
    return np.array(accepted, np.bool_)


def choose_radiographs(rows: pl.DataFrame, count: int, *, seed: int) -> pl.DataFrame:
    """Return at most `count` rows, as evenly from findings and sources as they have them, whatever the order of rows.

    A finding or a source with few images is taken whole: what is rare here, such as small children or portable films,
    must not be strange to the gate.
    """
    keyed = rows.with_columns(
        key=pl.Series(
            [hashlib.sha256(f"{seed} {sha256}".encode()).hexdigest() for sha256 in rows["sha256"]], dtype=pl.String
        )
    )
    groups = keyed.unique("sha256", keep="any").sort("key").partition_by("finding", "source")
    taken, left = [], count
    groups.sort(key=lambda group: (group.height, group["key"][0]))
    for number, group in enumerate(groups):
        taken.append(group.head(left // (len(groups) - number)))
        left -= taken[-1].height
    return pl.concat(taken).sort("key").drop("key") if taken else rows


class _Shown:
    """The segmenter, and how many images it was shown."""

    def __init__(self, finder: LungFinder, progress: Progress, total: int) -> None:
        self._finder, self._progress, self._total, self._done = finder, progress, total, 0

    def features_of(self, jobs: Iterable[Callable[[], list[Grey]]]) -> tuple[NDArray[np.float32], list[Lungs | None]]:
        """Return features and lungs of all images of all jobs, in order; a job makes a batch of images."""
        features: list[NDArray[np.float32]] = []
        lungs: list[Lungs | None] = []
        for found in self._finder.stream(read_ahead(call, jobs, ahead=4)):
            if found.lungs:
                features.append(found.features)
            lungs += found.lungs
            self._done += len(found.lungs)
            self._progress(self._done, self._total)
        return np.concatenate(features) if features else np.zeros((0, 0), np.float32), lungs


def _reading(rows: pl.DataFrame, size: int) -> Iterator[Callable[[], list[Grey]]]:
    for batch in batched(rows.select("path", "sha256").iter_rows(), _BATCH):
        yield lambda batch=batch: [read_whole(path, sha256, size) for path, sha256 in batch]  # type: ignore[misc]


def _plan(sha256: str, settings: GateSettings) -> tuple[str, ...]:
    """Return the kinds of oddity that a radiograph is shown with."""
    rng = np.random.default_rng([settings.seed, int(sha256[:16], 16), _PLAN])
    return tuple(rng.choice(ODDITIES, min(settings.oddities, len(ODDITIES)), replace=False).tolist())


def _altered(
    rows: pl.DataFrame, place: int, lungs: Lungs | None, odd: Sequence[str], size: int, settings: GateSettings
) -> list[Grey]:
    """Return a radiograph mirrored left to right, its harmlessly varied copies, and then its odd ones."""
    images = rows.select("path", "sha256")
    path, sha256 = images.row(place)
    whole = read_whole(path, sha256, size)
    # Seeded by the image, so that order and threads do not matter.
    rng = np.random.default_rng([settings.seed, int(sha256[:16], 16), _ALTERED])
    # Which way round a film is must not be strange: mirrored ones count as much as radiographs as they are.
    made = [mirror_sideways(whole), *(vary_harmless(whole, lungs, rng) for _ in range(settings.varied))]
    for kind in odd:
        neighbours: list[Grey] = []
        if kind == "several":
            following = (images.row((place + step) % rows.height) for step in (1, 2))
            neighbours = [read_whole(path, sha256, size) for path, sha256 in following]
        # Half of them varied first, so that no oddity is known by the absence of variation. A crop needs to know where
        # the lungs are.
        base = vary_harmless(whole, lungs, rng) if kind != "cropped" and rng.random() < 0.5 else whole
        picture = draw_surroundings(rng, size) if kind == "embedded" else None
        made.append(make_odd(kind, base, rng, lungs=lungs, others=neighbours, picture=picture))
    return made


def _drawing(count: int, size: int, seed: int) -> Iterator[Callable[[], list[Grey]]]:
    def draw(numbers: list[int]) -> list[Grey]:
        return [draw_not_chest(np.random.default_rng([seed, number, _DRAWN]), size) for number in numbers]

    for numbers in batched(range(count), _BATCH):
        yield partial(draw, numbers)


def _read_folder(folder: Path | None, size: int) -> tuple[list[Grey], int]:
    """Return the readable images of a folder and all below it, and how many files were no such."""
    if folder is None:
        return [], 0
    images, unreadable = [], 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        try:
            images.append(resize_grey(read_radiograph(path), size))
        except InputError:
            unreadable += 1
    if not images:
        others = counted(unreadable, "other file")
        msg = f"{folder} holds no readable image ({others}). Name a folder of images to be refused."
        raise DataError(msg)
    return images, unreadable
