"""Drawings put together on one sheet, under a heading that names the data and carries the notice."""

from __future__ import annotations

from collections.abc import Sequence

from carina.reports.drawing.drawing import Drawing
from carina.reports.drawing.panel import WIDTH
from carina.reports.drawing.text_measure import SMALL, TEXT, TITLE, fit_lines

_MARGIN, _GAP = 12.0, 20.0


def compose(
    name: str,
    title: str,
    drawings: Sequence[Drawing],
    *,
    columns: int = 1,
    lead: Drawing | None = None,
    caption: str = "",
    notice: str | None = None,
) -> Drawing:
    """Return one drawing with others in it, side by side, each where the columns are shortest.

    Parameters
    ----------
    name, title
        Of the sheet; the title is written at its top, and nothing where it is empty.
    lead
        A drawing above all columns, as wide as they are together.
    notice
        A warning that no reader may miss, drawn as a banner at the very top; None where there is none.
    """
    columns = min(columns, len(drawings))
    wide = max(drawing.width for drawing in drawings)
    width = 2 * _MARGIN + columns * wide + (columns - 1) * _GAP
    room = width - 2 * _MARGIN
    sheet = Drawing(name, title, "; ".join(f"{one.title}: {one.description}" for one in drawings), width, 0.0)
    top = 0.0
    if notice:
        lines = fit_lines(notice, room, TEXT, bold=True)
        sheet.box(0, 0, width, 17 * len(lines) + 14, "alarm")
        sheet.lines(width / 2, 21, lines, step=17, size=TEXT, bold=True, anchor="middle", ink="paper")
        top = 17.0 * len(lines) + 14
        sheet.description = f"{notice}. {sheet.description}"
    top += 8
    for text, size, bold in ((title, TITLE, True), (caption, SMALL, False)):
        lines = fit_lines(text, room, size, bold=bold) if text else []
        step = size + 4.5
        sheet.lines(_MARGIN, top + size, lines, step=step, size=size, bold=bold, ink="ink" if bold else "muted")
        top += step * len(lines) + (3 if lines else 0)
    if lead is not None:
        sheet.place(lead, _MARGIN, top)
        top += lead.height
    feet = [top] * columns
    for drawing in drawings:
        column = feet.index(min(feet))
        sheet.place(drawing, _MARGIN + column * (wide + _GAP), feet[column])
        feet[column] += drawing.height + 6
    sheet.height = max(feet) + 6
    return sheet


def write_paragraphs(
    name: str, title: str, paragraphs: Sequence[tuple[str, float, bool]], *, columns: int = 1
) -> Drawing:
    """Return text as wide as some columns of panels: each paragraph with its size, and whether it is bold."""
    width = columns * WIDTH + (columns - 1) * _GAP
    drawing = Drawing(name, title, " ".join(text for text, _, _ in paragraphs), width, 0.0)
    y = 6.0
    for text, size, bold in paragraphs:
        lines = fit_lines(text, width - 8, size, bold=bold)
        drawing.lines(4, y + size, lines, step=size + 4, size=size, bold=bold)
        y += (size + 4) * len(lines) + 6
    drawing.height = y + 6
    return drawing
