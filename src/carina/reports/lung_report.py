"""What a training of the segmenter reached: Dice on the held-out images with its interval, and lungs found in phantoms.

No patient's image is drawn: the examples are synthetic radiographs, whose lungs are known exactly.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.errors import DataError
from carina.phantoms.phantom import PHANTOM_FINDINGS, draw_phantom
from carina.radiographs.lungs import LUNG_GRAPH, LungFinder
from carina.reports.drawing.composition import compose
from carina.reports.drawing.drawing import Drawing, Ink
from carina.reports.drawing.png import FOR_SCREEN, write_png
from carina.statistics.bootstrap import bootstrap_estimates
from carina.statistics.intervals import Estimate, FloatArray, IntArray, proportion_interval
from carina.storage.atomic import write_text

LUNGS_FILE = LUNG_GRAPH
DICE_FILE = "dice.csv"
REPORT_FILE = "lungs.json"
EXAMPLES_FILE = "examples.png"

_PHANTOM_SIZE = 256
_DIFFICULTIES = (0.3, 1.0)
_PANEL = 210.0
_DICE_SCHEMA = {"image": pl.String, "patient": pl.Int64, "dice": pl.Float64, "two_lungs": pl.Boolean}


@dataclass(frozen=True, slots=True)
class LungReport:
    """How well the lungs of the held-out images were found."""

    images: int
    patients: int
    # Of the Dice coefficient over images, 0 to 1; an image without two lungs counts as 0.
    mean: Estimate
    median: float
    smallest: float
    without_two_lungs: Estimate  # share of the images in which no two lungs were found


def write_lung_report(folder: Path, facts: Mapping[str, Any]) -> LungReport:
    """Write ``lungs.json`` and ``examples.png`` beside the segmenter, and return what was measured.

    Raises
    ------
    DataError
        If ``dice.csv`` is missing or damaged, or has no row.
    BundleError
        If ``lungs.onnx`` is missing or no valid graph.
    """
    report = summarise_dice(_read_dice(folder / DICE_FILE))
    measured = {
        "dice": {"mean": report.mean.to_json(), "median": report.median, "min": report.smallest},
        "without_two_lungs": report.without_two_lungs.to_json(),
    }
    content = {"format": "carina-lungs-1", **measured, **facts}
    write_text(folder / REPORT_FILE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_png(draw_lung_examples(LungFinder(folder / LUNGS_FILE)), folder / EXAMPLES_FILE, FOR_SCREEN)
    return report


def summarise_dice(table: pl.DataFrame) -> LungReport:
    """Return mean, median and smallest Dice coefficient with intervals that respect images of one patient.

    Parameters
    ----------
    table
        One row per held-out image: dice (float, 0 to 1), patient (int, 0 or more), two_lungs (bool).
    """
    values, patients = table["dice"].to_numpy(), table["patient"].to_numpy()

    def mean(drawn: IntArray) -> FloatArray:
        weights = drawn.astype(np.float64)
        return np.asarray((weights @ values / weights.sum(axis=1))[:, np.newaxis], dtype=np.float64)

    (estimate,) = bootstrap_estimates(mean, truth=np.zeros(len(values), dtype=np.int_), groups=patients)
    return LungReport(
        images=table.height,
        patients=table["patient"].n_unique(),
        mean=estimate,
        median=float(np.median(values)),
        smallest=float(values.min()),
        without_two_lungs=proportion_interval(~table["two_lungs"].to_numpy(), patients),
    )


def _read_dice(path: Path) -> pl.DataFrame:
    try:
        table = pl.read_csv(path, schema=_DICE_SCHEMA)
    except (OSError, pl.exceptions.PolarsError):
        table = pl.DataFrame(schema=_DICE_SCHEMA)
    if table.is_empty() or table.null_count().sum_horizontal().item():
        msg = f"{path} is missing or damaged, or has no row. Train the segmenter again."
        raise DataError(msg)
    return table


def draw_lung_examples(finder: LungFinder) -> Drawing:
    """Return synthetic radiographs with the outline of their lungs and of those that were found: nobody's image."""
    phantoms = [
        [draw_phantom(finding, seed=(7, row, column), size=_PHANTOM_SIZE, difficulty=difficulty)
         for column, finding in enumerate(PHANTOM_FINDINGS)]
        for row, difficulty in enumerate(_DIFFICULTIES)
    ]  # fmt: skip
    found = [each.lungs for each in finder.stream([phantom.pixels for phantom in row] for row in phantoms)]
    panels = []
    for row, column in np.ndindex(len(phantoms), len(PHANTOM_FINDINGS)):
        phantom, lungs, name = phantoms[row][column], found[row][column], PHANTOM_FINDINGS[column]
        said = name if lungs is not None else f"{name}: no two lungs"
        panel = Drawing("lungs", said, "A phantom with its lungs outlined", _PANEL, _PANEL + 18)
        panel.words(_PANEL / 2, 12, said, anchor="middle")
        panel.image(0, 18, _PANEL, _PANEL, phantom.pixels)
        _outline(panel, phantom.lung_mask, "s2", (4, 3))
        if lungs is not None:
            _outline(panel, lungs.mask, "s1", ())
        panels.append(panel)
    return compose(
        "examples",
        "Lungs found in synthetic radiographs",
        panels,
        columns=len(PHANTOM_FINDINGS),
        caption="Phantoms, not patients. Blue, whole line: found. Orange, dashed: drawn. What is drawn ends at the "
        "heart; what is found goes on behind it where the masks that were learned from do.",
    )


def _outline(panel: Drawing, mask: NDArray[np.bool_], ink: Ink, dash: tuple[float, ...]) -> None:
    """Draw the outline of a mask of any size over a phantom."""
    scale = _PANEL / mask.shape[0]
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        # Pixel centres are at halves.
        points = (np.concatenate([contour[:, 0], contour[:1, 0]]) + 0.5) * scale
        line = [(float(x), float(y) + 18) for x, y in points]
        panel.line(line, "paper", width=3)  # so that it can be told from dark and from bright pixels
        panel.line(line, ink, width=1.8, dash=dash)
