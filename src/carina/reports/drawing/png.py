"""A drawing as a PNG, drawn by Matplotlib's renderer without its figures and axes, which take about twice as long."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgb
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D
from PIL import Image

from carina.reports.drawing.drawing import LIGHT, Area, Dot, Drawing, Ink, Part, Stroke, Words
from carina.reports.drawing.text_measure import font_of, text_width
from carina.storage.atomic import whole_file

# Pixels for each unit, which is a point on paper: of a figure for papers, and of a sheet of several to be looked at.
FOR_PAPER, FOR_SCREEN = 3, 2


def to_picture(drawing: Drawing, scale: int = FOR_SCREEN) -> Image.Image:
    """Return the drawing in the light theme's colours, `scale` pixels per unit."""
    width, height = (round(scale * side) for side in (drawing.width, drawing.height))
    renderer = RendererAgg(width, height, 72 * scale)  # type: ignore[no-untyped-call]
    upwards = Affine2D().scale(scale, -scale).translate(0, height)
    _outline(renderer, Outline.unit_rectangle(), Affine2D().scale(width, height), fill="paper")
    for part in drawing.parts:
        _draw(renderer, part, upwards, scale)
    pixels = np.asarray(renderer.buffer_rgba())  # type: ignore[no-untyped-call]
    return Image.fromarray(pixels).convert("RGB")


def to_png(drawing: Drawing, scale: int = FOR_PAPER) -> bytes:
    """Return the drawing as the bytes of a PNG; the same input gives the same bytes."""
    stream = io.BytesIO()
    to_picture(drawing, scale).save(stream, "PNG", compress_level=4, dpi=(72 * scale, 72 * scale))
    return stream.getvalue()


def write_png(drawing: Drawing, path: Path, scale: int = FOR_PAPER) -> None:
    """Write the drawing as a PNG without its maker's name, a date or a path."""
    with whole_file(path) as temporary:
        temporary.write_bytes(to_png(drawing, scale))


def _draw(renderer: RendererAgg, part: Part, upwards: Affine2D, scale: int) -> None:
    if isinstance(part, Stroke):
        _outline(renderer, Outline(part.points), upwards, edge=part.ink, width=part.width, dash=part.dash)
    elif isinstance(part, Area):
        closed = Outline((*part.points, part.points[0]), closed=True)
        _outline(renderer, closed, upwards, fill=part.fill, edge=part.edge, width=1.2, opacity=part.opacity)
    elif isinstance(part, Dot):
        circle = Outline.circle((part.x, part.y), part.radius)
        _outline(renderer, circle, upwards, fill=part.fill, edge=part.edge, width=1.5)
    elif isinstance(part, Words):
        _write(renderer, part, scale)
    else:
        size = (round(scale * part.width), round(scale * part.height))
        grey = np.asarray(Image.fromarray(part.grey).resize(size, Image.Resampling.NEAREST))
        colors = np.dstack([grey, grey, grey, np.full_like(grey, 255)])[::-1]
        foot = renderer.height - scale * (part.y + part.height)
        renderer.draw_image(renderer.new_gc(), round(scale * part.x), round(foot), colors)


def _outline(
    renderer: RendererAgg,
    outline: Outline,
    upwards: Affine2D,
    *,
    fill: Ink | None = None,
    edge: Ink | None = None,
    width: float = 0.0,
    dash: tuple[float, ...] = (),
    opacity: float = 1.0,
) -> None:
    pen = renderer.new_gc()
    pen.set_joinstyle("round")
    pen.set_linewidth(width if edge else 0.0)
    if edge:
        pen.set_foreground(LIGHT[edge])
    if dash:
        pen.set_dashes(0, dash)
    face = (*to_rgb(LIGHT[fill]), opacity) if fill else None
    renderer.draw_path(pen, outline, upwards, face)  # type: ignore[no-untyped-call]


def _write(renderer: RendererAgg, words: Words, scale: int) -> None:
    pen = renderer.new_gc()
    pen.set_foreground(LIGHT[words.ink])
    wide = text_width(words.text, words.size, bold=words.bold)
    back = {"start": 0.0, "middle": wide / 2, "end": wide}[words.anchor]
    x, y = (words.x, words.y + back) if words.turned else (words.x - back, words.y)
    font, angle = font_of(words.size, bold=words.bold), 90 if words.turned else 0
    x, y = scale * x, scale * y
    renderer.draw_text(pen, x, y, words.text, font, angle)  # type: ignore[no-untyped-call]
