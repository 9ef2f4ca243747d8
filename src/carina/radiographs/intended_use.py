"""Whether a radiograph may be judged by what its header says: frontal, of an adult's chest, made to be looked at.

What the header rules out is refused; what it or the pixels leave in doubt is judged, with a reservation that is shown
beside the result. A header may be wrong either way, so the image itself is looked at too (`carina.radiographs.gate`).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.radiographs.doubts import SENTENCES
from carina.radiographs.header import Header
from carina.radiographs.radiograph import Radiograph

ADULT_YEARS = 18
# A side of the square that the lung segmenter sees. Of 93 films that were shrunk so far, 17 % came to another priority
# (at 32 pixels 31 %), and nearly none was refused by the gate. The smallest of 18,040 images has 156 pixels a side.
FEW_PIXELS = 96
# Of 17,613 radiographs the one with the largest black border has 81 % of its pixels in two grey values. Of 427 lung
# masks the one with the longest edges has 97 %.
_MOST_IN_TWO_LEVELS = 0.9


def refusals(header: Header) -> tuple[str, ...]:
    """Return why a radiograph must not be judged: clauses that can follow "because"; none if it may be judged."""
    found: list[str] = []
    if header.region == "elsewhere":
        found.append("its header says that it shows another part of the body than the chest")
    if header.view in _NOT_FRONTAL:
        found.append(f"its header says that it is {_NOT_FRONTAL[header.view]} view")
    elif header.rows_run_to in ("front", "back"):
        found.append("its header says that its rows run from front to back: it is a side view")
    if header.for_processing:
        found.append(
            "its header says that it is for processing: these are raw detector values, not what a reader is shown"
        )
    return tuple(found)


def pixel_refusals(whole: NDArray[np.uint8]) -> tuple[str, ...]:
    """Return why no pixels like these (uint8 ``(size, size)``) may be judged, by any model: clauses after "because"."""
    # Were nine tenths of all pixels in two levels, six tenths of every fourth row would be: most images end here.
    if _in_two_levels(whole[::4]) <= 1 - 4 * (1 - _MOST_IN_TWO_LEVELS):
        return ()
    if _in_two_levels(whole) > _MOST_IN_TWO_LEVELS:
        return ("nearly all of its pixels have one of two grey values, as in a mask, a drawing or an empty film",)
    return ()


def _in_two_levels(grey: NDArray[np.uint8]) -> float:
    """Return the share of pixels that have one of the two most frequent grey values."""
    # A sixth of the time of np.bincount, which makes 64-bit integers of the pixels first.
    levels = np.sort(cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel())
    return float(levels[-2:].sum()) / grey.size


_OUTLIERS = (
    "Some pixels are far brighter or darker than the rest, as burnt-in letters are: they are ignored when black and "
    "white are chosen."
)
_NOT_FRONTAL = {"lateral": "a lateral", "oblique": "an oblique", "decubitus": "a decubitus"}


def reservations_of(radiograph: Radiograph) -> tuple[str, ...]:
    """Return what is to be borne in mind where a radiograph is judged, by its pixels and by its header.

    Sentences without patient data and without numbers, so that those of many images can be counted.
    """
    header = radiograph.header
    found = [
        (
            radiograph.outliers > 0 or (header is not None and header.shown_by == "own range without outliers"),
            _OUTLIERS,
        ),
        (
            min(radiograph.height, radiograph.width) < FEW_PIXELS,
            f"The image is small: a side has under {FEW_PIXELS} pixels, and fine structure is lost.",
        ),
        (radiograph.coloured, SENTENCES["coloured"]),
        (radiograph.transparent, "Parts of the image are transparent; they are judged as if they were on black."),
    ]
    of_header = () if header is None else reservations(header)
    return (*(sentence for holds, sentence in found if holds), *of_header)


def reservations(header: Header) -> tuple[str, ...]:
    """Return what is to be borne in mind where a radiograph is judged: sentences without patient data."""
    found = [
        (
            header.age_years is not None and header.age_years < ADULT_YEARS,
            "The patient is a child: outside the intended use, which is adults.",
        ),
        (
            header.age_years is None and "age" not in header.doubts,
            "The header does not give the patient's age; the intended use is adults.",
        ),
        (header.modality is None, "The header does not say what made the image."),
        (header.region is None, "The header does not name the part of the body."),
        (header.region == "unknown", "The header names the part of the body in words that Carina does not know."),
        (header.view is None, "The header does not name the view."),
        (header.view == "unknown", "The header names the view in words that Carina does not know."),
        (
            header.rows_run_to == "right",
            "The header says that the image is mirrored: the patient's left is on the left.",
        ),
        (
            header.rows_run_to in ("head", "feet") or header.columns_run_to in ("left", "right"),
            "The header says that the image lies on its side.",
        ),
        (header.columns_run_to == "head", "The header says that the image is upside down."),
        (header.laterality in ("left", "right"), "The header says that only one side is shown."),
        (header.burned_in_annotation is True, "Writing is burned into the image; it may name the patient."),
        (not header.square_pixels, "Its pixels are not square; it is judged as if they were."),
        (
            header.polarity_contradicted,
            "PhotometricInterpretation and PresentationLUTShape contradict each other; the first is followed.",
        ),
        (
            header.shutter_ignored,
            "Its shutter or collimator would leave next to nothing of the image and was not followed.",
        ),
        (header.preamble_is_program, "The file begins like a program: a computer may run it. Have it looked at."),
    ]
    said = [sentence for holds, sentence in found if holds]
    said += [SENTENCES[doubt] for doubt in header.doubts]
    if header.several:
        said.append(f"The header gives several values where there should be one: {', '.join(header.several)}.")
    return tuple(said)
