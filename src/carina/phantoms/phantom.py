"""Synthetic frontal chest radiographs: a demo and tests that need neither data nor a network.

A phantom is drawn as a film is taken. `anatomy` invents a patient and a position, `thorax` says what the rays cross,
`opacities` replaces air by fluid, `film` exposes and develops; this file puts the steps together and writes whole sets.
Only the air inside the lungs depends on the finding: anatomy, positioning, exposure and noise come from streams of
random numbers that never see it.
"""

import csv
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.errors import ConfigurationError
from carina.findings import COVID_19, NORMAL, VIRAL_PNEUMONIA
from carina.phantoms.anatomy import Patient, Pose, build_patient, build_pose
from carina.phantoms.canvas import build_canvas
from carina.phantoms.film import expose_film
from carina.phantoms.opacities import draw_opacities
from carina.phantoms.thorax import project_thorax
from carina.storage.atomic import whole_folder

Seed = int | Sequence[int]

PHANTOM_FINDINGS = (COVID_19, NORMAL, VIRAL_PNEUMONIA)
MIN_SIZE, MAX_SIZE = 64, 1024

# Each stream of random numbers has its own key, so that one more draw in one leaves the others as they were.
_ANATOMY, _POSE, _EXPOSURE, _OPACITY, _SET = range(5)

_SHARES = {COVID_19: 0.30, NORMAL: 0.45, VIRAL_PNEUMONIA: 0.25}
_FOLDERS = {COVID_19: "COVID", NORMAL: "Normal", VIRAL_PNEUMONIA: "Viral Pneumonia"}
_COLUMNS = ("path", "finding", "patient", "source", "view", "age", "sex")


class Phantom(NamedTuple):
    """A synthetic radiograph.

    Attributes
    ----------
    pixels
        uint8 (size, size), range [0, 255], bone white and air black.
    lung_mask
        bool (size, size), True inside the lungs, same geometry as `pixels`.
    """

    pixels: NDArray[np.uint8]
    lung_mask: NDArray[np.bool_]


def draw_phantom(
    finding: str,
    *,
    seed: Seed,
    patient_seed: Seed | None = None,
    size: int = 256,
    difficulty: float = 0.5,
) -> Phantom:
    """Return a synthetic frontal chest radiograph and its lung mask.

    The same arguments give the same bytes, in whatever order phantoms are drawn. With the same seeds and
    another finding only the lungs differ.

    Parameters
    ----------
    finding
        "COVID-19", "Normal" or "Viral Pneumonia".
    seed
        Fixes positioning, exposure, noise and the opacities. Integers >= 0.
    patient_seed
        Fixes the anatomy, the age, the sex and the source; `seed` when None. Two seeds with one patient
        seed are two radiographs of one person. Integers >= 0.
    size
        Pixels to a side, range [64, 1024].
    difficulty
        Range [0, 1]. With difficulty opacities become fainter and what imitates them becomes more frequent.

    Raises
    ------
    ConfigurationError
        If the finding is unknown, or a seed, the size or the difficulty is out of range.
    """
    _require_drawable(finding, seed, patient_seed, size, difficulty)
    return _draw(finding, seed, seed if patient_seed is None else patient_seed, size, difficulty)[0]


def write_phantoms(
    out: str | PathLike[str],
    *,
    count: int = 600,
    size: int = 256,
    difficulty: float = 0.5,
    seed: int = 1234,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write phantoms in the layout of the COVID-19 Radiography Database; return the path of manifest.csv.

    `out` appears whole or not at all: ``COVID/images/COVID-1.png``, ``COVID/masks/COVID-1.png`` (0 and 255),
    likewise ``Normal`` and ``Viral Pneumonia``, and ``manifest.csv`` with the columns path (relative to
    `out`), finding, patient, source, view, age and sex. One patient in six has two or three radiographs,
    all with the same finding.

    Parameters
    ----------
    out
        The folder to be. It must not exist, or be empty.
    count
        Number of radiographs, >= 3; 30 % COVID-19, 45 % Normal, 25 % Viral Pneumonia.
    size, difficulty
        As in `draw_phantom`.
    seed
        Fixes the whole set. An integer >= 0.
    progress
        Called with the number of radiographs written and `count`, from one thread.

    Raises
    ------
    ConfigurationError
        If `out` already holds something, or `count`, `size`, `difficulty` or `seed` is out of range.
    OSError
        If the folder cannot be written or the disk is full.
    """
    out = Path(out)
    _require_drawable(NORMAL, seed, None, size, difficulty)
    if count < len(PHANTOM_FINDINGS):
        msg = f"A set of phantoms needs a count of at least {len(PHANTOM_FINDINGS)}. Received: {count}."
        raise ConfigurationError(msg)
    plan = _plan_set(count, seed)
    with whole_folder(out, what="phantoms") as folder:
        for name in _FOLDERS.values():
            (folder / name / "images").mkdir(parents=True)
            (folder / name / "masks").mkdir()
        # Two threads draw a fifth faster than one; more only wait for the interpreter's lock. Processes would
        # draw half as fast again, but a caller's script without a __main__ guard cannot start them.
        with ThreadPoolExecutor(2) as pool:
            rows = []
            try:
                for row in pool.map(lambda order: _write_one(folder, order, size, difficulty), plan):
                    rows.append(row)
                    if progress is not None:
                        progress(len(rows), count)
            except BaseException:  # Ctrl-C must not wait until the whole set is drawn
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows(rows)
    return out / "manifest.csv"


class _Order(NamedTuple):
    """One radiograph that is to be drawn."""

    finding: str
    number: int
    patient: str
    seed: tuple[int, int, int]
    patient_seed: tuple[int, int]


def _plan_set(count: int, seed: int) -> list[_Order]:
    """Return what to draw: patients of one, two or three radiographs, finding by finding."""
    rng = _random(_SET, seed)
    covid, viral = (max(1, round(count * _SHARES[finding])) for finding in (COVID_19, VIRAL_PNEUMONIA))
    counts = {COVID_19: covid, NORMAL: count - covid - viral, VIRAL_PNEUMONIA: viral}
    plan: list[_Order] = []
    patients = itertools.count(1)
    for finding, wanted in counts.items():
        number = 0
        while number < wanted:
            patient = next(patients)
            radiographs = int(rng.choice([1, 2, 3], p=[5 / 6, 1 / 9, 1 / 18]))
            for visit in range(min(radiographs, wanted - number)):
                number += 1
                plan.append(_Order(finding, number, f"P{patient:05d}", (seed, patient, visit), (seed, patient)))
    return plan


def _write_one(folder: Path, order: _Order, size: int, difficulty: float) -> tuple[str, ...]:
    """Write a radiograph and its mask and return its row of the manifest."""
    phantom, patient, pose = _draw(order.finding, order.seed, order.patient_seed, size, difficulty)
    name = _FOLDERS[order.finding]
    path = f"{name}/images/{name}-{order.number}.png"
    _write_png(folder / path, phantom.pixels)
    _write_png(folder / name / "masks" / f"{name}-{order.number}.png", phantom.lung_mask.astype(np.uint8) * 255)
    return path, order.finding, order.patient, patient.source, pose.view, str(patient.age), patient.sex


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    # Encoded in memory and written by Python: cv2.imwrite answers a full disk with False, not with an error.
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    path.write_bytes(encoded.tobytes())


def _require_drawable(finding: str, seed: Seed, patient_seed: Seed | None, size: int, difficulty: float) -> None:
    if finding not in PHANTOM_FINDINGS:
        msg = f"No phantom is known for the finding {finding!r}. Choose one of: {', '.join(PHANTOM_FINDINGS)}."
        raise ConfigurationError(msg)
    if not MIN_SIZE <= size <= MAX_SIZE:
        msg = f"A phantom's size must be from {MIN_SIZE} to {MAX_SIZE} pixels. Received: {size}."
        raise ConfigurationError(msg)
    if not 0 <= difficulty <= 1:
        msg = f"A phantom's difficulty must be from 0 (easy) to 1 (hard). Received: {difficulty}."
        raise ConfigurationError(msg)
    for number in (*_words(seed), *_words(0 if patient_seed is None else patient_seed)):
        if number < 0:
            msg = f"A phantom's seed must hold integers of 0 or more. Received: {number}."
            raise ConfigurationError(msg)


def _words(seed: Seed) -> tuple[int, ...]:
    return (int(seed),) if isinstance(seed, int | np.integer) else tuple(int(word) for word in seed)


def _random(stream: int, seed: Seed) -> np.random.Generator:
    """Return the random numbers of one stream; the length keeps the seeds 7 and (7, 0) apart."""
    words = _words(seed)
    return np.random.default_rng(np.random.SeedSequence([len(words), *words], spawn_key=(stream,)))


def _draw(finding: str, seed: Seed, patient_seed: Seed, size: int, difficulty: float) -> tuple[Phantom, Patient, Pose]:
    """Return a phantom with who was drawn and how positioned."""
    patient = build_patient(_random(_ANATOMY, patient_seed))
    pose = build_pose(_random(_POSE, seed), difficulty)
    thorax = project_thorax(patient, pose, build_canvas(pose, size))
    share = draw_opacities(finding, thorax, _random(_OPACITY, seed), difficulty)
    pixels, field = expose_film(thorax, share, _random(_EXPOSURE, seed), difficulty)
    return Phantom(pixels, thorax.lung_mask & field), patient, pose
