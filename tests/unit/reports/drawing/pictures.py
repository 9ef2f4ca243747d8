"""What is drawn in a drawing, as tests ask for it; and an evaluation of any confusion matrix, in memory."""

import functools
import itertools
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.reports.drawing.drawing import Drawing, Words
from carina.reports.drawing.text_measure import text_width
from carina.reports.evaluated import Evaluated
from carina.statistics.binary_metrics import at_operating_point
from carina.statistics.metrics import measure


def words_of(drawing: Drawing) -> str:
    """Return all that is written, lines of one text joined."""
    return " ".join(part.text for part in drawing.parts if isinstance(part, Words))


def box_of(words: Words) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a line of text."""
    wide = text_width(words.text, words.size, bold=words.bold)
    back = {"start": 0.0, "middle": wide / 2, "end": wide}[words.anchor]
    if words.turned:
        return words.x - 0.75 * words.size, words.y + back - wide, words.x + 0.2 * words.size, words.y + back
    return words.x - back, words.y - 0.75 * words.size, words.x - back + wide, words.y + 0.2 * words.size


def texts_outside(drawing: Drawing) -> list[Any]:
    """Return the texts that leave the drawing."""
    lines = [part for part in drawing.parts if isinstance(part, Words)]
    assert lines
    boxes = [(part.text, box_of(part)) for part in lines]
    return [
        text
        for text, (left, top, right, bottom) in boxes
        if left < -1 or top < -1 or right > drawing.width + 1 or bottom > drawing.height + 1
    ]


def texts_covered(drawing: Drawing) -> list[Any]:
    """Return the pairs of texts that cover each other."""
    boxes = [(part.text, box_of(part)) for part in drawing.parts if isinstance(part, Words)]
    return [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(boxes, 2)
        if min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 1
    ]


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.2."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def history_of(epochs: int) -> pl.DataFrame:
    at = np.arange(1, epochs + 1)
    return pl.DataFrame(
        {
            "epoch": at,
            "loss": np.exp(-at / 5),
            "accuracy": 1 - 0.4 * np.exp(-at / 5),
            "val_loss": 0.2 + np.exp(-at / 4),
            "val_accuracy": 0.9 - 0.3 * np.exp(-at / 4),
        }
    )


def evaluated_of(
    confusion: NDArray[np.int64],
    findings: tuple[Any, ...],
    *,
    name: str = "a-set",
    notice: str | None = None,
    history: pl.DataFrame = None,
    best: int = 1,
) -> Evaluated:
    """Return an evaluation whose likeliest findings give a confusion matrix."""
    table, metrics, reached = _measured(tuple(map(tuple, confusion.tolist())), findings)
    point = {"finding": findings[0], "threshold": 0.37, "chosen_on": "the calibration split", "rule": "argmax"}
    content = {
        "notice": notice,
        "data": {"name": name, "split": "test", "images": table.height},
        "model": {"name": "by-hand", "best_epoch": best, "stopping_split": "train-validation"},
        "metrics": metrics,
        "operating_point": {"chosen": point, "reached": reached},
    }
    return Evaluated("folder", content, table, history_of(6) if history is None else history, "", None, None)


@functools.cache
def _measured(rows: Any, findings: Any) -> Any:
    confusion, k = np.array(rows), len(findings)
    truth = np.repeat(np.repeat(np.arange(k), k), confusion.ravel())
    called = np.repeat(np.tile(np.arange(k), k), confusion.ravel())
    raw = np.random.default_rng(5).uniform(0.05, 0.4, (len(truth), k))
    raw[np.arange(len(truth)), called] += 0.5
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    columns = {f"probability:{name}": probabilities[:, index] for index, name in enumerate(findings)}
    table = pl.DataFrame(
        {"finding": [findings[index] for index in truth], "group": np.arange(len(truth)), "sha256": ""} | columns
    )
    metrics = measure(truth, probabilities, findings, replicates=5).to_json()
    return table, metrics, at_operating_point(truth, probabilities, 0, 0.37).to_json()
