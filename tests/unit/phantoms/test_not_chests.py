"""Drawn images of what is no chest: the same from the same seed, of every size, and different from each other."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from carina.phantoms.not_chests import draw_not_chest, draw_surroundings
from carina.radiographs.gate import plain_problem


@pytest.mark.parametrize("draw", [draw_not_chest, draw_surroundings])
def test_the_same_seed_draws_the_same_image_and_another_one_another(draw: Callable[..., Any]) -> None:
    images = [draw(np.random.default_rng(seed), 96) for seed in (0, 0, *range(1, 40))]
    np.testing.assert_array_equal(images[0], images[1])
    assert len({image.tobytes() for image in images}) == len(images) - 1
    for image in images:
        assert (image.dtype, image.shape) == (np.uint8, (96, 96))
    # Nearly all show something.
    assert np.mean([plain_problem(image) == "blank" for image in images]) < 0.1


@pytest.mark.parametrize("size", [32, 224, 301])
def test_any_size_can_be_drawn(size: int) -> None:
    for seed in range(25):
        assert draw_not_chest(np.random.default_rng(seed), size).shape == (size, size)


def test_surroundings_are_not_mostly_black() -> None:
    black = [np.mean(draw_surroundings(np.random.default_rng(seed), 64) < 12) for seed in range(60)]
    everything = [np.mean(draw_not_chest(np.random.default_rng(seed), 64) < 12) for seed in range(60)]
    assert np.mean(np.array(black) > 0.5) < 0.05 < np.mean(np.array(everything) > 0.5)
