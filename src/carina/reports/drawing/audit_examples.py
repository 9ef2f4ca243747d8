"""The pictures of an audit folder: one page that says how much is lungs, and what each alteration looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carina.errors import DataError
from carina.evaluation.audit.alterations import (
    ALTERATIONS,
    SUMMARIES,
    THUMBNAIL_SIZE,
    TITLES,
    AlterationSettings,
    Input,
    alter,
    lungs_of_mask,
    summarise,
)
from carina.evaluation.audit.words import LEANING
from carina.phantoms.phantom import PHANTOM_FINDINGS, draw_phantom
from carina.radiographs.preprocess import Preprocessing, resize_grey
from carina.radiographs.radiograph import build_radiograph
from carina.reports.drawing.audit_questions import draw_areas, draw_questions
from carina.reports.drawing.audit_shares import draw_shares
from carina.reports.drawing.composition import compose, write_paragraphs
from carina.reports.drawing.drawing import Drawing
from carina.reports.drawing.text_measure import SMALL, TEXT, TITLE, fit_lines
from carina.wording import counted

_INPUTS: tuple[Input, ...] = (*ALTERATIONS, *SUMMARIES)
_NOTHING_LEFT = "This model is shown only the box around the lungs: when that is blacked out, nothing is left."
# More pairs of findings than this are in the text alone: one page is one page.
_PAIRS = 3
_SIDE, _LEFT = 122.0, 96.0


def draw_audit(audit: dict[str, Any], preprocessing: Preprocessing, settings: AlterationSettings) -> Drawing:
    """Return one page: the sentence, what is left of the AUROC above chance for each input, the further questions."""
    counts = audit["counts"]
    statement = [(audit["sentence"], TITLE, True), *((f"• {verdict}", TEXT, False) for verdict in audit["verdicts"])]
    pairs = audit["same_source_pairs"]
    notes = _notes(audit, preprocessing)
    if len(pairs) > _PAIRS:
        notes.append(f"{counted(len(pairs) - _PAIRS, 'further pair')} of one source: see audit.txt.")
    drawings = [
        draw_shares(audit, phantom_views(PHANTOM_FINDINGS[0], preprocessing, settings)),
        draw_areas(audit),
        *draw_questions(audit | {"same_source_pairs": pairs[:_PAIRS]}),
        write_paragraphs("notes", "How to read it", [(note, SMALL, False) for note in notes]),
    ]
    return compose(
        "audit",
        f"How much of this is lungs? {audit['model']} on {audit['dataset']}",
        drawings,
        columns=2,
        lead=write_paragraphs("statement", "What the audit says", statement, columns=2),
        caption=f"{counts['test']:,} test images; heads trained on {counts['train']:,}, tuned on "
        f"{counts['calibration']:,} calibration images. Lungs by {audit['lungs_from']}. In brackets: 95 % intervals "
        "over test patients.",
    )


def _notes(audit: Mapping[str, Any], preprocessing: Preprocessing) -> list[str]:
    notes = [
        (
            "The small pictures are phantoms, no patients. A small figure of the model as it is may also mean that "
            "black patches confuse it. A head trained on such images is not confused: it says what can be known from "
            "them. What is not lung may still be honest (heart, devices, positioning): the audit says where a figure "
            "comes from, not why. The model, or the data, is said to lean on what is not lung above "
            f"{100 * LEANING:.0f} %."
        )
    ]
    if preprocessing.crop == "lungs":
        notes.append(_NOTHING_LEFT)
    if left_out := audit["counts"]["without_lungs"]:
        notes.append(f"{left_out} images in which no lungs were found take no part.")
    if audit["not_applicable"]:
        notes.append(f"Not asked: {'; '.join(audit['not_applicable'])}.")
    return notes


def phantom_views(
    finding: str, preprocessing: Preprocessing, settings: AlterationSettings, *, seed: int = 11
) -> dict[Input, NDArray[np.uint8]]:
    """Return each input as a picture of one phantom: uint8 ``(size, size)``, the summaries drawn at a larger scale.

    Raises
    ------
    DataError
        If the phantom has no lungs.
    """
    phantom = draw_phantom(finding, seed=seed, size=max(256, preprocessing.read_size), difficulty=0.3)
    lungs = lungs_of_mask(phantom.lung_mask.astype(np.uint8) * 255)
    if lungs is None:
        msg = f"The phantom of seed {seed} has no lungs. Choose another seed."
        raise DataError(msg)
    whole = resize_grey(build_radiograph(phantom.pixels), preprocessing.read_size)
    views: dict[Input, NDArray[np.uint8]] = {
        name: alter(whole, lungs, lungs, name, preprocessing, settings) for name in ALTERATIONS
    }
    shown = views["shown"]
    small = np.rint(summarise(shown, whole, "thumbnail") * 255).astype(np.uint8)
    views["thumbnail"] = small.reshape(THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    views["histogram"] = _bars_picture(summarise(shown, whole, "histogram")[:32], preprocessing.size)
    amplitudes = np.power(10, summarise(shown, whole, "sharpness") / 20, dtype=np.float32)
    views["sharpness"] = _bars_picture(amplitudes, preprocessing.size)
    return views


def _bars_picture(shares: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Return white bars on black, above a scale: of the greys that they count, or from fine detail to coarse."""
    picture = np.zeros((size, size), dtype=np.uint8)
    scale, gap = max(2, size // 10), max(1, size // 50)
    base = size - scale - gap
    edges = np.linspace(0, size, len(shares) + 1).round().astype(int)
    tallest = float(np.sort(shares)[-2]) or 1.0
    for place, (share, left, right) in enumerate(zip(shares, edges[:-1], edges[1:], strict=True)):
        height = round(min(1.0, float(share) / tallest) * (base - gap))
        picture[base - height : base, left:right] = 255
        picture[size - scale :, left:right] = round(255 * place / (len(shares) - 1))
    return picture


def draw_examples(preprocessing: Preprocessing, settings: AlterationSettings) -> Drawing:
    """Return every input of phantoms: a row for each finding, a column for each input."""
    labels = [fit_lines(TITLES[name], _SIDE) for name in _INPUTS]
    step, above = _SIDE + 7, 15.0 * max(len(lines) for lines in labels) + 6
    grid = Drawing(
        "examples",
        "Phantoms",
        f"{', '.join(PHANTOM_FINDINGS)}, each as: {', '.join(TITLES[name] for name in _INPUTS)}",
        _LEFT + step * len(_INPUTS),
        above + step * len(PHANTOM_FINDINGS),
    )
    for column, lines in enumerate(labels):
        grid.lines(_LEFT + column * step + _SIDE / 2, above - 8 - 15 * (len(lines) - 1), lines, anchor="middle")
    for row, finding in enumerate(PHANTOM_FINDINGS):
        y = above + row * step
        grid.lines(0, y + _SIDE / 2, fit_lines(finding, _LEFT - 10, TEXT), size=TEXT)
        views = phantom_views(finding, preprocessing, settings, seed=11 + row)
        for column, name in enumerate(_INPUTS):
            grid.image(_LEFT + column * step, y, _SIDE, _SIDE, views[name])
    caption = (
        f"Phantoms, no patients. Lungs and box are blacked out with a rim of {100 * settings.dilation:g} % of the "
        f"film's side; the border is its outer {100 * settings.border:g} %."
        + (f" {_NOTHING_LEFT}" if preprocessing.crop == "lungs" else "")
    )
    return compose("examples", "What an audit shows in place of a radiograph", [grid], caption=caption)
