"""What a header rules out is refused, what it leaves in doubt is said, and nothing else is."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from carina.radiographs.header import Header
from carina.radiographs.intended_use import FEW_PIXELS, pixel_refusals, refusals, reservations, reservations_of
from carina.radiographs.radiograph import build_radiograph
from make import make_grey

GOOD = Header(modality="DX", region="chest", view="PA", age_years=45.0, rows_run_to="left", columns_run_to="feet")


def test_an_adults_frontal_chest_radiograph_is_judged_without_a_word() -> None:
    for view in ("PA", "AP", "frontal"):
        assert refusals(replace(GOOD, view=view)) == ()
        assert reservations(replace(GOOD, view=view)) == ()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"region": "elsewhere"}, "another part of the body than the chest"),
        ({"view": "lateral"}, "that it is a lateral view"),
        ({"view": "oblique"}, "that it is an oblique view"),
        ({"view": "decubitus"}, "that it is a decubitus view"),
        ({"view": None, "rows_run_to": "front"}, "it is a side view"),
        ({"view": "PA", "rows_run_to": "back"}, "it is a side view"),
        ({"for_processing": True}, "raw detector values"),
    ],
)
def test_what_is_refused(changed: dict[str, Any], says: str) -> None:
    (reason,) = refusals(replace(GOOD, **changed))
    assert says in reason
    assert reason[0].islower()
    assert not reason.endswith(".")


def test_a_view_is_not_refused_twice() -> None:
    assert len(refusals(replace(GOOD, view="lateral", rows_run_to="front"))) == 1
    assert len(refusals(replace(GOOD, view="lateral", region="elsewhere", for_processing=True))) == 3


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"age_years": 17.9}, "is a child: outside the intended use"),
        ({"age_years": None}, "does not give the patient's age"),
        ({"modality": None}, "does not say what made"),
        ({"region": None}, "does not name the part of the body"),
        ({"region": "unknown"}, "part of the body in words that Carina does not know"),
        ({"view": None}, "does not name the view"),
        ({"view": "unknown"}, "the view in words that Carina does not know"),
        ({"rows_run_to": "right"}, "is mirrored"),
        ({"rows_run_to": "head", "columns_run_to": "left"}, "lies on its side"),
        ({"columns_run_to": "head"}, "upside down"),
        ({"laterality": "left"}, "only one side"),
        ({"burned_in_annotation": True}, "Writing is burned into the image"),
        ({"square_pixels": False}, "not square"),
        ({"polarity_contradicted": True}, "contradict each other"),
        ({"shutter_ignored": True}, "was not followed"),
        ({"preamble_is_program": True}, "begins like a program"),
    ],
)
def test_what_is_said(changed: dict[str, Any], says: str) -> None:
    (sentence,) = reservations(replace(GOOD, **changed))
    assert says in sentence
    assert sentence.endswith(".")


def test_what_is_no_reason_for_a_word() -> None:
    for changed in ({"burned_in_annotation": False}, {"laterality": "unpaired"}, {"lossy": True}, {"age_years": 18.0}):
        assert reservations(replace(GOOD, **changed)) == ()
    assert reservations(replace(GOOD, rows_run_to=None, columns_run_to=None)) == ()


def test_pixels_leave_doubts_too() -> None:
    film = make_grey(0, (FEW_PIXELS, FEW_PIXELS), depth=12)
    assert reservations_of(build_radiograph(film)) == ()
    film[3, 3] = 65_535
    (sentence,) = reservations_of(build_radiograph(film))
    assert sentence.startswith("Some pixels are far brighter or darker than the rest")
    (sentence,) = reservations_of(build_radiograph(film[1:, :] // 16 * 16 % 4096))
    assert sentence.startswith("The image is small: a side has under 96 pixels")
    both = replace(build_radiograph(film), header=replace(GOOD, age_years=None))
    assert len(reservations_of(both)) == 2


def test_masks_drawings_and_empty_films_are_refused_whatever_the_model() -> None:
    film = make_grey(0, (96, 96))
    black_border = film.copy()
    black_border[:75] = 0
    assert pixel_refusals(film) == pixel_refusals(black_border) == ()
    mask = cv2.GaussianBlur((film > 120).astype(np.uint8) * np.uint8(255), (3, 3), 0)
    mask[:80] = 0
    empty = np.full((96, 96), 40, np.uint8)
    empty[3:8, 3:8] = 255
    # Every fourth row is looked at first: here all pixels that have other grey values lie in those.
    hidden, barely = np.full((96, 96), 40, np.uint8), np.full((96, 96), 40, np.uint8)
    hidden[::4, :37] = film[::4, :37]
    barely[::4, :43] = np.arange(43)
    for wrong in (mask, empty, hidden):
        (reason,) = pixel_refusals(wrong)
        assert reason.startswith("nearly all of its pixels have one of two grey values")
    assert pixel_refusals(barely) == ()
