"""Predictions for a notebook: HTML without scripts or colours of its own, so that it is read on light and on dark."""

import base64
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from carina.inference.explanation.explain import Explanation
from carina.inference.explanation.overlay import draw_overlay, encode_png
from carina.inference.predictor import FailedPrediction, Prediction

# An overlay is stored in the notebook: wider than this it would fill it.
_WIDEST_PX = 900
_NOTE = "For research. A triage flag orders the reading: it is no diagnosis."
_CELL = 'style="text-align:left;vertical-align:top;padding:.2em .8em .2em 0;background:none"'


def prediction_html(prediction: Prediction | FailedPrediction) -> str:
    """Return one prediction: priority, reason, one bar per finding, and the overlay where it was explained."""
    name = escape(_name(prediction))
    if isinstance(prediction, FailedPrediction):
        return _boxed(f"<b>{name}: not judged</b><br>{escape(str(prediction.error))}")
    triage = prediction.triage
    parts = [f"<b>{name}: {escape(triage.priority)}</b><br>{escape(triage.reason)}"]
    parts += [f"<br>{escape(doubt)}" for doubt in prediction.reservations]
    if prediction.refused is None:
        parts.append(_bars(prediction))
    if prediction.explanation is not None:
        parts.append(_picture(prediction.explanation, prediction.finding, prediction.probabilities[prediction.finding]))
    return _boxed("".join(parts))


def predictions_html(predictions: Sequence[Prediction | FailedPrediction]) -> str:
    """Return several predictions as a table: name, priority, most probable finding, reason."""
    head = "".join(f"<th {_CELL}>{title}</th>" for title in ("image", "priority", "finding", "reason"))
    rows = []
    for place, prediction in enumerate(predictions, start=1):
        if isinstance(prediction, FailedPrediction):
            cells = (_name(prediction, place), "not judged", "", str(prediction.error))
        else:
            finding = f"{prediction.finding} {prediction.probabilities[prediction.finding]:.2f}"
            said = finding if prediction.refused is None else ""
            cells = (_name(prediction, place), prediction.triage.priority, said, prediction.triage.reason)
        rows.append("<tr>" + "".join(f"<td {_CELL}>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return _boxed(f'<table style="border-collapse:collapse"><tr>{head}</tr>{"".join(rows)}</table>')


def _name(prediction: Prediction | FailedPrediction, place: int | None = None) -> str:
    """Return the file's name without its folders, which may say more than a notebook should pass on."""
    if prediction.path is not None:
        # A name that is no UTF-8 could not be saved with the notebook.
        return prediction.path.name.encode("utf-8", "replace").decode("utf-8")
    return "image" if place is None else f"image {place}"


def _boxed(content: str) -> str:
    return f'<div style="max-width:60em;line-height:1.4">{content}<div style="opacity:.7">{_NOTE}</div></div>'


def _bars(prediction: Prediction) -> str:
    rows = [
        f"<tr><td {_CELL}>{escape(finding)}</td><td {_CELL}>{probability:.3f}</td>"
        f'<td {_CELL}><div style="width:12em"><div style="width:{100 * probability:.1f}%;height:.8em;margin-top:.3em;'
        'background:currentColor;opacity:.6"></div></div></td></tr>'
        for finding, probability in prediction.probabilities.items()
    ]
    return f'<table style="border-collapse:collapse">{"".join(rows)}</table>'


def _picture(explanation: Explanation, finding: str, probability: float) -> str:
    picture = draw_overlay(explanation, finding, probability)
    height, width = picture.shape[:2]
    if width > _WIDEST_PX:
        size = (_WIDEST_PX, round(height * _WIDEST_PX / width))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    encoded = base64.b64encode(encode_png(picture)).decode("ascii")
    described = escape(f"What the cells of the last feature map add to the logit of {finding}")
    return f'<img alt="{described}" style="max-width:100%" src="data:image/png;base64,{encoded}">'
