"""Radiographs become the gate: the segmenter is shown them as they are, varied, and made odd on purpose."""

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.datasets.images import read_whole
from carina.datasets.not_chests import draw_not_chest, draw_surroundings
from carina.errors import DataError, InputError
from carina.learning.gate_fitting import VARIED, fit_gate
from carina.progress import Progress, no_progress
from carina.radiographs.gate import OTHER, RADIOGRAPH, Gate
from carina.radiographs.lungs import LungFinder, Lungs
from carina.radiographs.oddities import ODDITIES, make_odd, mirror_sideways, vary_harmless
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.read import read_radiograph

Grey = NDArray[np.uint8]

_BATCH = 16
# Kinds of random numbers, each with a key of its own.
_PLAN, _ALTERED, _DRAWN = range(3)


@dataclass(frozen=True, slots=True)
class GateTraining:
    """How the gate is learned.

    Attributes
    ----------
    radiographs
        Training radiographs used at most, evenly from findings and sources.
    varied
        Harmlessly varied copies of each.
    oddities
        Kinds of oddity that each is shown with, chosen for it.
    drawn
        Drawn images of other things for each radiograph.
    acceptance
        The share of radiographs that is to be let through; chosen on calibration radiographs.
    seed
        Of choices and variations.
    """

    radiographs: int = 1500
    varied: int = 2
    oddities: int = 3
    drawn: float = 0.5
    acceptance: float = 0.995
    seed: int = 1234


@dataclass(frozen=True, slots=True)
class GateTrained:
    """What a training of the gate says of itself.

    Attributes
    ----------
    radiographs
        Training radiographs used.
    images
        Training images of each kind made from them; "radiograph" holds each also mirrored left to right.
    dropped
        Training radiographs left out since they themselves looked like another kind.
    negatives, negatives_unreadable
        Images of the folder of negatives that were used, and that could not be read.
    calibration_images
        Radiographs that the line was drawn by.
    acceptance, reached
        The share of radiographs to be let through, and the share of the calibration radiographs that is.
    largest_strangeness
        The line; see `carina.radiographs.gate.Gate`.
    seconds
        Wall time.
    """

    radiographs: int
    images: dict[str, int]
    dropped: int
    negatives: int
    negatives_unreadable: int
    calibration_images: int
    acceptance: float
    reached: float
    largest_strangeness: float
    seconds: float


def train_gate(
    training_rows: pl.DataFrame,
    calibration_rows: pl.DataFrame,
    lung_graph: Path,
    *,
    whole_size: int = 224,
    training: GateTraining | None = None,
    negatives: Path | None = None,
    progress: Progress = no_progress,
) -> tuple[Gate, GateTrained]:
    """Return a gate that lets the calibration radiographs through, and how it came to be.

    Parameters
    ----------
    training_rows, calibration_rows
        Rows of a manifest, with the columns path, sha256, finding and source: frontal chest radiographs.
    lung_graph
        ``lungs.onnx``; the gate is for this segmenter alone.
    whole_size
        The size that radiographs are brought to first, as in prediction (``preprocessing.read_size``).
    training
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
    training = training or GateTraining()
    chosen = choose_radiographs(training_rows, training.radiographs, seed=training.seed)
    others, unreadable = _read_folder(negatives, whole_size)
    drawn = round(training.drawn * chosen.height)
    each = 1 + training.varied + training.oddities
    finder, total = LungFinder(lung_graph), chosen.height * (1 + each) + calibration_rows.height + drawn + len(others)
    shown = _Shown(finder, progress, total)

    calibration, _ = shown.features_of(_reading(calibration_rows, whole_size))
    features, lungs = shown.features_of(_reading(chosen, whole_size))
    kinds, origins = [RADIOGRAPH] * chosen.height, list(range(chosen.height))
    plan = [_plan(sha256, training) for sha256 in chosen["sha256"]]
    jobs = (
        partial(_altered, chosen, place, lungs[place], plan[place], whole_size, training) for place in range(len(plan))
    )
    altered, _ = shown.features_of(jobs)
    for place, odd in enumerate(plan):
        kinds += [RADIOGRAPH, *[VARIED] * training.varied, *odd]
        origins += [place] * each
    strangers, _ = shown.features_of([*_drawing(drawn, whole_size, training.seed), *_in_groups(others)])
    kinds += [OTHER] * len(strangers)
    origins += [-1] * len(strangers)

    gate, dropped = fit_gate(
        np.concatenate([part for part in (features, altered, strangers) if len(part)]),
        kinds,
        np.array(origins, np.int64),
        calibration,
        acceptance=training.acceptance,
        lungs_sha256=hashlib.sha256(lung_graph.read_bytes()).hexdigest(),
    )
    facts = GateTrained(
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
    return gate, facts


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
        features, lungs = [], []
        with ThreadPoolExecutor(2) as pool:
            for found, seen in self._finder.stream_with_features(_ahead(jobs, pool)):
                if len(seen):
                    features.append(seen)
                lungs += found
                self._done += len(found)
                self._progress(self._done, self._total)
        return np.concatenate(features) if features else np.zeros((0, 0), np.float32), lungs


def _ahead(jobs: Iterable[Callable[[], list[Grey]]], pool: ThreadPoolExecutor) -> Iterator[list[Grey]]:
    """Yield what the jobs make, in order, the next ones being worked on meanwhile."""
    remaining = iter(jobs)
    waiting: deque[Future[list[Grey]]] = deque(pool.submit(job) for job in islice(remaining, 4))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(job) for job in islice(remaining, 1))


def _reading(rows: pl.DataFrame, size: int) -> Iterator[Callable[[], list[Grey]]]:
    images = list(rows.select("path", "sha256").iter_rows())
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        yield lambda batch=batch: [read_whole(path, sha256, size) for path, sha256 in batch]  # type: ignore[misc]


def _plan(sha256: str, training: GateTraining) -> tuple[str, ...]:
    """Return the kinds of oddity that a radiograph is shown with."""
    rng = np.random.default_rng([training.seed, int(sha256[:16], 16), _PLAN])
    return tuple(rng.choice(ODDITIES, min(training.oddities, len(ODDITIES)), replace=False).tolist())


def _altered(
    rows: pl.DataFrame, place: int, lungs: Lungs | None, odd: Sequence[str], size: int, training: GateTraining
) -> list[Grey]:
    """Return a radiograph mirrored left to right, its harmlessly varied copies, and then its odd ones."""
    images = rows.select("path", "sha256")
    path, sha256 = images.row(place)
    whole = read_whole(path, sha256, size)
    # Seeded by the image, so that order and threads do not matter.
    rng = np.random.default_rng([training.seed, int(sha256[:16], 16), _ALTERED])
    # Which way round a film is must not be strange: mirrored ones count as much as radiographs as they are.
    made = [mirror_sideways(whole), *(vary_harmless(whole, lungs, rng) for _ in range(training.varied))]
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
    def draw(numbers: range) -> list[Grey]:
        return [draw_not_chest(np.random.default_rng([seed, number, _DRAWN]), size) for number in numbers]

    for start in range(0, count, _BATCH):
        yield partial(draw, range(start, min(start + _BATCH, count)))


def _in_groups(images: Sequence[Grey]) -> Iterator[Callable[[], list[Grey]]]:
    for start in range(0, len(images), _BATCH):
        yield partial(list, images[start : start + _BATCH])


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
        msg = f"{folder} holds no readable image ({unreadable} other files). Name a folder of images to be refused."
        raise DataError(msg)
    return images, unreadable
