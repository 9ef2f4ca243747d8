"""A table of a report: the page shows it, a CSV file holds it, and in a notebook it shows itself."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

from carina.notebook import boxed, table_html
from carina.reports.written_numbers import Kind, count_text, full_text
from carina.statistics.intervals import Estimate


@dataclass(frozen=True, slots=True)
class Measured:
    """An estimate in a cell."""

    estimate: Estimate
    kind: Kind = "share"
    counts: bool = False  # whether the counts behind it are written below it


Cell = str | int | float | Measured


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Rows of cells under a caption; the first cell of a row is its heading.

    Attributes
    ----------
    name
        Of its CSV file, without suffix.
    caption
        What it shows.
    head
        Headings of the columns.
    rows
        In each row as many cells as there are headings.
    notes
        What a reader must know to read it rightly.
    """

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        rows = (tuple(_as_text(cell) for cell in row) for row in self.rows)
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self.notes)
        return boxed(f"<b>{html.escape(self.caption)}</b>", table_html(self.head, rows), notes)

    def to_csv(self) -> str:
        """Return the table with a header; an estimate takes three columns, full digits, empty where there is none."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        wide = [any(isinstance(row[place], Measured) for row in self.rows) for place in range(len(self.head))]
        names = zip(self.head, wide, strict=True)
        writer.writerow(
            [part for name, three in names for part in ((name, f"{name} low", f"{name} high") if three else (name,))]
        )
        for row in self.rows:
            writer.writerow([part for cell, three in zip(row, wide, strict=True) for part in _plain(cell, three)])
        return stream.getvalue()


def _as_text(cell: Cell) -> str:
    if isinstance(cell, Measured):
        counts = count_text(cell.estimate) if cell.counts else ""
        return full_text(cell.estimate, cell.kind) + (f", {counts}" if counts else "")
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _plain(cell: Cell, three: bool) -> Sequence[object]:
    if isinstance(cell, Measured):
        numbers = (cell.estimate.value, cell.estimate.low, cell.estimate.high)
        return ["" if number is None else repr(number) for number in numbers]
    return [cell, "", ""] if three else [cell]
