"""Grey values become a radiograph with the display range that they imply, or are refused."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from carina.errors import InputError
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.radiograph import (
    MAX_SIDE_PX,
    MAX_SIDE_RATIO,
    MIN_SIDE_PX,
    Radiograph,
    build_radiograph,
    check_dimensions,
)
from make import make_grey, write_letters


def up_to(high: float, dtype: type = np.uint16) -> np.ndarray:
    return np.array([[0, high], [high / 2, 0]]).astype(dtype)


@pytest.mark.parametrize(
    ("high", "white"),
    [(1, 255), (255, 255), (256, 1023), (1023, 1023), (1024, 4095), (4095, 4095), (4096, 16383), (16384, 65535)],
)
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_white_is_the_smallest_usual_depth_that_holds_all(high: int, white: int, dtype: type[Any]) -> None:
    radiograph = build_radiograph(up_to(high, dtype))
    assert radiograph.white == (1 if dtype == np.float32 and high == 1 else white)
    assert radiograph.pixels.max() == high
    assert radiograph.pixels.dtype == (np.float32 if dtype == np.float32 else np.uint16)


def test_eight_bit_is_shown_as_it_is() -> None:
    assert build_radiograph(up_to(7, np.uint8)).white == 255


def test_booleans_are_black_and_white() -> None:
    radiograph = build_radiograph(np.eye(40, dtype=bool))
    assert set(np.unique(radiograph.pixels)) == {0, 255}
    assert radiograph.white == 255


def test_shape() -> None:
    radiograph = build_radiograph(make_grey(size=(40, 70)))
    assert (radiograph.height, radiograph.width) == (40, 70)


def test_pixels_lie_in_one_piece() -> None:
    flipped = make_grey()[::-1, ::2]
    radiograph = build_radiograph(flipped)
    assert radiograph.pixels.flags.c_contiguous
    np.testing.assert_array_equal(radiograph.pixels, flipped)


@pytest.mark.parametrize(
    ("pixels", "code", "says"),
    [
        (np.full((4, 4), 9, np.uint8), "constant-image", "(9)"),
        (np.full((4, 4), 0.5, np.float32), "constant-image", "(0.5)"),
        (np.full((4, 4), np.nan, np.float32), "not-finite", "finite"),
        (np.array([[0, np.inf]], np.float32), "not-finite", "finite"),
        (np.array([[-1, 5]], np.int16), "no-display-range", "from -1 to 5"),
        (np.array([[0, 65536]], np.int32), "no-display-range", "to 65536"),
    ],
)
def test_refusals(pixels: NDArray[Any], code: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        build_radiograph(pixels)
    assert caught.value.code == code
    assert says in str(caught.value)


@pytest.mark.parametrize("depth", [10, 12, 14, 16])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float64])
def test_clean_images_are_shown_as_ever(depth: int, seed: int, dtype: type[Any]) -> None:
    """White is the largest value of the smallest usual depth that holds all, and no pixel is altered."""
    grey = make_grey(seed, (120, 100), depth=depth)
    radiograph = build_radiograph(grey.astype(dtype))
    assert (radiograph.white, radiograph.outliers) == (2**depth - 1, 0)
    np.testing.assert_array_equal(radiograph.pixels, grey)


@pytest.mark.parametrize(("depth", "bright"), [(8, 65_535), (10, 4_095), (12, 5_000), (12, 16_383), (12, 65_535)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_handful_of_bright_pixels_does_not_set_white(depth: int, bright: int, dtype: type[Any]) -> None:
    grey = make_grey(5, (300, 240), depth=depth).astype(np.uint16)
    clean = resize_grey(build_radiograph(grey.astype(dtype)), 96)
    one, letters = grey.copy(), write_letters(grey, bright)
    one[7, 9] = bright
    for marked in (one, letters):
        written = marked != grey
        radiograph = build_radiograph(marked.astype(dtype))
        assert radiograph.white == 2**depth - 1
        assert radiograph.pixels.max() == radiograph.white
        assert 0 < radiograph.outliers <= written.sum()
        touched = resize_grey(Radiograph(written.astype(np.uint8) * np.uint8(255), 255.0), 96) > 0
        np.testing.assert_array_equal(resize_grey(radiograph, 96)[~touched], clean[~touched])


def test_a_label_or_a_frame_of_one_bright_value_does_not_set_white() -> None:
    grey = make_grey(6, (300, 240), depth=12)
    framed = grey.copy()
    framed[:40], framed[-40:], framed[:, :20] = 65_535, 65_535, 65_535
    radiograph = build_radiograph(framed)
    assert radiograph.white == 4095
    assert radiograph.outliers == (framed == 65_535).sum()
    # Where most of the film is so bright, or only a little brighter, it is the film.
    for bright, share in ((65_535, 0.6), (8_000, 0.2)):
        film = grey.copy()
        film[: round(share * 300)] = bright
        assert build_radiograph(film).outliers == 0
        assert build_radiograph(film).white == (65_535 if bright == 65_535 else 16_383)


def test_floats_of_up_to_one_keep_their_range_beside_one_that_is_larger() -> None:
    unit = make_grey(5, (300, 240)).astype(np.float32) / 255
    clean = resize_grey(build_radiograph(unit), 96)
    unit[7, 9] = 255
    radiograph = build_radiograph(unit)
    assert (radiograph.white, radiograph.outliers) == (1.0, 1)
    assert np.abs(resize_grey(radiograph, 96).astype(int) - clean).max() <= 255 / 6


@pytest.mark.parametrize(("height", "width"), [(100, 4000), (4000, 100), (251, 100), (100, 251)])
def test_strips_are_refused(height: int, width: int) -> None:
    with pytest.raises(InputError, match=rf"it has {width:,} × {height:,} pixels; no side .* over 2.5 times") as caught:
        build_radiograph(np.tile(make_grey(0, (50, 50)), (84, 84))[:height, :width])
    assert caught.value.code == "implausible-shape"


def test_the_longest_and_the_widest_are_taken() -> None:
    for shape in ((round(100 * MAX_SIDE_RATIO), 100), (100, round(100 * MAX_SIDE_RATIO))):
        assert build_radiograph(make_grey(0, shape)).pixels.shape == shape


@pytest.mark.parametrize(("width", "height"), [(MAX_SIDE_PX, 3906), (MIN_SIDE_PX, MIN_SIDE_PX), (8000, 8000)])
def test_allowed_dimensions(width: int, height: int) -> None:
    check_dimensions(width, height)
    check_dimensions(height, width)


@pytest.mark.parametrize(
    ("width", "height", "code"),
    [
        (MAX_SIDE_PX + 1, 40, "too-large"),
        (MAX_SIDE_PX, 3907, "too-large"),
        (8000, 8001, "too-large"),
        (31, 40, "too-small"),
        (0, 0, "too-small"),
    ],
)
def test_refused_dimensions(width: int, height: int, code: str) -> None:
    for sides in ((width, height), (height, width)):
        with pytest.raises(InputError, match=f"{sides[0]:,} × {sides[1]:,} pixels") as caught:
            check_dimensions(*sides)
        assert caught.value.code == code
