"""What the gate lets through and what it refuses, on images that it was not made with.

    python benchmarks/gate.py DATASET LUNGS.onnx OUT.json [--external DATASET]... [--laterals FOLDER]
        [--packages SITE-PACKAGES] [--per-kind 300] [--sheets DIR] [--gate GATE.npz]

trains a gate on the data set's train split, draws its lines by the calibration split, and counts on the test split, on
external data sets, on every oddity made of test radiographs, and on kinds of images that it never saw: radiographs at
45°, pairs of films, side views, photographs, and slices of other modalities. The last two are taken from whichever of
scikit-image, scikit-learn, Matplotlib, PyWavelets, mahotas, pydicom, nilearn and DIPY are installed here or in
`--packages`. `--laterals` is a folder with metadata.csv (file, patient, view), of which the side views (L) of the
development half of patients are taken. `--sheets` writes contact sheets of what was judged wrongly: of patients, so not
to be shared. `--gate` judges with a gate that was written before, or writes the one that is trained there.
"""

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.datasets.choice import half_of
from carina.datasets.images import read_whole
from carina.datasets.manifest import Dataset, open_dataset
from carina.errors import InputError
from carina.learning.gate.gate_training import train_gate
from carina.phantoms.not_chests import draw_not_chest, draw_surroundings
from carina.radiographs.corruptions import (
    ODDITIES,
    make_odd,
    mirror_sideways,
    vary_harmless,
    whiten_lung,
)
from carina.radiographs.gate import OTHER, REASONS, Gate, Verdict, read_gate
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.lungs import LungFinder
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.radiograph import Radiograph
from carina.radiographs.read import read_radiograph
from carina.runtime.machine import describe_machine
from carina.runtime.streams import batched, carry
from carina.statistics.proportion import wilson_bounds

Grey = NDArray[np.uint8]
SIZE = 224
SEED = 4321
CROPS = 4
PHOTOGRAPHS = {
    "skimage": ("data/*.png", "data/*.jpg", "data/*.tif"),
    "sklearn": ("datasets/images/*.jpg",),
    "matplotlib": ("mpl-data/sample_data/*.jpg", "mpl-data/sample_data/*.png"),
    "mahotas": ("demos/data/*.jpg", "demos/data/*.png"),
    "imgaug": ("*.jpg",),
}
VOLUMES = {
    "nilearn": ("datasets/data/mni_icbm152_t1_*.nii.gz",),
    "dipy": ("data/files/S0_10slices.nii.gz",),
    "nibabel": ("tests/data/anatomical.nii",),
}


class Judge:
    """The segmenter and the gate, as prediction uses them.

    Parameters
    ----------
    gate, finder
        Both.
    sheets
        Where contact sheets are written, or none.
    """

    def __init__(self, gate: Gate, finder: LungFinder, sheets: Path | None) -> None:
        self.gate, self.finder, self.sheets = gate, finder, sheets

    def verdicts(self, wholes: Sequence[Grey]) -> list[Verdict]:
        """Return the gate's verdicts."""
        pairs = carry(self.finder.stream, ((batch, batch) for batch in batched(wholes, 16)))
        return [verdict for batch, found in pairs for verdict in self.gate.judge(found.features, batch, found.lungs)]

    def accepted(self, name: str, wholes: Sequence[Grey]) -> tuple[dict[str, Any], NDArray[np.bool_]]:
        """Return how many of these were let through, and which."""
        verdicts = self.verdicts(wholes)
        right = np.array([verdict.accepted for verdict in verdicts])
        self._sheet(f"refused {name}", wholes, verdicts, ~right)
        return share("accepted", right) | {"reasons": reasons(verdicts)}, right

    def refused(self, name: str, wholes: Sequence[Grey], kind: str | None = None) -> dict[str, Any]:
        """Return how many of these were refused and, for a kind with a name, how many by that name."""
        verdicts = self.verdicts(wholes)
        right = np.array([not verdict.accepted for verdict in verdicts])
        self._sheet(f"accepted {name}", wholes, verdicts, ~right)
        content = share("refused", right)
        if kind is not None:
            content["reason_right"] = round(float(np.mean([REASONS[kind] in each.reasons for each in verdicts])), 4)
        return content | {"reasons": reasons(verdicts)}

    def _sheet(self, name: str, wholes: Sequence[Grey], verdicts: Sequence[Verdict], wrong: NDArray[np.bool_]) -> None:
        places = np.flatnonzero(wrong)[:60]
        if self.sheets is None or not len(places):
            return
        side, columns = 160, 10
        sheet = np.full((-(-len(places) // columns) * (side + 16), columns * side), 255, np.uint8)
        for number, place in enumerate(places):
            top, left = number // columns * (side + 16), number % columns * side
            sheet[top : top + side, left : left + side - 2] = cv2.resize(wholes[place], (side - 2, side))
            verdict = verdicts[place]
            text = f"{verdict.kind[:10]} {verdict.log_odds:.1f} {verdict.distance:.2f}"
            cv2.putText(sheet, text, (left + 2, top + side + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0,), 1, cv2.LINE_AA)
        self.sheets.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(self.sheets / f"{name.replace('/', '-')}.png"), sheet)


def share(what: str, right: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a share with its Wilson interval (95 %)."""
    low, high = wilson_bounds(float(right.mean()), len(right))
    return {"images": len(right), what: round(float(right.mean()), 4), "interval": [round(low, 4), round(high, 4)]}


def reasons(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Return how often each reason was given."""
    return dict(Counter(reason for verdict in verdicts for reason in verdict.reasons).most_common())


def wholes_of(rows: pl.DataFrame) -> list[Grey]:
    """Return the whole radiographs of rows of a manifest."""
    return [read_whole(path, sha256, SIZE) for path, sha256 in rows.select("path", "sha256").iter_rows()]


def true_radiographs(judge: Judge, dataset: Dataset, name: str, *, every: bool = False) -> dict[str, Any]:
    """Return what is accepted of a test split, or of every image: in all, and by finding, source and view, if known."""
    rows = dataset.manifest if every else dataset.rows("test")
    content, right = judge.accepted(name, wholes_of(rows))
    content = {"all": content}
    for column in ("finding", "source", "view"):
        for value in rows[column].drop_nulls().unique().sort():
            content[f"{column} {value}"] = share("accepted", right[(rows[column] == value).fill_null(value=False)])
    return content


def built_with(judge: Judge, wholes: Sequence[Grey], lungs: Sequence[Lungs | None], count: int) -> dict[str, Any]:
    """Return what is refused of each kind that the gate was built with, made of test radiographs."""
    content = {}
    for number, kind in enumerate(ODDITIES):
        rng = np.random.default_rng([SEED, number])
        places = rng.choice(len(wholes), min(count, len(wholes)), replace=False)
        made = []
        for place in places:
            others = [wholes[other] for other in rng.choice(len(wholes), 2)]
            picture = draw_surroundings(rng, SIZE) if kind == "embedded" else None
            made.append(make_odd(kind, wholes[place], rng, lungs=lungs[place], others=others, picture=picture))
        content[kind] = judge.refused(kind, made, kind)
    chosen = [wholes[place] for place in np.random.default_rng(SEED).choice(len(wholes), min(count, len(wholes)))]
    content["turned by 180°"] = judge.refused(
        "180", [np.ascontiguousarray(w[::-1, ::-1]) for w in chosen], "upside-down"
    )
    content["mirrored upside down"] = judge.refused(
        "flip", [np.ascontiguousarray(w[::-1]) for w in chosen], "upside-down"
    )
    drawn = [draw_not_chest(np.random.default_rng([SEED, number]), SIZE) for number in range(count)]
    content["drawn"] = judge.refused("drawn", drawn, OTHER)
    return content


def slanted(whole: Grey, rng: np.random.Generator, low: float, high: float) -> Grey:
    """Return the film turned by some degrees either way, wholly within the square."""
    degrees = rng.uniform(low, high)
    radians = np.deg2rad(degrees)
    fits = 1 / (abs(np.cos(radians)) + abs(np.sin(radians)))
    middle = (SIZE - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), degrees * rng.choice([-1, 1]), fits)
    return np.asarray(cv2.warpAffine(whole, matrix, (SIZE, SIZE), borderValue=(float(rng.choice([0, 0, 255])),)))


def pair(one: Grey, other: Grey, rng: np.random.Generator) -> Grey:
    """Return two films side by side or, in a quarter of cases, one above the other."""
    gap = int(rng.choice([0, 4]))
    sheet = np.full((SIZE, SIZE), rng.choice([0, 255]), np.uint8)
    if rng.random() < 0.25:
        return np.vstack([cv2.resize(film, (SIZE, SIZE // 2)) for film in (one, other)])
    sheet[:, : SIZE // 2 - gap] = cv2.resize(one, (SIZE // 2 - gap, SIZE))
    sheet[:, SIZE // 2 + gap :] = cv2.resize(other, (SIZE // 2 - gap, SIZE))
    return sheet


def screenshot(whole: Grey, rng: np.random.Generator) -> Grey:
    """Return a page of text in which the film takes a third to a half of the side."""
    page = np.full((SIZE, SIZE), int(rng.choice([255, 240, 30, 60])), np.uint8)
    side = int(rng.uniform(0.3, 0.5) * SIZE)
    top, left = rng.integers(10, SIZE - side, 2)
    ink = 0 if page[0, 0] > 128 else 220
    for y in range(12, SIZE, 14):
        line = "".join(rng.choice(list("abcdefgh ijklmnop"), int(rng.integers(5, 34))))
        cv2.putText(page, line, (6, y), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (ink,), 1, cv2.LINE_AA)
    page[:14] = int(rng.choice([90, 200]))
    page[top : top + side, left : left + side] = cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA)
    return page


def photographed(whole: Grey, wall: Grey, rng: np.random.Generator, inset: tuple[float, float]) -> Grey:
    """Return a film photographed at a slant before something else; each corner is moved in by a share of the side."""
    corners = np.array([[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]], np.float32)
    inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], np.float32)
    moved = corners + inward * rng.uniform(*inset, (4, 2)).astype(np.float32) * SIZE
    there = cv2.getPerspectiveTransform(corners, moved)
    film = cv2.warpPerspective(whole.astype(np.float32), there, (SIZE, SIZE))
    where = cv2.warpPerspective(np.ones((SIZE, SIZE), np.float32), there, (SIZE, SIZE))
    y, x = np.mgrid[0:SIZE, 0:SIZE] - rng.uniform(0, SIZE, (2, 1, 1))
    glare = rng.uniform(0, 120) * np.exp(-(x**2 + y**2) / (2 * rng.uniform(15, 50) ** 2))
    values = wall * rng.uniform(0.5, 1.0) * (1 - where) + where * (0.8 * film + 20 + glare)
    return np.clip(np.rint(values + rng.normal(0, 3, values.shape)), 0, 255).astype(np.uint8)


def files_of(packages: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, Path]]:
    """Yield the image files shipped inside packages that are installed."""
    for package, patterns in packages.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            for pattern in patterns:
                yield from ((package, path) for path in sorted(Path(spec.origin).parent.glob(pattern)))


def photographs(rng: np.random.Generator) -> tuple[list[Grey], dict[str, int]]:
    """Return photographs and scans shipped inside packages, whole and in pieces, and how many files of each package."""
    greys, found = [], Counter[str]()
    for package, path in files_of(PHOTOGRAPHS):
        try:
            radiograph = read_radiograph(path)
        except InputError:
            continue
        found[package] += 1
        greys.append(resize_grey(radiograph, SIZE))
        for _ in range(CROPS):
            height, width = (max(32, int(rng.uniform(0.3, 0.8) * side)) for side in radiograph.pixels.shape)
            top = int(rng.integers(0, max(1, radiograph.height - height)))
            left = int(rng.integers(0, max(1, radiograph.width - width)))
            piece = np.ascontiguousarray(radiograph.pixels[top : top + height, left : left + width])
            # A strip is refused before the gate sees it.
            with suppress(InputError):
                greys.append(resize_grey(Radiograph(piece, radiograph.white), SIZE))
    return greys, dict(found)


def stretched(values: NDArray[Any]) -> Grey:
    """Return a slice with its 0.5th percentile black and its 99.5th white, at the gate's size."""
    low, high = np.percentile(values, (0.5, 99.5))
    grey = np.clip(255 * (values.astype(np.float32) - low) / max(high - low, 1e-6), 0, 255).astype(np.uint8)
    smaller = min(grey.shape) >= SIZE
    return np.asarray(cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR))


def slices() -> tuple[list[Grey], dict[str, int]]:
    """Return slices of other modalities shipped inside packages, and how many of each."""
    greys, found = [], Counter[str]()
    if find_spec("pydicom") is not None:
        import pydicom  # noqa: PLC0415  # where it is installed

        for package, path in files_of({"pydicom": ("data/test_files/*.dcm",)}):
            try:
                pixels = np.squeeze(pydicom.dcmread(path, force=True).pixel_array)
            except Exception:  # noqa: BLE001, S112  # files made to be broken
                continue
            if pixels.ndim > 2 and pixels.shape[-1] == 3:
                pixels = pixels.mean(axis=-1)
            for plane in pixels[np.newaxis] if pixels.ndim == 2 else pixels[:: max(1, len(pixels) // 4)]:
                if min(plane.shape) >= 32 and plane.std() > 0:
                    greys.append(stretched(plane))
                    found[package] += 1
    if find_spec("nibabel") is not None:
        import nibabel  # noqa: PLC0415  # where it is installed

        for package, path in files_of(VOLUMES):
            volume = np.squeeze(np.asarray(nibabel.load(path).dataobj, np.float32))
            axes = (0, 1, 2) if min(volume.shape) > 60 else (2,)
            for axis in axes:
                length = volume.shape[axis]
                for at in range(length // 6, max(length // 6 + 1, 5 * length // 6), max(1, length // 20)):
                    plane = np.rot90(np.take(volume, at, axis=axis))
                    if plane.std() > 0:
                        greys.append(stretched(plane))
                        found[package] += 1
    return greys, dict(found)


def side_views(folder: Path) -> list[Grey]:
    """Return the side views of the development half of a folder's patients."""
    table = pl.read_csv(folder / "metadata.csv", infer_schema=False).filter(pl.col("view") == "L")
    return [
        resize_grey(read_radiograph(folder / file), SIZE)
        for file, patient in table.select("file", "patient").iter_rows()
        if half_of(patient or file) == "development"
    ]


def kept_out(judge: Judge, wholes: Sequence[Grey], count: int, laterals: Path | None) -> dict[str, dict[str, Any]]:
    """Return what is refused of kinds that the gate was not built with, and of others' making of kinds that it was."""
    rng = np.random.default_rng([SEED, 99])

    def some() -> list[Grey]:
        return [wholes[place] for place in rng.choice(len(wholes), min(count, len(wholes)), replace=False)]

    photos, of_package = photographs(rng)
    planes, of_modality = slices()
    unseen = {
        "turned by 35–55°": judge.refused("slanted", [slanted(whole, rng, 35, 55) for whole in some()]),
        "turned by 125–145°": judge.refused("slanted down", [slanted(whole, rng, 125, 145) for whole in some()]),
        "two films": judge.refused("two films", [pair(a, b, rng) for a, b in zip(some(), some(), strict=True)]),
    }
    variations = {"screenshot": judge.refused("screenshot", [screenshot(whole, rng) for whole in some()])}
    if photos:
        unseen["photographs"] = judge.refused("photographs", photos) | {"files": of_package}
        for name, inset in (("under half", (0.15, 0.35)), ("most", (0.0, 0.15))):
            made = [photographed(whole, photos[rng.integers(len(photos))], rng, inset) for whole in some()]
            variations[f"photographed, {name} of the picture"] = judge.refused(f"photographed {name}", made)
    if planes:
        unseen["slices of other modalities"] = judge.refused("slices", planes) | {"files": of_modality}
    if laterals is not None:
        unseen["side views"] = judge.refused("side views", side_views(laterals))
    for degrees in (10, 15, 20, 25, 30):
        made = [slanted(whole, rng, degrees, degrees) for whole in some()]
        variations[f"turned by {degrees}°"] = judge.refused(f"turned {degrees}", made)
    return {"kinds kept out": unseen, "in between": variations}


def timed(judge: Judge, wholes: Sequence[Grey]) -> dict[str, float]:
    """Return processor milliseconds an image of the gate alone, one by one and in batches of 16."""
    content = {}
    for size in (1, 16):
        batches = [list(wholes[start : start + size]) for start in range(0, 320, size)]
        seen = list(judge.finder.stream(batches))
        started = time.thread_time()
        for batch, found in zip(batches, seen, strict=True):
            judge.gate.judge(found.features, batch, found.lungs)
        content[f"batch {size}"] = round(1000 * (time.thread_time() - started) / 320, 3)
    return content


def main() -> None:
    """Train or read the gate, judge everything, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("lungs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--external", type=Path, action="append", default=[])
    parser.add_argument("--laterals", type=Path)
    parser.add_argument("--packages", type=Path)
    parser.add_argument("--per-kind", type=int, default=300)
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--gate", type=Path)
    chosen = parser.parse_args()
    if chosen.packages is not None:
        # Last, so that this environment's own packages are not replaced.
        sys.path.append(str(chosen.packages))
    cv2.setNumThreads(1)
    dataset = open_dataset(chosen.dataset)
    if chosen.gate is not None and chosen.gate.is_file():
        gate, facts = read_gate(chosen.gate), None
    else:
        with TemporaryDirectory() as folder:
            place = chosen.gate or Path(folder) / "gate.npz"
            gate, record = train_gate(dataset.rows("train"), dataset.rows("calibration"), chosen.lungs, place)
        facts = record.model_dump()
    sha256 = None if chosen.gate is None else hashlib.sha256(chosen.gate.read_bytes()).hexdigest()
    judge = Judge(gate, LungFinder(chosen.lungs), chosen.sheets)
    command = "python benchmarks/gate.py " + " ".join(Path(each).name if "/" in each else each for each in sys.argv[1:])
    content: dict[str, Any] = {
        "command": command,
        "machine": describe_machine(),
        "gate_sha256": sha256,
        "trained": facts,
    }
    told(content, "accepted", {"test": true_radiographs(judge, dataset, "test")})
    for folder in chosen.external:
        told(content, "accepted", {folder.name: true_radiographs(judge, open_dataset(folder), folder.name, every=True)})
    wholes = wholes_of(dataset.rows("test"))
    lungs = [found for batch in judge.finder.stream([[whole] for whole in wholes]) for found in batch.lungs]
    rng = np.random.default_rng(SEED)
    some = rng.choice(len(wholes), min(chosen.per_kind, len(wholes)), replace=False)
    known = [(wholes[place], found) for place in some if (found := lungs[place]) is not None]
    harmless = {
        "mirrored left to right": [mirror_sideways(whole) for whole, _ in known],
        "with a white lung": [whiten_lung(whole, found, rng) for whole, found in known],
        "harmlessly varied": [vary_harmless(whole, found, rng) for whole, found in known],
    }
    for name, altered in harmless.items():
        told(content, "accepted", {f"test, {name}": judge.accepted(name, altered)[0]})
    told(content, "kinds built with", built_with(judge, wholes, lungs, chosen.per_kind))
    for part, counted in kept_out(judge, wholes, chosen.per_kind, chosen.laterals).items():
        told(content, part, counted)
    content["milliseconds an image"] = timed(judge, wholes)
    chosen.out.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def told(content: dict[str, Any], part: str, counted: dict[str, Any]) -> None:
    """Add what was counted to a part of the content, and print it."""
    content.setdefault(part, {}).update(counted)
    for name, value in counted.items():
        print(f"{part}: {name}: {json.dumps(value, ensure_ascii=False)}", flush=True)


if __name__ == "__main__":
    main()
