"""What a shutter or collimator hides is cut off or black, and nonsense hides nothing."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from carina.radiographs.dicom.decode import decode
from carina.radiographs.dicom.shapes import Shape
from carina.radiographs.dicom.shutter import find_visible
from carina.radiographs.radiograph import Radiograph
from make import make_grey
from make_dicom import encode_dicom

PIXELS = make_grey(5, (100, 120), 12)
RECTANGLE = {"LeftVertical": 11, "RightVertical": 90, "UpperHorizontal": 21, "LowerHorizontal": 80}


def rectangle(kind: str, edges: dict[str, int] | None = None) -> dict[str, int | str]:
    edges = RECTANGLE if edges is None else edges
    return {f"{kind}Shape": "RECTANGULAR", **{f"{kind}{edge}Edge": value for edge, value in edges.items()}}


def read(**attributes: Any) -> Radiograph:
    return decode(encode_dicom(PIXELS, stored=12, **attributes))


@pytest.mark.parametrize("kind", ["Shutter", "Collimator"])
def test_a_rectangle_is_cut_out_edges_included(kind: str) -> None:
    radiograph = read(**rectangle(kind))
    assert radiograph.header.crop == (20, 10, 80, 90)
    expected = decode(encode_dicom(np.ascontiguousarray(PIXELS[20:80, 10:90]), stored=12))
    # The range is that of what is seen.
    np.testing.assert_array_equal(radiograph.pixels, expected.pixels)


def test_shutter_and_collimator_both_count() -> None:
    other = rectangle(
        "Collimator", {"LeftVertical": 31, "RightVertical": 500, "UpperHorizontal": -7, "LowerHorizontal": 70}
    )
    assert read(**rectangle("Shutter"), **other).header.crop == (20, 30, 70, 90)


def test_a_circle_leaves_its_box_and_black_corners() -> None:
    radiograph = read(
        ShutterShape="CIRCULAR",
        CenterOfCircularShutter=[50, 60],
        RadiusOfCircularShutter=40,
        WindowCenter=2048,
        WindowWidth=4096,
    )
    assert radiograph.header.crop == (9, 19, 90, 100)
    rows, columns = np.mgrid[9:90, 19:100]
    inside = (rows - 49) ** 2 + (columns - 59) ** 2 <= 40**2
    assert not radiograph.pixels[~inside].any()
    np.testing.assert_allclose(
        radiograph.pixels[inside] / 65535, PIXELS[9:90, 19:100][inside].astype(float) / 4095, atol=1e-5
    )


def test_a_polygon_leaves_its_box_and_black_outside() -> None:
    radiograph = read(
        CollimatorShape="POLYGONAL",
        VerticesOfThePolygonalCollimator=[1, 1, 1, 120, 100, 120],
        photometric="MONOCHROME1",
    )
    assert radiograph.header.crop == (0, 0, 100, 120)
    rows, columns = np.mgrid[0:100, 0:120]
    below = columns < rows * 120 / 100 - 2
    assert not radiograph.pixels[below].any()
    assert np.count_nonzero(radiograph.pixels) > 0.45 * PIXELS.size


def test_several_shapes_of_one_shutter() -> None:
    circle = {"CenterOfCircularShutter": [50, 60], "RadiusOfCircularShutter": 45}
    attributes = rectangle("Shutter") | circle | {"ShutterShape": ["RECTANGULAR", "CIRCULAR"]}
    assert read(**attributes).header.crop == (20, 14, 80, 90)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(edges=(60, 50, 1, 100)),
        Shape(edges=(1, 20, 1, 100)),
        Shape(edges=(500, 900, 500, 900)),
        Shape(edges=(1, 1e300, -1e300, 33)),
        Shape(centre=(50, 50), radius=-3),
        Shape(centre=(50, 50), radius=10),
        Shape(vertices=(1, 1, 100, 120, 1, 1)),
        Shape(vertices=(1, 1, 1, 1, 1, 1)),
    ],
)
def test_what_leaves_next_to_nothing_is_not_followed(shape: Shape) -> None:
    visible = find_visible((shape,), 400, 500)
    assert (visible.box, visible.mask, visible.ignored) == ((0, 0, 400, 500), None, True)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(edges=(-1e300, 1e300, -1e300, 1e300)),
        Shape(centre=(50, 50), radius=1e300),
        Shape(vertices=(-1e300, -1e300, 1e300, -1e300, 1e300, 1e300, -1e300, 1e300)),
    ],
)
def test_what_is_far_larger_than_the_image_hides_nothing(shape: Shape) -> None:
    visible = find_visible((shape,), 400, 500)
    assert (visible.box, visible.ignored) == ((0, 0, 400, 500), False)
    assert visible.mask is None or visible.mask.all()


def test_that_it_was_not_followed_is_said() -> None:
    radiograph = read(**rectangle("Shutter", RECTANGLE | {"RightVertical": 12}))
    assert radiograph.pixels.shape == PIXELS.shape
    assert radiograph.header.shutter_ignored
    assert not read(**rectangle("Shutter")).header.shutter_ignored


@pytest.mark.parametrize(
    "attributes",
    [
        {"ShutterShape": "RECTANGULAR"},
        {"ShutterShape": "CIRCULAR", "RadiusOfCircularShutter": 4},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 2, 3]},
        {"ShutterShape": "BITMAP"},
        {"ShutterShape": "OVAL"},
        {"ShutterLeftVerticalEdge": 5},
    ],
)
def test_a_shape_that_is_not_described_hides_nothing(attributes: dict[str, Any]) -> None:
    radiograph = read(**attributes)
    assert radiograph.header.crop == (0, 0, 100, 120)
    assert not radiograph.header.shutter_ignored


def doubts(pixels: NDArray[np.uint16] = PIXELS, **attributes: Any) -> tuple[Any, ...]:
    return decode(encode_dicom(pixels, stored=12, **attributes)).header.doubts


def edges(left: int, right: int, upper: int, lower: int) -> dict[str, int]:
    return {"LeftVertical": left, "RightVertical": right, "UpperHorizontal": upper, "LowerHorizontal": lower}


@pytest.mark.parametrize("kind", ["Shutter", "Collimator"])
@pytest.mark.parametrize(
    ("named", "expected"),
    [
        # Of a detector with many more pixels: what is left of the image is a corner of it.
        (edges(200, 2400, 150, 2900), ("shutter outside", "shutter crops")),
        (edges(-7, 500, 1, 400), ("shutter outside",)),
        (edges(1, 500, -1, 400), ("shutter outside",)),
        (edges(1, 502, 1, 400), ("shutter outside",)),
        (edges(1, 500, 1, 700), ("shutter outside",)),
        (edges(1, 500, 1, 400), ()),
        # The line beside the first and the last.
        (edges(0, 501, 0, 401), ()),
        (edges(20, 480, 10, 390), ()),
        (edges(200, 500, 100, 400), ("shutter crops",)),
        # Less than networks are shown.
        (edges(1, 500, 1, 200), ("shutter crops",)),
    ],
)
def test_edges_outside_and_small_rests_are_said(kind: str, named: dict[str, int], expected: tuple[Any, ...]) -> None:
    assert doubts(make_grey(5, (400, 500), 12), **rectangle(kind, named)) == expected


def test_a_shape_that_crops_a_small_image_is_said() -> None:
    assert doubts(**rectangle("Collimator")) == ("shutter crops",)
    assert doubts(**rectangle("Collimator", edges(1, 120, 1, 100))) == ()
    assert doubts() == ()
    circle = {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [50, 60], "RadiusOfCircularShutter": 40}
    assert doubts(**circle) == ("shutter crops",)
    # Circles that reach over the edges are usual.
    assert doubts(**{**circle, "RadiusOfCircularShutter": 400}) == ()


@pytest.mark.parametrize("kind", ["Shutter", "Collimator"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"?Shape": "RECTANGULAR"},
        {"?Shape": "CIRCULAR", "RadiusOfCircular?": 4},
        {"?Shape": "POLYGONAL", "VerticesOfThePolygonal?": [1, 2, 3]},
        {"?Shape": "POLYGONAL", "VerticesOfThePolygonal?": [1, 1, "x", 120, 100, 120, 7, 7]},
        {"?Shape": "POLYGONAL", "VerticesOfThePolygonal?": [1, 1, 1, 120, 100, 120, 7]},
        {"?Shape": "BITMAP"},
        {"?Shape": "OVAL"},
        {"?LeftVerticalEdge": 5},
        {"?Shape": "RECTANGULAR", "?LeftVerticalEdge": "x", "?RightVerticalEdge": 9, "?UpperHorizontalEdge": 1},
    ],
)
def test_a_shape_that_cannot_be_followed_is_said(kind: str, attributes: dict[str, Any]) -> None:
    assert doubts(**{name.replace("?", kind): value for name, value in attributes.items()}) == ("shutter",)


def test_shapes_are_named_in_any_case() -> None:
    assert read(**{**rectangle("Shutter"), "ShutterShape": "rectangular"}).header.crop == (20, 10, 80, 90)
