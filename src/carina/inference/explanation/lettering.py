"""Words in a picture: letters, line breaks, and a strip that is written on from top to bottom."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

BLACK, INK, FAINT = (0, 0, 0), (240, 240, 240), (170, 170, 170)


class Strip:
    """A black strip that is written on from top to bottom."""

    def __init__(self, width: int, size: int) -> None:
        self._size, self._margin, self._y = size, size, size
        self._image = Image.new("RGB", (width, 60 * size), BLACK)
        self._pen = ImageDraw.Draw(self._image)
        self.room = width - 2 * size

    def write(self, words: str, *, size: int | None = None, fill: Colour = INK) -> None:
        """Write text below what is there, wrapped."""
        letters = font(size or self._size)
        for line in wrapped(words, letters, self.room):
            self._pen.text((self._margin, self._y), line, font=letters, fill=fill)
            self._y += round(1.3 * letters.size)
        self._y += self._size // 3

    def write_on_band(self, words: str, *, size: int, fill: Colour, ink: Colour) -> None:
        """Write text on a coloured band as wide as the strip, below what is there; the first one begins at the top."""
        letters = font(size)
        lines = wrapped(words, letters, self.room)
        top = 0 if self._y == self._size else self._y
        bottom = top + round((1.3 * len(lines) + 0.5) * size)
        self._pen.rectangle((0, top, self._image.width, bottom), fill=fill)
        self._y = top + round(0.3 * size)
        for line in lines:
            self._pen.text((self._margin, self._y), line, font=letters, fill=ink)
            self._y += round(1.3 * size)
        self._y = bottom + self._size // 2

    def paste(self, picture: NDArray[np.uint8], marks: tuple[tuple[float, str], ...], unit: str) -> None:
        """Draw a bar, uint8 ``(height, width, 3)``, its marks at shares of its width, and its unit if that fits."""
        letters, length = font(self._size), picture.shape[1]
        self._image.paste(Image.fromarray(picture), (self._margin, self._y))
        self._y += round(1.2 * self._size)
        for share, words in marks:
            x = self._margin + share * (length - self._pen.textlength(words, font=letters))
            self._pen.text((x, self._y), words, font=letters, fill=INK)
        if length + 2 * self._margin + self._pen.textlength(unit, font=letters) <= self.room:
            self._pen.text((length + 2 * self._margin, self._y), unit, font=letters, fill=INK)
        self._y += round(1.6 * self._size)

    def finished(self) -> NDArray[np.uint8]:
        """Return what was written on: uint8 ``(height, width, 3)``."""
        return np.asarray(self._image.crop((0, 0, self._image.width, self._y + self._margin // 2)))


def wrapped(words: str, letters: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Return text in lines that fit into a width in pixels; a single word that does not stays whole."""
    lines = [""]
    for word in words.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and letters.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return letters of a size in pixels."""
    # Pillow's own letters know no minus sign and no accents. DejaVu comes with Matplotlib, which is not imported for
    # it.
    package = importlib.util.find_spec("matplotlib")
    if package is not None and package.origin is not None:
        dejavu = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if dejavu.is_file():
            return ImageFont.truetype(str(dejavu), size)
    return ImageFont.load_default(size)  # type: ignore[return-value]
