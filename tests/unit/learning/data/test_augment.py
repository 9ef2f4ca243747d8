"""Variation of training images: never mirrored, the same for the same draw, and none where nothing may change."""

from typing import Any

import numpy as np
import pytest

from carina.learning.data.augment import mix_amplitudes, vary
from carina.learning.recipe import AugmentationSettings
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.preprocess import Preprocessing, frame
from make import make_grey

STRONG = AugmentationSettings(
    rotation_turns=0.03,
    shift=0.06,
    zoom=0.12,
    aspect=0.08,
    gamma=0.7,
    contrast=0.5,
    brightness=0.25,
    blur=0.5,
    noise=0.06,
    crop_margin=0.05,
)


def some_lungs() -> Lungs:
    mask = np.zeros((160, 160), np.bool_)
    mask[30:120, 20:130] = True
    return Lungs(mask)


@pytest.mark.parametrize("crop", ["none", "lungs"])
def test_without_variation_it_is_the_frame(crop: str) -> None:
    preprocessing = Preprocessing(size=96, whole_size=96, crop=crop, stretch=(1, 99))
    whole = make_grey(5, (96, 96))
    varied = vary(whole, some_lungs(), preprocessing, AugmentationSettings(), np.random.default_rng(0))
    np.testing.assert_array_equal(varied, frame(whole, some_lungs(), preprocessing))


def test_the_same_draw_gives_the_same_copy_and_another_another() -> None:
    preprocessing = Preprocessing(size=96, whole_size=96, crop="lungs", stretch=(1, 99))
    whole = make_grey(5, (96, 96))
    copies = [vary(whole, some_lungs(), preprocessing, STRONG, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(copies[0], copies[1])
    assert np.abs(copies[0].astype(int) - copies[2]).mean() > 5
    assert copies[0].dtype == np.uint8
    assert copies[0].shape == (96, 96)


def test_never_mirrored() -> None:
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    preprocessing = Preprocessing(size=64)
    for seed in range(20):
        copy = vary(ramp, None, preprocessing, STRONG, np.random.default_rng(seed))
        # The ramp still rises from left to right.
        assert copy[20:44, 40:52].mean() > copy[20:44, 12:24].mean()


def test_margins_of_the_crop_vary_without_leaving_the_lungs_out() -> None:
    whole = np.zeros((160, 160), np.uint8)
    whole[30:120, 20:130] = 200
    preprocessing = Preprocessing(size=80, whole_size=160, crop="lungs", crop_margin=0.2)
    shares = []
    for seed in range(30):
        copy = vary(
            whole, some_lungs(), preprocessing, AugmentationSettings(crop_margin=0.1), np.random.default_rng(seed)
        )
        shares.append((copy > 100).mean())
        # Margins of 0.1 to 0.3 of the box.
        assert 1 / 1.62**2 < shares[-1] < 1 / 1.18**2
    assert np.ptp(shares) > 0.05


def test_outside_the_lungs_all_becomes_one_grey() -> None:
    preprocessing = Preprocessing(size=96, whole_size=96)
    whole = make_grey(5, (96, 96))
    mask = np.zeros((160, 160), np.bool_)
    mask[60:100, 30:60] = mask[60:100, 100:130] = True
    settings = AugmentationSettings(outside_erased=1.0)

    varied = vary(whole, Lungs(mask), preprocessing, settings, np.random.default_rng(0))

    assert len(np.unique(varied[:12])) == 1
    lung = np.s_[38:58, 20:34]
    np.testing.assert_allclose(varied[lung].astype(int), whole[lung].astype(int), atol=1)
    never = vary(whole, Lungs(mask), preprocessing, AugmentationSettings(), np.random.default_rng(0))
    np.testing.assert_array_equal(never, whole)


def test_mixed_amplitudes_keep_the_shapes_and_hide_the_scanner() -> None:
    rng = np.random.default_rng(0)
    shapes = rng.integers(40, 216, (16, 32, 32)).astype(np.float64)
    # Half of the images come from a scanner of twice the contrast.
    contrast = np.where(np.arange(16) % 2, 1.0, 0.4)[:, np.newaxis, np.newaxis]
    greys = np.rint(127.5 + (shapes - 127.5) * contrast).astype(np.uint8)

    mixed = mix_amplitudes(greys, 1.0, np.random.default_rng(3))

    def gap(images: int) -> Any:
        spread = images.astype(float).std(axis=(1, 2))
        return spread[1::2].mean() - spread[::2].mean()

    assert mixed.shape == greys.shape
    assert mixed.dtype == np.uint8
    assert gap(mixed) < 0.75 * gap(greys)
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(greys, mixed, strict=True)]
    assert min(correlations) > 0.6
    assert np.abs(mixed.astype(int) - greys).max() > 10


def test_mixing_is_of_the_draw_and_of_the_share() -> None:
    greys = np.random.default_rng(1).integers(0, 256, (8, 32, 32)).astype(np.uint8)
    once, again, other = (mix_amplitudes(greys, 0.5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
    changed = (once != greys).any(axis=(1, 2))
    assert 0 < changed.sum() < 8
    np.testing.assert_array_equal(mix_amplitudes(greys, 0.0, np.random.default_rng(1)), greys)
