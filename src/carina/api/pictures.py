"""Figures that are written as files come back as pictures, which a notebook shows."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image


def picture_of(draw: Callable[[Path], None]) -> Image.Image:
    """Return the PNG that a function writes to the path it is given."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "figure.png")
        draw(path)
        with Image.open(path) as picture:
            picture.load()
            return picture.copy()
