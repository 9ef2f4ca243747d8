"""How a data set says that its image is to be shown: what of it can be used, and what is there and cannot."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal, get_args

import numpy as np

from carina.radiographs.dicom.values import Lut, Values, no_table
from carina.radiographs.doubts import Doubt

Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
_FUNCTIONS: dict[str, Function] = {word: word for word in get_args(Function)}
_LUT_SHAPES = {"INVERSE": True, "IDENTITY": False}
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@dataclass(frozen=True, slots=True)
class Window:
    """A window; `place` is which of several it is, counted from 0. Source: PS3.3 C.11.2.1.2."""

    centre: float
    width: float
    function: Function
    place: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Display:
    """How stored values are to be shown.

    Attributes
    ----------
    modality_lut, slope, intercept
        The first step: a table, or where there is none a line.
    voi_lut, window
        The second: a table, or where there is none a window, or neither.
    voi_lut_item
        Which item of the image's own VOILUTSequence the table is; none where it has none, or a functional group does.
    inverse
        Whether PresentationLUTShape is INVERSE; none where it says nothing.
    padding
        The lowest and highest stored value that only fill the image up, 16 bits as stored; none where none do.
    """

    modality_lut: Lut | None = None
    slope: float = 1.0
    intercept: float = 0.0
    voi_lut: Lut | None = None
    voi_lut_item: int | None = None
    window: Window | None = None
    inverse: bool | None = None
    padding: tuple[int, int] | None = None


def read_display(reader: Values, *, is_grey: bool) -> tuple[Display, set[Doubt]]:
    """Return how stored values are to be shown, and what of it is there and cannot be used.

    Raises
    ------
    InputError
        If there is a table that cannot be applied, and nothing in its place.
    """
    doubts: set[Doubt] = set()
    if not is_grey:
        # Colours have none of all this.
        return Display(), doubts
    groups = [group for keyword in _GROUPS for group in reader.items(keyword)[:1]]
    shown_by = [reader, *(item for group in groups for item in group.items("FrameVOILUTSequence")[:1])]
    window = _window(shown_by, doubts)
    voi_lut, voi_lut_item = _voi_lut(shown_by, window, doubts)
    keyword = "ModalityLUTSequence"
    modality_luts = reader.luts(keyword)
    if modality_luts and modality_luts[0] is None:
        raise no_table(keyword)
    rescaled = [reader, *(item for group in groups for item in group.items("PixelValueTransformationSequence")[:1])]
    slope, intercept = _line(rescaled, doubts)
    shape = reader.single("PresentationLUTShape")
    inverse = _LUT_SHAPES.get((shape or "").upper())
    if shape is not None and inverse is None:
        doubts.add("presentation")
    modality_lut, padding = modality_luts[0] if modality_luts else None, _padding(reader, doubts)
    return Display(modality_lut, slope, intercept, voi_lut, voi_lut_item, window, inverse, padding), doubts


def _window(candidates: Sequence[Values], doubts: set[Doubt]) -> Window | None:
    """Return the first window that can be used: of the image itself, or of its functional groups."""
    passed_over = False
    for reader in candidates:
        if not (reader.holds("WindowCenter") or reader.holds("WindowWidth")):
            continue
        word = (reader.single("VOILUTFunction") or "LINEAR").upper()
        function = _FUNCTIONS.get(word, "LINEAR")
        narrowest = 1.0 if function == "LINEAR" else float(np.finfo(float).tiny)
        pairs = zip_longest(reader.numbers("WindowCenter"), reader.numbers("WindowWidth"))
        for place, (centre, width) in enumerate(pairs):
            if centre is None or width is None or width < narrowest:
                passed_over = True
                continue
            doubts.update({"other window"} if passed_over else ())
            doubts.update({"window function"} if word not in _FUNCTIONS else ())
            return Window(centre, width, function, place)
        passed_over = True
    doubts.update({"window"} if passed_over else ())
    return None


def _voi_lut(candidates: Sequence[Values], window: Window | None, doubts: set[Doubt]) -> tuple[Lut | None, int | None]:
    """Return the first table that can be used, and which item of the image's own sequence it is."""
    keyword = "VOILUTSequence"
    own = candidates[0].luts(keyword)
    luts = [*own, *(lut for reader in candidates[1:] for lut in reader.luts(keyword))]
    place = next((place for place, lut in enumerate(luts) if lut is not None), None)
    if luts and place is None and window is None:
        raise no_table(keyword)
    if luts and luts[0] is None:
        doubts.add("lookup table")
    return (None, None) if place is None else (luts[place], place if place < len(own) else None)


def _line(candidates: Sequence[Values], doubts: set[Doubt]) -> tuple[float, float]:
    """Return slope and intercept of the first that has one of them."""
    for reader in candidates:
        held = [reader.holds(keyword) for keyword in ("RescaleSlope", "RescaleIntercept")]
        if not any(held):
            continue
        slope, intercept = reader.single_number("RescaleSlope"), reader.single_number("RescaleIntercept")
        # A slope of 0 would make everything the same: it is taken for missing, and what goes with it.
        usable = (slope or 1.0, intercept or 0.0) if slope != 0 else (1.0, 0.0)
        if (held[0] and not slope) or (held[1] and intercept is None) or (not all(held) and usable != (1.0, 0.0)):
            doubts.add("rescaling")
        return usable
    return 1.0, 0.0


def _padding(reader: Values, doubts: set[Doubt]) -> tuple[int, int] | None:
    padding, limit = reader.pattern("PixelPaddingValue"), reader.pattern("PixelPaddingRangeLimit")
    of_value, of_limit = reader.holds("PixelPaddingValue"), reader.holds("PixelPaddingRangeLimit")
    if (of_value and padding is None) or (of_limit and limit is None):
        doubts.add("padding")
    return None if padding is None else (padding, padding if limit is None else limit)
