"""Stored values become grey values as a workstation shows them: modality LUT, VOI LUT or window, polarity last.

A stored value has at most 16 bits, so that the whole way of a value is one table of at most 65,536 entries, computed in
64-bit floating point and looked up once a pixel. Source: PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2
(photometric interpretation), C.11.6 (presentation LUT shape); PS3.4 N.2 for the order.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from carina.errors import InputError
from carina.radiographs.dicom.attributes import Layout
from carina.radiographs.dicom.codecs import Patterns
from carina.radiographs.dicom.protocol import WHITE
from carina.radiographs.dicom.showing import Display, Window
from carina.radiographs.dicom.shutter import Visible
from carina.radiographs.dicom.stored import Stored
from carina.radiographs.dicom.values import Lut
from carina.radiographs.header import ShownBy
from carina.radiographs.radiograph import MOST_COVERED, OUTLIER_SHARE

# Far beyond what any modality's units reach, and far from what floats can hold.
_LARGEST = 1e15
# What stays in a processor's cache with its indices.
_BAND_PIXELS = 131_072
_LUT_DEPTHS = (8, 10, 12, 14, 16)


def display_grey(
    stored: Stored, layout: Layout, display: Display, visible: Visible, *, whole: bool = False
) -> tuple[NDArray[np.uint16], ShownBy, tuple[float, float] | None]:
    """Return what is to be seen of an image, in display polarity, and what gave it its range.

    Where there is neither a VOI LUT nor a window, the range is that of the image's own values, without padding and
    without the few that lie far from all others, as burnt-in letters do.

    Parameters
    ----------
    stored, layout, display
        Its pixels, ``(rows, columns)``, and what its header says of them.
    visible
        What of it is to be seen; the rest is cut off, or black.
    whole
        Do not cut off what lies outside a window: the range is that of all values, for a viewer that has windows of its
        own. Each value that occurs keeps a grey value of its own. A lookup table, and a window that is a curve, are
        applied all the same.

    Returns
    -------
    grey
        uint16 ``(height, width)`` of the box, range [0, 65535], 0 is black.
    shown_by
        What gave the grey values their range.
    window
        With `whole`, the grey values that the image's own window shows as black and as white; none where nothing was
        kept from being cut off.

    Raises
    ------
    InputError
        If all that is to be seen has one grey value.
    """
    top, left, bottom, right = visible.box
    patterns = stored.patterns[top:bottom, left:right]
    values = values_of_patterns(stored)
    shown_by: ShownBy
    window: tuple[float, float] | None = None
    if layout.samples > 1:
        # Colours have neither window nor polarity.
        unit, shown_by = values.clip(0) / ((1 << stored.bits) - 1), "colour"
        black = np.zeros(len(values), np.bool_)
    else:
        black = _is_padding(values, display, signed=stored.signed)
        modal = _modality(values, display, signed=stored.signed)
        if display.voi_lut is not None:
            unit, shown_by = _looked_up(modal, display.voi_lut), "lookup table"
        elif display.window is not None and not (whole and display.window.function != "SIGMOID"):
            unit, shown_by = apply_window(modal, display.window), "window"
        else:
            counts = np.where(black, 0, _counts(patterns, visible.mask, len(values)))
            ends, shown_by = _own_range(modal, counts)
            if display.window is not None:
                ends, shown_by = _ends_of(display.window), "window"
            low, high = _extent(modal, counts) if whole else ends
            unit = np.clip((modal - low) / (high - low or 1.0), 0.0, 1.0)
            if whole:
                window = tuple(WHITE * (end - low) / (high - low or 1.0) for end in ends)  # type: ignore[assignment]
        if layout.photometric == "MONOCHROME1" or display.inverse:
            unit = 1.0 - unit
            window = None if window is None else (WHITE - window[1], WHITE - window[0])
    table = np.rint(WHITE * unit).astype(np.uint16)
    table[black] = 0
    grey = _looked_up_each(patterns, table)
    if visible.mask is not None:
        grey[~visible.mask] = 0
    if grey.min() == grey.max():
        msg = "every pixel is shown in the same grey: there is nothing to judge."
        raise InputError(msg, "constant-image")
    return grey, shown_by, window


def values_of_patterns(stored: Stored) -> NDArray[np.int64]:
    """Return the stored value of every pattern that the pixels' type holds: int64 ``(256,)`` or ``(65536,)``.

    Bits that are not used for values (overlays were once kept there) are taken off.
    """
    every = np.arange(np.iinfo(stored.patterns.dtype).max + 1, dtype=np.int64)
    values = (every >> stored.shift) & ((1 << stored.bits) - 1)
    if stored.signed:
        values -= (values >> (stored.bits - 1)) << stored.bits
    return values


def _is_padding(values: NDArray[np.int64], display: Display, *, signed: bool) -> NDArray[np.bool_]:
    if display.padding is None:
        return np.zeros(len(values), np.bool_)
    low, high = sorted(_signed(edge) if signed else edge for edge in display.padding)
    return (values >= low) & (values <= high)


def _signed(pattern: int) -> int:
    return pattern - 65_536 if pattern >= 32_768 else pattern


def _modality(values: NDArray[np.int64], display: Display, *, signed: bool) -> NDArray[np.float64]:
    if display.modality_lut is None:
        with np.errstate(over="ignore", invalid="ignore"):
            modal = values.astype(np.float64) * display.slope + display.intercept
        # Written so that NaN is refused too.
        if not np.abs(modal).max() <= _LARGEST:
            msg = "its RescaleSlope and RescaleIntercept make values that no display can show. Export it again."
            raise InputError(msg, "no-display-range")
        return modal
    return _entries(values, display.modality_lut, signed=signed).astype(np.float64)


def _entries(values: NDArray[np.int64], lut: Lut, *, signed: bool) -> NDArray[np.uint16]:
    first = _signed(lut.first) if signed else lut.first
    return lut.entries[np.clip(values - first, 0, len(lut.entries) - 1)]


def _looked_up(modal: NDArray[np.float64], lut: Lut) -> NDArray[np.float64]:
    """Return what a VOI LUT makes of values, range [0, 1].

    White is the largest number of as many bits as the table says, or of the smallest of 8, 10, 12, 14 or 16 that hold
    all its entries: many tables of 12 bits say that they had 16, and would be shown nearly black.
    """
    entries = _entries(np.rint(modal).astype(np.int64), lut, signed=bool(modal.min() < 0))
    highest = int(lut.entries.max())
    bits = min(lut.bits, next(depth for depth in _LUT_DEPTHS if highest < 1 << depth))
    return np.asarray(np.minimum(entries / ((1 << bits) - 1), 1.0), np.float64)


def apply_window(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Return what a window makes of values, range [0, 1].

    Source: PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT).
    """
    # An absurd window may overflow, to an infinity that is cut off like any number.
    with np.errstate(over="ignore"):
        if window.function == "SIGMOID":
            # Beyond 700 the exponential leaves the range of floats, and the result has long been 0.
            exponents = np.minimum(-4.0 * ((values - window.centre) / window.width), 700.0)
            return np.asarray(1.0 / (1.0 + np.exp(exponents)), np.float64)
        if window.function == "LINEAR_EXACT":
            return np.clip((values - window.centre) / window.width + 0.5, 0.0, 1.0)
        if window.width == 1.0:
            return (values > window.centre - 0.5).astype(np.float64)
        return np.clip((values - (window.centre - 0.5)) / (window.width - 1.0) + 0.5, 0.0, 1.0)


def _counts(patterns: Patterns, mask: NDArray[np.bool_] | None, count: int) -> NDArray[np.int64]:
    """Return how often each pattern occurs where something is to be seen: int64 ``(count,)``."""
    counts = np.zeros(count, np.int64)
    for rows in _bands(patterns):
        band = patterns[rows] if mask is None else patterns[rows][mask[rows]]
        counts += np.bincount(band.ravel(), minlength=count)
    return counts


def _looked_up_each(patterns: Patterns, table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the table's entry for each pattern, a few rows at a time.

    NumPy makes each index eight bytes wide: of 64 million pixels at once that would be half a gigabyte.
    """
    grey = np.empty(patterns.shape, np.uint16)
    for rows in _bands(patterns):
        # The table has an entry for every pattern: nothing is ever clipped, and nothing is looked at twice.
        np.take(table, patterns[rows], out=grey[rows], mode="clip")
    return grey


def _bands(patterns: Patterns) -> Iterator[slice]:
    height, width = patterns.shape
    step = max(1, _BAND_PIXELS // width)
    return (slice(start, start + step) for start in range(0, height, step))


def _ends_of(window: Window) -> tuple[float, float]:
    """Return the values that a linear window shows as black and as white; see `apply_window`."""
    if window.function == "LINEAR_EXACT":
        return window.centre - window.width / 2, window.centre + window.width / 2
    return window.centre - window.width / 2, window.centre + window.width / 2 - 1.0


def _extent(modal: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the smallest and the largest value that occurs."""
    seen = modal[counts > 0]
    return (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)


def _own_range(modal: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[tuple[float, float], ShownBy]:
    """Return which values are black and white, and whether outliers were left out of the range.

    One value at an end of the range, as of a label, a frame or padding that the header does not name, does not count
    where it lies further from the rest than the rest is wide. Of the rest, an end that lies over twice as far from
    98 % of the pixels as these are wide is drawn to the last value within a quarter of their width.
    """
    seen = np.flatnonzero(counts)
    if not len(seen):
        # Nothing but padding.
        return (float(modal.max()), float(modal.max()) + 1.0), "own range"
    seen = seen[np.argsort(modal[seen], kind="stable")]
    values, of_value = modal[seen], counts[seen]
    rest = slice(int(_stands_apart(values, of_value)), len(seen) - int(_stands_apart(-values[::-1], of_value[::-1])))
    low, high = _ends(values[rest], of_value[rest])
    shown_by: ShownBy = "own range" if (low, high) == (values[0], values[-1]) else "own range without outliers"
    return (low, high), shown_by


def _stands_apart(values: NDArray[np.float64], counts: NDArray[np.int64]) -> bool:
    """Return whether the first of ascending values is far below the others, and not that of most pixels."""
    if len(values) < 3 or counts[0] > MOST_COVERED * counts.sum():
        return False
    return bool(values[1] - values[0] > values[-1] - values[1])


def _ends(values: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the ends of the range of ascending values, without the few that are far from all others."""
    below = np.cumsum(counts)
    first, last = (values[np.searchsorted(below, share * below[-1])] for share in (OUTLIER_SHARE, 1 - OUTLIER_SHARE))
    low, high, width = float(values[0]), float(values[-1]), float(last - first)
    if 0 < 2 * width < high - last:
        high = float(values[values <= last + width / 4][-1])
    if 0 < 2 * width < first - low:
        low = float(values[values >= first - width / 4][0])
    return low, high
