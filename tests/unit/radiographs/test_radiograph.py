"""Grey values become a radiograph with the display range that they imply, or are refused."""

import numpy as np
import pytest

from carina.errors import InputError
from carina.radiographs.radiograph import MAX_SIDE_PX, MIN_SIDE_PX, build_radiograph, check_dimensions
from make import make_grey


def up_to(high: float, dtype: type = np.uint16) -> np.ndarray:
    return np.array([[0, high], [high / 2, 0]]).astype(dtype)


@pytest.mark.parametrize(
    ("high", "white"),
    [(1, 255), (255, 255), (256, 1023), (1023, 1023), (1024, 4095), (4095, 4095), (4096, 16383), (16384, 65535)],
)
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_white_is_the_smallest_usual_depth_that_holds_all(high, white, dtype):
    radiograph = build_radiograph(up_to(high, dtype))
    assert radiograph.white == (1 if dtype == np.float32 and high == 1 else white)
    assert radiograph.pixels.max() == high
    assert radiograph.pixels.dtype == (np.float32 if dtype == np.float32 else np.uint16)


def test_eight_bit_is_shown_as_it_is():
    assert build_radiograph(up_to(7, np.uint8)).white == 255


def test_booleans_are_black_and_white():
    radiograph = build_radiograph(np.eye(40, dtype=bool))
    assert set(np.unique(radiograph.pixels)) == {0, 255}
    assert radiograph.white == 255


def test_shape():
    radiograph = build_radiograph(make_grey(size=(40, 70)))
    assert (radiograph.height, radiograph.width) == (40, 70)


def test_pixels_lie_in_one_piece():
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
def test_refusals(pixels, code, says):
    with pytest.raises(InputError) as caught:
        build_radiograph(pixels)
    assert caught.value.code == code
    assert says in str(caught.value)


@pytest.mark.parametrize(("width", "height"), [(MAX_SIDE_PX, 3906), (MIN_SIDE_PX, MIN_SIDE_PX), (8000, 8000)])
def test_allowed_dimensions(width, height):
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
def test_refused_dimensions(width, height, code):
    for sides in ((width, height), (height, width)):
        with pytest.raises(InputError, match=f"{sides[0]:,} × {sides[1]:,} pixels") as caught:
            check_dimensions(*sides)
        assert caught.value.code == code
