"""Stored values are shown as the standard says: each step against numbers worked out by hand, and in their order."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from carina.errors import InputError
from carina.radiographs.dicom.decode import decode
from carina.radiographs.dicom.display import apply_window
from carina.radiographs.dicom.showing import Window
from carina.radiographs.intended_use import reservations_of
from make import make_grey, write_letters
from make_dicom import BIG_ENDIAN, IMPLICIT, encode_dicom, full_window

# Every value of 12 bits, in a block that is large enough for a radiograph.
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def shown(pixels: NDArray[Any], *arguments: Any, **attributes: Any) -> tuple[NDArray[np.float64], str]:
    """What is shown, from 0 for black to 1 for white, and by what."""
    radiograph = decode(encode_dicom(pixels, *arguments, **attributes))
    return radiograph.pixels / radiograph.white, radiograph.header.shown_by


def ramp(**attributes: Any) -> NDArray[np.float64]:
    """What each value of 12 bits becomes, 0 to 1."""
    unit, _ = shown(RAMP, stored=12, **attributes)
    return unit.ravel()


def table(first: int, entries: NDArray[np.int64], bits: int = 12, **more: Any) -> list[dict[str, bytes | list[int]]]:
    return [
        {"LUTDescriptor": [len(entries) % 65536, first % 65536, bits], "LUTData": np.asarray(entries, "<u2").tobytes()}
    ]


# The values of PS3.3 C.11.2.1.2.1's example (centre 2048, width 4096) and of C.11.2.1.3, worked out by hand.
@pytest.mark.parametrize(
    ("window", "value", "expected"),
    [
        (Window(2048, 4096, "LINEAR"), 0, 0),
        (Window(2048, 4096, "LINEAR"), 4095, 1),
        (Window(2048, 4096, "LINEAR"), 1024, 1024 / 4095),
        (Window(2048, 1, "LINEAR"), 2047, 0),
        (Window(2048, 1, "LINEAR"), 2048, 1),
        (Window(0, 100, "LINEAR"), -50, 0),
        (Window(0, 100, "LINEAR"), 49, 1),
        (Window(0, 100, "LINEAR"), -0.5, 0.5),
        (Window(2048, 4096, "LINEAR_EXACT"), 0, 0),
        (Window(2048, 4096, "LINEAR_EXACT"), 4096, 1),
        (Window(2048, 4096, "LINEAR_EXACT"), 2048, 0.5),
        (Window(0.5, 0.5, "LINEAR_EXACT"), 0.25, 0),
        (Window(2048, 4096, "SIGMOID"), 2048, 0.5),
        (Window(2048, 4096, "SIGMOID"), 3072, 1 / (1 + np.exp(-1.0))),
        (Window(2048, 1e-3, "SIGMOID"), 0, 0),
        (Window(2048, 1e-3, "SIGMOID"), 4095, 1),
    ],
)
def test_windows(window: Window, value: float, expected: float) -> None:
    assert apply_window(np.array([float(value)]), window)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID", "UNKNOWN"])
def test_the_window_of_a_file_is_applied(function: str | None) -> None:
    unit = ramp(WindowCenter=1000, WindowWidth=500, VOILUTFunction=function)
    expected = apply_window(RAMP.ravel().astype(float), Window(1000, 500, function if function else "LINEAR"))
    np.testing.assert_allclose(unit, expected, atol=1e-5)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("function", [None, "LINEAR_EXACT"])
def test_on_request_nothing_is_cut_off_and_the_window_is_told(photometric: str, function: str | None) -> None:
    """A viewer starts at the header's window, and shows what lies outside it when somebody drags."""
    said = {"WindowCenter": "1024", "WindowWidth": "513", "VOILUTFunction": function}
    content = encode_dicom(RAMP, photometric=photometric, stored=12, **said)
    cut, whole = decode(content), decode(content, whole=True)
    assert cut.window is None
    assert len(np.unique(cut.pixels)) < 600
    assert len(np.unique(whole.pixels)) == 4096
    black, white = whole.window
    shown = np.clip((whole.pixels - black) / (white - black), 0, 1)
    assert np.abs(shown - cut.pixels / cut.white).max() < 1e-3
    # Without a window the range is that of the values.
    plain = decode(encode_dicom(RAMP, photometric=photometric, stored=12), whole=True)
    assert plain.window == (0, 65_535)


def test_of_several_windows_the_first_is_shown() -> None:
    both = ramp(WindowCenter=[1000, 3000], WindowWidth=[500, 100])
    np.testing.assert_array_equal(both, ramp(WindowCenter=1000, WindowWidth=500))
    assert not np.array_equal(both, ramp(WindowCenter=3000, WindowWidth=100))


def test_without_a_window_the_range_is_that_of_the_values() -> None:
    pixels = np.clip(RAMP, 1000, 3000)
    unit, by = shown(pixels, stored=16)
    assert by == "own range"
    np.testing.assert_allclose(unit, (pixels - 1000.0) / 2000.0, atol=1e-5)


@pytest.mark.parametrize("letters", [65_535, 0])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_letters_do_not_set_the_range(letters: int, photometric: str) -> None:
    grey = make_grey(3, (300, 240), depth=12) + np.uint16(20_000)
    clean, by = shown(grey, stored=16, PhotometricInterpretation=photometric)
    assert by == "own range"
    one, written = grey.copy(), write_letters(grey, letters)
    one[5, 6] = letters
    for marked in (one, written):
        unit, by = shown(marked, stored=16, PhotometricInterpretation=photometric)
        assert by == "own range without outliers"
        same = marked == grey
        # Smooth edges of the letters may widen the range a little.
        np.testing.assert_allclose(unit[same], clean[same], atol=0.2 if marked is written else 1e-5)
        brighter = (letters > 20_000) == (photometric == "MONOCHROME2")
        assert unit[~same].max() == 1.0 if brighter else unit[~same].min() == 0.0
    (sentence, *_) = reservations_of(decode(encode_dicom(one, stored=16)))
    assert "burnt-in letters" in sentence


@pytest.mark.parametrize("frame", [65_535, 0])
def test_a_frame_does_not_set_the_range(frame: int) -> None:
    grey = make_grey(3, (300, 240), depth=12) + np.uint16(20_000)
    framed = grey.copy()
    framed[:40] = frame
    unit, by = shown(framed, stored=16)
    assert by == "own range without outliers"
    np.testing.assert_allclose(unit[40:], (grey[40:] - grey[40:].min()) / np.ptp(grey[40:]), atol=1e-4)


def test_a_long_tail_is_no_outlier() -> None:
    skewed = np.rint(4095 * (make_grey(3, (300, 240), depth=12) / 4095.0) ** 3).astype(np.uint16)
    unit, by = shown(skewed, stored=12)
    assert by == "own range"
    np.testing.assert_allclose(unit, (skewed - skewed.min()) / np.ptp(skewed), atol=1e-4)


@pytest.mark.parametrize(
    "window", [(None, 100), (100, None), (100, 0), (100, -5), (100, 0.5), ("x", "y"), ("", ""), ("1e999", 5)]
)
def test_a_window_that_is_none_counts_as_missing(window: tuple[Any, ...]) -> None:
    centre, width = window
    unit, by = shown(RAMP, stored=12, WindowCenter=centre, WindowWidth=width)
    assert by == "own range"
    np.testing.assert_allclose(unit.ravel(), np.arange(4096) / 4095, atol=1e-5)


def test_rescaling_comes_before_the_window() -> None:
    unit = ramp(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=1000, WindowWidth=500)
    expected = apply_window(2.0 * np.arange(4096) - 1000, Window(1000, 500, "LINEAR"))
    np.testing.assert_allclose(unit, expected, atol=1e-5)
    # A slope of nothing would leave no image.
    np.testing.assert_array_equal(ramp(RescaleSlope=0, RescaleIntercept=7, **full_window(12)), ramp(**full_window(12)))


def test_a_negative_slope_turns_black_and_white() -> None:
    unit = ramp(RescaleSlope=-1, RescaleIntercept=4095, **full_window(12))
    np.testing.assert_allclose(unit, 1 - np.arange(4096) / 4095, atol=1e-5)


def test_a_modality_lut_takes_the_place_of_rescaling() -> None:
    entries = np.arange(2000)[::-1]
    unit = ramp(ModalityLUTSequence=table(100, entries), RescaleSlope=5, RescaleIntercept=5, **full_window(12))
    expected = entries[np.clip(np.arange(4096) - 100, 0, 1999)] / 4095
    np.testing.assert_allclose(unit, expected, atol=1e-5)


def test_a_voi_lut_takes_the_place_of_the_window() -> None:
    entries = np.sqrt(np.linspace(0, 1, 3000)) * 4095
    entries = np.rint(entries).astype(int)
    unit, by = shown(RAMP, stored=12, VOILUTSequence=table(500, entries), WindowCenter=1, WindowWidth=2)
    assert by == "lookup table"
    np.testing.assert_allclose(unit.ravel(), entries[np.clip(np.arange(4096) - 500, 0, 2999)] / 4095, atol=1e-5)


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN])
def test_tables_are_read_in_every_encoding(syntax: str) -> None:
    entries = np.arange(4096)[::-1]
    lut = [
        {"LUTDescriptor": [4096, 0, 12], "LUTData": entries.astype(">u2" if syntax == BIG_ENDIAN else "<u2").tobytes()}
    ]
    unit, _ = shown(RAMP, syntax, stored=12, VOILUTSequence=lut)
    np.testing.assert_allclose(unit.ravel(), entries / 4095, atol=1e-5)


def test_a_table_that_says_more_bits_than_it_uses_is_not_shown_dark() -> None:
    entries = np.arange(4096)
    np.testing.assert_allclose(ramp(VOILUTSequence=table(0, entries, bits=16)), entries / 4095, atol=1e-5)
    # One that uses few of them is black for the most part, but no darker than the next depth.
    np.testing.assert_allclose(ramp(VOILUTSequence=table(0, entries // 16, bits=16)).max(), 1, atol=1e-5)


def test_a_table_of_65536_entries_and_signed_values() -> None:
    pixels = (RAMP.astype(np.int32) - 2048).astype(np.int16)
    entries = np.arange(65536)
    unit, _ = shown(pixels, stored=16, VOILUTSequence=table(-32768, entries, bits=16))
    np.testing.assert_allclose(unit, (pixels.astype(float) + 32768) / 65535, atol=1e-5)


def test_entries_of_eight_bits_two_in_a_word() -> None:
    packed = np.arange(256, dtype=np.uint8)[::-1].tobytes()
    lut = [{"LUTDescriptor": [256, 0, 8], "LUTData": packed}]
    pixels = RAMP.astype(np.uint8)
    unit, _ = shown(pixels, VOILUTSequence=lut)
    np.testing.assert_allclose(unit, 1 - pixels / 255, atol=1e-5)


@pytest.mark.parametrize(
    "lut",
    [
        [{"LUTDescriptor": [10, 0, 12]}],
        [{"LUTData": bytes(20)}],
        [{"LUTDescriptor": [10, 0, 12], "LUTData": bytes(18)}],
        [{"LUTDescriptor": [10, 0, 30], "LUTData": bytes(20)}],
        [{"LUTDescriptor": [10, 0], "LUTData": bytes(20)}],
    ],
)
@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
def test_a_table_that_makes_no_sense_is_refused(lut: list[Any], keyword: str) -> None:
    with pytest.raises(InputError, match=f"its {keyword} is no table that could be applied") as caught:
        shown(RAMP, stored=12, **{keyword: lut})
    assert caught.value.code == "no-display-range"


@pytest.mark.parametrize(
    ("photometric", "shape", "turned"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", None, True),
        # Both say the same, once.
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
    ],
)
def test_polarity_comes_last_and_once(photometric: str, shape: str | None, turned: bool) -> None:
    attributes = {"RescaleSlope": 2, "WindowCenter": 1000, "WindowWidth": 600}
    plain = ramp(**attributes)
    unit = ramp(photometric=photometric, PresentationLUTShape=shape, **attributes)
    np.testing.assert_allclose(unit, 1 - plain if turned else plain, atol=2e-5)
    header = decode(encode_dicom(RAMP, photometric=photometric, PresentationLUTShape=shape)).header
    assert header.polarity_contradicted == ((photometric, shape) == ("MONOCHROME1", "IDENTITY"))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_widen_the_range(photometric: str) -> None:
    pixels = np.clip(RAMP, 1000, 3000)
    pixels[:8], pixels[8:16] = 0, 4000
    unit, _ = shown(pixels, photometric=photometric, PixelPaddingValue=0)
    assert (unit[:8] == 0).all()
    # The rows from 16 on begin at 1024.
    expected = (pixels[8:] - 1024.0) / (4000 - 1024)
    np.testing.assert_allclose(unit[8:], 1 - expected if photometric == "MONOCHROME1" else expected, atol=1e-5)
    unit, _ = shown(pixels, photometric=photometric, PixelPaddingValue=4000, PixelPaddingRangeLimit=3001)
    assert (unit[8:16] == 0).all()
    assert unit[:8].min() == (1 if photometric == "MONOCHROME1" else 0)


def test_padding_of_signed_values() -> None:
    pixels = np.clip(RAMP, 1000, 3000).astype(np.int16)
    pixels[:8] = -2000
    unit, _ = shown(pixels, PixelPaddingValue=-2000 % 65536)
    assert (unit[:8] == 0).all()
    np.testing.assert_allclose(unit[8:], (pixels[8:] - 1000.0) / 2000, atol=1e-5)


def test_what_is_all_padding_or_all_one_grey_is_refused() -> None:
    for attributes in (
        {"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095},
        {"WindowCenter": 50_000, "WindowWidth": 10},
    ):
        with pytest.raises(InputError, match="shown in the same grey") as caught:
            shown(RAMP, stored=12, **attributes)
        assert caught.value.code == "constant-image"
    with pytest.raises(InputError, match="same grey"):
        shown(np.full((40, 40), 7, np.uint8))


@pytest.mark.parametrize(
    "attributes",
    [
        {"RescaleSlope": "1e308"},
        {"RescaleIntercept": "-1e300"},
        {"RescaleSlope": "1e308", "RescaleIntercept": "-1e308"},
    ],
)
def test_values_beyond_everything_are_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(InputError, match="no display can show") as caught:
        shown(RAMP, stored=12, **attributes)
    assert caught.value.code == "no-display-range"


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [("1e308", "1"), ("-1e308", "1e308"), ("1e308", "1.5"), ("0", "1e308")])
def test_an_absurd_window_shows_one_grey(function: str, centre: str, width: str) -> None:
    with pytest.raises(InputError, match="same grey"):
        shown(RAMP, stored=12, WindowCenter=centre, WindowWidth=width, VOILUTFunction=function)


@pytest.mark.parametrize("stored", [9, 10, 12, 15])
def test_overlays_in_unused_bits_are_masked(stored: int) -> None:
    values = (RAMP & ((1 << stored) - 1)).astype(np.uint16)
    dirty = values | np.where(RAMP % 3 == 0, 1 << stored, 0).astype(np.uint16) | np.uint16(0x8000)
    clean, _ = shown(values, stored=stored)
    unit, _ = shown(dirty, stored=stored)
    np.testing.assert_array_equal(unit, clean)


def test_values_that_do_not_begin_at_the_lowest_bit() -> None:
    clean, _ = shown(RAMP, stored=12)
    unit, _ = shown(RAMP << np.uint16(4), stored=12, HighBit=15)
    np.testing.assert_array_equal(unit, clean)


@pytest.mark.parametrize("stored", [8, 10, 12, 16])
def test_signed_values_have_their_sign_at_the_highest_used_bit(stored: int) -> None:
    values = make_grey(3, (50, 40), stored).astype(np.int32) - (1 << (stored - 1))
    pixels = (values & ((1 << stored) - 1)).astype(np.int8 if stored == 8 else np.int16)
    unit, _ = shown(pixels, stored=stored, **full_window(stored, signed=True))
    np.testing.assert_allclose(unit, (values + (1 << (stored - 1))) / ((1 << stored) - 1), atol=1e-5)


def test_colour_has_neither_window_nor_polarity() -> None:
    colour = np.stack([RAMP.astype(np.uint8)] * 3, axis=-1)
    unit, by = shown(colour, WindowCenter=5, WindowWidth=2, PixelPaddingValue=0, PresentationLUTShape="INVERSE")
    assert by == "colour"
    np.testing.assert_allclose(unit, RAMP.astype(np.uint8) / 255, atol=1e-5)
