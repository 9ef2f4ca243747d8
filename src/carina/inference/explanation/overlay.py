"""An explanation as a picture: the radiograph with the evidence for one finding over it, and a legend below.

The colours run from blue (against) over nothing to orange (for), which every common colour vision tells apart; how
much colour is how much evidence. No picture has a file name in it, since that may name the patient.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.decisions.probabilities import probability_in_words
from carina.inference.explanation.explain import Explanation
from carina.inference.explanation.lettering import BLACK, FAINT, Strip

Rgb = NDArray[np.uint8]

# Okabe and Ito 2008, "Color Universal Design": orange and blue, lightened so that they show on black films.
_FOR, _AGAINST = (255, 140, 20), (60, 150, 255)
_WHITE = (255, 255, 255)
# At full colour so much of the film is covered.
_COVERED = 0.62
# A map whose strongest cell is under this, in logits, stays pale: noise is not blown up to full colour.
SMALLEST_FULL = 0.1
# The numbers that a scale may end at, between two powers of ten.
_STEPS = (1, 1.5, 2, 3, 4, 5, 7, 10)
# A smaller radiograph is enlarged by a whole factor, and a narrow one set on black, so that the legend can be read.
_SMALLEST_SIDE_PX, _SMALLEST_WIDTH_PX = 720, 640
NOTE = "Contributions to the logit; not where the disease is. For research."


def encode_png(picture: Rgb) -> bytes:
    """Return a picture as PNG, packed lightly: the film's noise does not pack, and it is to be quick."""
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):
        # One filter instead of the best of five a row: half the time, the same size. OpenCV before 4.11 cannot.
        settings += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    return bytes(cv2.imencode(".png", picture[..., ::-1], settings)[1].tobytes())


def draw_overlay(
    explanation: Explanation,
    finding: str,
    probability: float,
    *,
    against: str | None = None,
    smallest_full: float = SMALLEST_FULL,
) -> Rgb:
    """Return the radiograph with the evidence for a finding over it and a legend below: uint8 ``(height, width, 3)``.

    The radiograph keeps its resolution, up to 2,048 pixels on the longer side; one under 720 pixels is enlarged by a
    whole factor. The evidence is interpolated between the cells, whose borders are marked along the frame of what the
    network was shown. The scale ends at the strongest cell, rounded up.

    Parameters
    ----------
    probability
        Of the finding, calibrated, as the legend shows it.
    against
        Draw the evidence for the finding against this one; see `Explanation.evidence`.
    smallest_full
        What the scale ends at or above, in logits.

    Raises
    ------
    ConfigurationError
        If the model does not know the finding.
    """
    full = _end_of_scale(float(np.abs(explanation.evidence(finding, against=against)).max()), smallest_full)
    film = _coloured(explanation.grey, explanation.on_radiograph(finding, smooth=True, against=against), full)
    height, width = explanation.grey.shape
    factor = max(1, math.ceil(_SMALLEST_SIDE_PX / max(height, width)))
    if factor > 1:
        size = (width * factor, height * factor)
        film = np.asarray(cv2.resize(film, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    _draw_frame(film, explanation)
    _draw_lungs(film, explanation)
    beside = max(0, _SMALLEST_WIDTH_PX - film.shape[1])
    film = np.pad(film, ((0, 0), (beside // 2, beside - beside // 2), (0, 0)))
    return np.concatenate([film, _legend(explanation, finding, against, probability, full, film.shape[1])])


def _end_of_scale(strongest: float, smallest: float = SMALLEST_FULL) -> float:
    strongest = max(strongest, smallest)
    power = 10.0 ** math.floor(math.log10(strongest))
    return next(step * power for step in _STEPS if step * power >= strongest * (1 - 1e-9))


def _coloured(grey: NDArray[np.uint8], evidence: NDArray[np.float32], full: float) -> Rgb:
    """Return grey values with evidence over them, both ``(height, width)``: uint8 ``(height, width, 3)``."""
    strength = np.clip(np.nan_to_num(evidence) / np.float32(full), -1, 1)
    covered = np.abs(strength) * np.float32(_COVERED)
    film = grey * (1 - covered)
    speaks_for = strength > 0
    channels = (
        film + covered * np.where(speaks_for, np.float32(orange), np.float32(blue))
        for orange, blue in zip(_FOR, _AGAINST, strict=True)
    )
    return np.asarray(cv2.merge([channel.astype(np.uint8) for channel in channels]), np.uint8)


def _draw_frame(film: Rgb, explanation: Explanation) -> None:
    """Frame what the network was shown, and mark along the frame where cells meet."""
    height, width = film.shape[:2]
    top, left, bottom, right = explanation.seen
    rows, columns, _ = explanation.contributions.shape
    thick = max(1, round(max(height, width) / 900))
    x0, x1, y0, y1 = round(left * width), round(right * width) - 1, round(top * height), round(bottom * height) - 1
    cv2.rectangle(film, (x0, y0), (x1, y1), FAINT, thick)
    tick = max(4, round(0.02 * min(x1 - x0, y1 - y0)))
    for column in range(1, columns):
        x = round(x0 + (x1 - x0) * column / columns)
        cv2.line(film, (x, y0), (x, y0 + tick), FAINT, thick)
        cv2.line(film, (x, y1 - tick), (x, y1), FAINT, thick)
    for row in range(1, rows):
        y = round(y0 + (y1 - y0) * row / rows)
        cv2.line(film, (x0, y), (x0 + tick, y), FAINT, thick)
        cv2.line(film, (x1 - tick, y), (x1, y), FAINT, thick)


def _draw_lungs(film: Rgb, explanation: Explanation) -> None:
    """Outline the lungs: white with a black rim, so that it shows on any film."""
    if explanation.lungs is None:
        return
    height, width = film.shape[:2]
    mask = explanation.lungs.share_of_pixels(height, width)
    contours, _ = cv2.findContours((mask >= 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    thick = max(1, round(max(height, width) / 900))
    cv2.drawContours(film, contours, -1, BLACK, thick + 2, cv2.LINE_AA)
    cv2.drawContours(film, contours, -1, _WHITE, thick, cv2.LINE_AA)


def _legend(
    explanation: Explanation, finding: str, against: str | None, probability: float, full: float, width: int
) -> Rgb:
    """Return the legend, as wide as the film: name, probability, scale, share inside the lungs, and what it is not."""
    size = max(14, round(width / 46))
    strip = Strip(width, size)
    strip.write(f"{finding}   P = {probability_in_words(probability)}", size=round(1.35 * size))
    _draw_scale(strip, full, size, "logit" if against is None else "log odds")
    strip.write(_said_of_cells(explanation, finding, against))
    strip.write(_said_of_lungs(explanation, finding, against))
    strip.write(NOTE, fill=FAINT)
    return strip.finished()


def _draw_scale(strip: Strip, full: float, size: int, unit: str) -> None:
    """Draw the colours over mid grey, with the values at both ends and in the middle, and their unit."""
    length = min(strip.room, 18 * size)
    values = np.linspace(-full, full, length, dtype=np.float32)[np.newaxis].repeat(size, axis=0)
    bar = _coloured(np.full(values.shape, 110, np.uint8), values, full)
    strip.paste(bar, ((0.0, f"−{full:g}"), (0.5, "0"), (1.0, f"+{full:g}")), f"{unit}, each cell")


def _said_of_cells(explanation: Explanation, finding: str, against: str | None) -> str:
    rows, columns, _ = explanation.contributions.shape
    cells = explanation.evidence(finding, against=against).sum()
    rest = explanation.constant(finding, against=against)
    if against is None:
        said = f"the cell raises the calibrated logit of {finding} over the mean of all findings; blue: it lowers it"
    else:
        said = f"the cell raises the odds of {finding} against {against}; blue: it lowers them"
    return (
        f"Orange: {said}. All cells together {_signed(cells)}, bias {_signed(rest)}. {rows} × {columns} cells, drawn "
        "smooth; a cell sees far more of the frame than its own square."
    )


def _said_of_lungs(explanation: Explanation, finding: str, against: str | None) -> str:
    inside, fill = explanation.inside_lungs(finding, against=against), explanation.lungs_fill
    if fill is None:
        return "How much of it lies inside the lungs is not known: this model does not look for them."
    if inside is None:
        return f"Nothing speaks for {finding}."
    return (
        f"{100 * inside:.0f} % of what speaks for it lies inside the lungs (white), which fill {100 * fill:.0f} % of "
        "the frame."
    )


def _signed(number: float) -> str:
    return f"{number:+.1f}".replace("-", "−")
