"""What a header says of how an image is shown is used where it can be, and said where it cannot."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from carina.errors import InputError
from carina.radiographs.dicom.decode import decode
from carina.radiographs.dicom.display import apply_window
from carina.radiographs.dicom.showing import Window
from make_dicom import EXPLICIT, IMPLICIT, encode_dicom

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
GOOD = {"WindowCenter": 1000, "WindowWidth": 500}
BROKEN_TABLES = [
    {},
    {"LUTDescriptor": [10, 0, 12]},
    {"LUTData": bytes(20)},
    {"LUTDescriptor": [4096, 0, 12], "LUTData": bytes(2 * 4095)},
    {"LUTDescriptor": [10, 0, 30], "LUTData": bytes(20)},
]
TABLE = {"LUTDescriptor": [4096, 0, 12], "LUTData": np.arange(4096, dtype="<u2")[::-1].tobytes()}


def shown(syntax: str = EXPLICIT, **attributes: Any) -> tuple[Any, ...]:
    """What each value of 12 bits becomes, 0 to 1, by what, and what is said."""
    radiograph = decode(encode_dicom(RAMP, syntax, stored=12, **attributes))
    return radiograph.pixels.ravel() / 65535, radiograph.header.shown_by, radiograph.header.doubts


def by_window(centre: float, width: int, function: str = "LINEAR") -> NDArray[np.float64]:
    return apply_window(np.arange(4096.0), Window(centre, width, function))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize(
    ("centre", "width", "window", "doubts"),
    [
        ("2600,0", "2000,0", (2600, 2000), ("decimal comma",)),
        ("2600,5", "2000", (2600.5, 2000), ("decimal comma",)),
        (" 2600 ", "+2000.0", (2600, 2000), ()),
        ("2.6E+03", "2e3", (2600, 2000), ()),
        ("\\2600", "\\2000", (2600, 2000), ("other window",)),
        ("x\\2600", "2000\\2000", (2600, 2000), ("other window",)),
        ("300\\2600", "0\\2000", (2600, 2000), ("other window",)),
        ("300\\2600", "-5\\2000", (2600, 2000), ("other window",)),
        ("300\\2600,0", "\\2000,0", (2600, 2000), ("other window", "decimal comma")),
        ("2600\\x", "2000\\y", (2600, 2000), ()),
        ("2600\\3000", "2000", (2600, 2000), ()),
    ],
)
def test_a_window_that_can_be_used_is_used(
    syntax: str, centre: str, width: str, window: tuple[Any, ...], doubts: tuple[Any, ...]
) -> None:
    unit, by, said = shown(syntax, WindowCenter=centre, WindowWidth=width)
    np.testing.assert_allclose(unit, by_window(*window), atol=1e-5)
    assert (by, said) == ("window", doubts)


@pytest.mark.parametrize(
    ("centre", "width"),
    [
        *((None, 100), (100, None), (100, 0), (100, -5), (100, 0.5), ("x", "y"), ("1e999", 5), ("nan", "5")),
        # One and a bit, or over a thousand: nobody knows.
        *(("2,600", "2,000"), ("2600,0,0", "2000"), ("", "100")),
    ],
)
def test_a_window_that_cannot_is_said(centre: int | str | None, width: float | str | None) -> None:
    unit, by, said = shown(WindowCenter=centre, WindowWidth=width)
    assert (by, said) == ("own range", ("window",))
    np.testing.assert_allclose(unit, np.arange(4096) / 4095, atol=1e-5)


@pytest.mark.parametrize(("centre", "width"), [(None, None), ("", ""), ("\\", "\\")])
def test_no_window_is_nothing_to_be_said(centre: str | None, width: str | None) -> None:
    assert shown(WindowCenter=centre, WindowWidth=width)[1:] == ("own range", ())


@pytest.mark.parametrize("broken", BROKEN_TABLES)
def test_a_table_that_cannot_be_used_beside_what_can(broken: dict[str, Any]) -> None:
    unit, by, said = shown(VOILUTSequence=[broken], **GOOD)
    np.testing.assert_allclose(unit, by_window(1000, 500), atol=1e-5)
    assert (by, said) == ("window", ("lookup table",))
    unit, by, said = shown(VOILUTSequence=[broken, TABLE], **GOOD)
    np.testing.assert_allclose(unit, np.arange(4096)[::-1] / 4095, atol=1e-5)
    assert (by, said) == ("lookup table", ("lookup table",))
    for window in ({}, {"WindowCenter": 5, "WindowWidth": 0}):
        with pytest.raises(InputError, match="its VOILUTSequence is no table"):
            shown(VOILUTSequence=[broken], **window)


def test_a_sequence_without_items_is_no_table() -> None:
    assert shown(VOILUTSequence=[], **GOOD)[1:] == ("window", ())


def test_a_broken_window_beside_a_table_is_said() -> None:
    assert shown(VOILUTSequence=[TABLE], WindowCenter="x", WindowWidth=5)[1:] == ("lookup table", ("window",))


@pytest.mark.parametrize("keyword", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_functional_groups_say_how_their_frame_is_shown(keyword: str) -> None:
    voi = {"WindowCenter": 3000, "WindowWidth": 800, "VOILUTFunction": "SIGMOID"}
    line = {"RescaleSlope": 2, "RescaleIntercept": -1000}
    groups = [{"FrameVOILUTSequence": [voi], "PixelValueTransformationSequence": [line]}]
    unit, by, said = shown(**{keyword: groups})
    expected = apply_window(2.0 * np.arange(4096) - 1000, Window(3000, 800, "SIGMOID"))
    np.testing.assert_allclose(unit, expected, atol=1e-5)
    assert (by, said) == ("window", ())
    # The image's own come first, and where they cannot be used, theirs.
    np.testing.assert_allclose(
        shown(**{keyword: [{"FrameVOILUTSequence": [voi]}]}, **GOOD)[0], by_window(1000, 500), atol=1e-5
    )
    unit, _, said = shown(**{keyword: [{"FrameVOILUTSequence": [voi]}]}, WindowCenter=5, WindowWidth=0)
    np.testing.assert_allclose(unit, by_window(3000, 800, "SIGMOID"), atol=1e-5)
    assert said == ("other window",)
    unit, by, _ = shown(**{keyword: [{"FrameVOILUTSequence": [{"VOILUTSequence": [TABLE]}]}]})
    np.testing.assert_allclose(unit, np.arange(4096)[::-1] / 4095, atol=1e-5)
    assert by == "lookup table"


@pytest.mark.parametrize(
    ("attributes", "doubts"),
    [
        ({"VOILUTFunction": "UNKNOWN"}, ("window function",)),
        ({"VOILUTFunction": "linear"}, ()),
        ({"RescaleSlope": "abc", "RescaleIntercept": 0}, ("rescaling",)),
        ({"RescaleSlope": 0, "RescaleIntercept": 7}, ("rescaling",)),
        ({"RescaleSlope": 1, "RescaleIntercept": "x"}, ("rescaling",)),
        ({"RescaleSlope": 2}, ("rescaling",)),
        ({"RescaleIntercept": -5}, ("rescaling",)),
        ({"RescaleSlope": "1,0", "RescaleIntercept": "0,0"}, ("decimal comma",)),
        ({"RescaleSlope": 1}, ()),
        ({"PixelPaddingValue": b"\1\2\3"}, ("padding",)),
        ({"PixelPaddingValue": [0, 1]}, ("padding",)),
        ({"PixelPaddingValue": 0}, ()),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": b"\1\2\3"}, ("padding",)),
        ({"PresentationLUTShape": "LIN OD"}, ("presentation",)),
        ({"PresentationLUTShape": "identity"}, ()),
    ],
)
def test_what_else_cannot_be_used_is_said(attributes: dict[str, Any], doubts: tuple[Any, ...]) -> None:
    assert shown(**{**GOOD, **attributes})[2] == doubts


def test_colour_has_none_of_all_this() -> None:
    colour = np.stack([RAMP.astype(np.uint8)] * 3, axis=-1)
    assert decode(encode_dicom(colour, WindowCenter="x", WindowWidth=0, VOILUTSequence=[{}])).header.doubts == ()
