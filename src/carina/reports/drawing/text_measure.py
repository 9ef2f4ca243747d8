"""How wide words are, and where their lines break: in units of a drawing, as the widest of the fonts sets them."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

FONT = "DejaVu Sans"  # comes with Matplotlib, so it is the same on every machine
TITLE, TEXT, SMALL = 15.0, 13.0, 11.5
_ANY_SIZE = 100.0


@cache
def font_of(size: float, *, bold: bool = False) -> FontProperties:
    """Return the font of a size as Matplotlib names it, whatever style the caller has set."""
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415  # takes half a second to import

    return FontProperties(family=FONT, size=size, weight="bold" if bold else "normal", style="normal")


def text_width(text: str, size: float = SMALL, *, bold: bool = False) -> float:
    """Return the width of a line in units: the sum of its letters', which kerning makes a little narrower."""
    return size * sum(_advance(letter, bold) for letter in text)


@cache
def _advance(letter: str, bold: bool) -> float:
    """Return how far the next letter is from this one, as a share of the size."""
    from matplotlib.font_manager import findfont, get_font  # noqa: PLC0415  # takes half a second to import
    from matplotlib.ft2font import LoadFlags  # noqa: PLC0415

    font = get_font(findfont(font_of(_ANY_SIZE, bold=bold)))
    font.set_size(_ANY_SIZE, 72)
    return float(font.load_char(ord(letter), flags=LoadFlags.NO_HINTING).linearHoriAdvance) / 65536 / _ANY_SIZE


def fit_lines(text: str, width: float, size: float = SMALL, *, bold: bool = False) -> list[str]:
    """Return the text in lines of at most `width` units: broken at spaces, else after - _ /, else anywhere.

    A no-break space holds its neighbours together.
    """
    lines = [""]
    for word in filter(None, text.split(" ")):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if text_width(joined, size, bold=bold) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for piece in re.findall(r"[^-_/]+[-_/]*|[-_/]+", word):
            for part in [piece] if text_width(piece, size, bold=bold) <= width else piece:
                if lines[-1] and text_width(lines[-1] + part, size, bold=bold) > width:
                    lines.append("")
                lines[-1] += part
    return lines
