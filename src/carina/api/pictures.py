"""Drawings become pictures, which a notebook shows and a program saves."""

from io import BytesIO

from PIL import Image

from carina.reports.drawing.drawing import Drawing
from carina.reports.drawing.png import FOR_SCREEN, to_png


def picture_of(drawing: Drawing) -> Image.Image:
    """Return a drawing as a picture."""
    picture = Image.open(BytesIO(to_png(drawing, FOR_SCREEN)))
    picture.load()
    return picture
