"""The one way to the tensor: exact, in range, the same one by one and in a batch, without aliasing."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from amount import sampled
from carina.radiographs.preprocess import Preprocessing, resize_grey, scale_and_offset, to_tensor
from carina.radiographs.radiograph import Radiograph, build_radiograph
from make import make_grey


@pytest.mark.parametrize("pixel_range", ["zero-one", "minus-one-one"])
def test_one_by_one_equals_batch(pixel_range: str) -> None:
    greys = np.stack([resize_grey(build_radiograph(make_grey(seed, (90, 70))), 48) for seed in range(4)])
    batch = to_tensor(greys, pixel_range)
    assert batch.shape == (4, 48, 48, 3)
    assert batch.dtype == np.float32
    for row, grey in zip(batch, greys, strict=True):
        np.testing.assert_array_equal(row, to_tensor(grey, pixel_range))
    single = to_tensor(resize_grey(build_radiograph(make_grey(2, (90, 70))), 48), pixel_range)
    np.testing.assert_array_equal(batch[2], single)


@pytest.mark.parametrize(("pixel_range", "low", "high"), [("zero-one", 0, 1), ("minus-one-one", -1, 1)])
def test_range_and_equal_channels(pixel_range: str, low: int, high: int) -> None:
    tensor = to_tensor(np.array([[0, 255, 51]], np.uint8), pixel_range)
    np.testing.assert_allclose(tensor[0, :, 0], [low, high, low + (high - low) / 5], atol=1e-6)
    assert tensor.min() >= low
    assert tensor.max() <= high
    np.testing.assert_array_equal(tensor[..., 0], tensor[..., 1])
    np.testing.assert_array_equal(tensor[..., 0], tensor[..., 2])
    scale, offset = scale_and_offset(pixel_range)
    np.testing.assert_allclose(255 * scale + offset, high)


def test_eight_bit_at_the_target_size_is_unchanged() -> None:
    grey = make_grey(0, (224, 224))
    np.testing.assert_array_equal(resize_grey(build_radiograph(grey), 224), grey)


def test_deep_grey_at_the_target_size_is_only_scaled() -> None:
    grey = make_grey(0, (224, 224))
    np.testing.assert_array_equal(resize_grey(build_radiograph(grey.astype(np.uint16) * 257), 224), grey)
    np.testing.assert_array_equal(resize_grey(Radiograph(grey.astype(np.float32) / 255, 1.0), 224), grey)


def test_deep_grey_is_rounded_not_cut() -> None:
    deep = np.array([[0, 100, 128, 129, 200, 65406, 65407, 65535]] * 8, np.uint16)
    assert resize_grey(Radiograph(deep, 65535.0), 8)[0].tolist() == [0, 0, 0, 1, 1, 254, 255, 255]


def test_shrinking_by_a_whole_factor_is_the_mean_of_blocks() -> None:
    grey = make_grey(0, (256, 192))
    blocks = grey.reshape(64, 4, 64, 3).mean(axis=(1, 3))
    assert np.abs(resize_grey(build_radiograph(grey), 64) - blocks).max() <= 0.51


@pytest.mark.parametrize("shape", [(448, 448), (1000, 730), (500, 210), (210, 500), (230, 225)])
@pytest.mark.parametrize("deep", [False, True])
def test_a_fine_grid_does_not_alias(shape: tuple[int, int], deep: bool) -> None:
    """Lines one pixel apart, as of an anti-scatter grid, become even grey along each side that shrinks to half."""
    rows, columns = np.indices(shape)
    lines = (rows if shape[0] >= shape[1] else columns) % 2
    grid = (lines * 255).astype(np.uint8)
    pixels = grid.astype(np.uint16) * 257 if deep else grid
    small = resize_grey(build_radiograph(pixels), 224).astype(float)
    # Bilinear sampling shows full-contrast bands; what is left here is the rest of a line at a pixel's edge.
    shrinks_by = max(shape) / 224
    limit = 64 if shrinks_by < 2.1 else 40
    assert 127 - limit <= small.mean() <= 128 + limit
    if shrinks_by >= 2:
        assert np.abs(small - 127.5).max() <= limit


@settings(deadline=None, database=None, max_examples=sampled(40))
@given(st.integers(64, 160), st.integers(64, 160), st.integers(32, 128), st.integers(0, 99))
def test_every_shape_keeps_range_and_mean(height: int, width: int, size: int, seed: int) -> None:
    grey = make_grey(seed, (height, width))
    resized = resize_grey(build_radiograph(grey), size)
    assert resized.shape == (size, size)
    assert resized.dtype == np.uint8
    assert resized.flags.c_contiguous
    assert abs(resized.mean() - grey.mean()) < 12
    deep = resize_grey(build_radiograph(grey.astype(np.uint16) * 257), size)
    assert np.abs(deep.astype(int) - resized).max() <= 1


def test_a_ramp_stays_a_ramp() -> None:
    """Left stays left and bottom stays bottom, whichever side shrinks or grows."""
    across = np.tile(np.arange(100, dtype=np.uint8), (240, 1))
    for size in (32, 200):
        resized = resize_grey(build_radiograph(across), size).astype(int)
        assert (np.diff(resized, axis=1) >= 0).all()
        assert (np.diff(resized, axis=0) == 0).all()
        assert resized[0, -1] - resized[0, 0] > 90


@pytest.mark.parametrize("wrong", [{"size": 16}, {"size": 2048}, {"pixel_range": "imagenet"}, {"crop": True}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Preprocessing(**wrong)


def test_settings_travel_as_json() -> None:
    settings_ = Preprocessing(size=160, pixel_range="zero-one")
    assert Preprocessing.model_validate_json(settings_.model_dump_json()) == settings_
