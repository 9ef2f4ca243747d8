"""Oddities: each changes what it says and nothing else, within the grey levels, the same from the same seed."""

from typing import Any

import cv2
import numpy as np
import pytest

from carina.findings import NORMAL
from carina.phantoms.phantom import draw_phantom
from carina.radiographs.corruptions import (
    ODDITIES,
    crop_away,
    fold_sideways,
    make_odd,
    mirror_sideways,
    put_into_picture,
    put_together,
    vary_harmless,
    whiten_lung,
)
from carina.radiographs.gate import plain_problem
from carina.radiographs.lung_mask import Lungs

PHANTOM = draw_phantom(NORMAL, seed=3, size=160)
WHOLE = PHANTOM.pixels
LUNGS = Lungs(PHANTOM.lung_mask)
MARKED = np.zeros((8, 8), np.uint8)
MARKED[0, 1] = 200  # in the upper left


def place_of_mark(image: np.ndarray) -> tuple[int, int]:
    row, column = np.argwhere(image == 200)[0]
    return int(row), int(column)


def test_turns_and_mirrors_go_where_their_names_say() -> None:
    def made(kind: Any, seed: int = 0) -> Any:
        return make_odd(kind, MARKED, np.random.default_rng(seed))

    assert place_of_mark(made("clockwise")) == (1, 7)
    assert place_of_mark(made("counterclockwise")) == (6, 0)
    assert {place_of_mark(made("upside-down", seed)) for seed in range(9)} == {(7, 6), (7, 1)}
    assert place_of_mark(mirror_sideways(MARKED)) == (0, 6)
    np.testing.assert_array_equal(made("inverted"), 255 - MARKED)


@pytest.mark.parametrize("kind", ODDITIES)
def test_every_oddity_is_an_image_of_its_own_the_same_from_the_same_seed(kind: str) -> None:
    original = WHOLE.copy()
    made = [make_odd(kind, WHOLE, np.random.default_rng(seed), lungs=LUNGS, others=[WHOLE[::-1]]) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(WHOLE, original)
    for image in made:
        assert (image.dtype, image.shape) == (np.uint8, WHOLE.shape)
        assert image.flags.c_contiguous
        assert np.abs(image.astype(int) - WHOLE).mean() > 10


@pytest.mark.parametrize("seed", range(30))
def test_a_crop_leaves_out_lung(seed: int) -> None:
    rows = np.repeat(np.arange(160, dtype=np.uint8)[:, np.newaxis], 160, axis=1)
    # Each pixel tells its place, so that the crop can be read from the image.
    top, left = (crop_away(image, np.random.default_rng(seed), LUNGS) for image in (rows, rows.T.copy()))
    box = (int(top.min()), int(left.min()), int(top.max()) + 1, int(left.max()) + 1)
    kept = PHANTOM.lung_mask[box[0] : box[2], box[1] : box[3]].sum() / PHANTOM.lung_mask.sum()
    assert kept < 0.57


@pytest.mark.parametrize("seed", range(10))
def test_blank_is_blank_and_noise_is_noise(seed: int) -> None:
    assert plain_problem(make_odd("blank", WHOLE, np.random.default_rng(seed))) == "blank"
    noisy = make_odd("noise", WHOLE, np.random.default_rng(seed))
    assert np.corrcoef(noisy.ravel(), WHOLE.ravel())[0, 1] < 0.6


@pytest.mark.parametrize("seed", range(8))
def test_blurred_has_lost_what_is_fine(seed: int) -> None:
    def fine(image: Any) -> Any:
        return (image.astype(float) - cv2.GaussianBlur(image, (0, 0), 3)).ravel()

    assert np.corrcoef(fine(make_odd("blurred", WHOLE, np.random.default_rng(seed))), fine(WHOLE))[0, 1] < 0.6


def test_a_sheet_holds_every_radiograph_small() -> None:
    bright, dark = np.full((60, 60), 250, np.uint8), np.full((60, 60), 80, np.uint8)
    sheets = [put_together([bright, dark], np.random.default_rng(seed)) for seed in range(20)]
    assert any({80, 250} <= set(np.unique(sheet)) for sheet in sheets)
    assert {int(value) for sheet in sheets for value in np.unique(sheet)} <= {0, 80, 250, 255}


@pytest.mark.parametrize("seed", range(10))
def test_in_a_picture_the_radiograph_is_a_part(seed: int) -> None:
    picture = np.full((160, 160), 17, np.uint8)
    made = put_into_picture(np.full((160, 160), 200, np.uint8), picture, np.random.default_rng(seed))
    assert 0.05 < np.mean(made != 17) < 0.75
    assert (picture == 17).all()


def test_a_fold_lays_both_halves_over_each_other() -> None:
    halves = np.zeros((100, 100), np.uint8)
    halves[:, 4:50] = 200
    folded = fold_sideways(halves, np.random.default_rng(0))
    assert np.mean((folded > 40) & (folded < 200)) > 0.4


def test_harmless_variation_keeps_up_up_and_dark_dark_but_not_left_left() -> None:
    quarters = np.full((160, 160), 40, np.uint8)
    quarters[80:] = 180
    quarters[80:, 80:] = 240
    mirrored = 0
    for seed in range(30):
        varied = vary_harmless(quarters, None, np.random.default_rng(seed))
        assert (varied.dtype, varied.shape) == (np.uint8, quarters.shape)
        assert varied[50:65, 60:100].mean() < varied[95:110, 60:100].mean() - 20
        mirrored += varied[100:120, 50:70].mean() > varied[100:120, 90:110].mean()
    assert 8 < mirrored < 22


@pytest.mark.parametrize("seed", range(10))
def test_a_lung_is_whitened_and_the_other_one_left_as_it_is(seed: int) -> None:
    dark = np.zeros((160, 160), np.uint8)
    whitened = whiten_lung(dark, LUNGS, np.random.default_rng(seed)) > 60
    assert 0.05 < whitened[PHANTOM.lung_mask].mean() < 0.75
    assert whitened[~PHANTOM.lung_mask].mean() < 0.05
    columns = np.flatnonzero(whitened.any(axis=0))
    assert columns.max() < 90 or columns.min() > 70
