"""The confusion matrix, and sensitivity and specificity of each finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carina.reports.drawing.drawing import Drawing, Ink
from carina.reports.drawing.forest import Row, draw_forest
from carina.reports.drawing.panel import WIDTH
from carina.reports.drawing.text_measure import SMALL, TEXT, fit_lines, text_width
from carina.reports.evaluated import Evaluated
from carina.reports.report_tables import ReportTable
from carina.reports.written_numbers import count_text, estimate_of

_RATES: dict[str, tuple[str, Ink, str]] = {
    "sensitivity": ("Sensitivity (recall)", "s1", "square"),
    "specificity": ("Specificity", "s3", "circle"),
}


def draw_confusion(evaluated: Evaluated) -> Drawing:
    """Return the confusion matrix as a drawing; the darker a cell, the larger its share of the row."""
    findings, confusion = evaluated.metrics["findings"], evaluated.metrics["confusion"]
    k, most = len(findings), max(max(row) for row in confusion)
    names = [[*fit_lines(name, 96, SMALL), f"n = {sum(row):,}"] for name, row in zip(findings, confusion, strict=True)]
    left = 30 + max(text_width(line, SMALL) for lines in names for line in lines)
    side = max((WIDTH - left - 8) / k, 66.0, text_width(f"{most:,}", 16, bold=True) + 14)
    tall = max(min(max(side * 0.62, 52.0), 78.0), 15.0 * max(len(lines) for lines in names) + 8)
    columns = [fit_lines(name, side - 8, SMALL) for name in findings]
    top = 56.0 + 15 * max(len(lines) for lines in columns)
    said = "; ".join(
        f"{name}: " + ", ".join(f"{count} called {called}" for called, count in zip(findings, row, strict=True))
        for name, row in zip(findings, confusion, strict=True)
    )
    title = f"Confusion matrix: {evaluated.label}"
    drawing = Drawing("confusion_matrix", title, said, left + k * side + 8, top + k * tall + 10)
    drawing.words(4, 18, "Confusion matrix", size=TEXT, bold=True)
    drawing.words(left + k * side / 2, 42, "Called finding", anchor="middle", bold=True)
    drawing.words(12, top + k * tall / 2, "True finding", anchor="middle", bold=True, turned=True)
    for j, lines in enumerate(columns):
        drawing.lines(left + (j + 0.5) * side, 65, lines, anchor="middle")
    for i, row in enumerate(confusion):
        y, total = top + i * tall, sum(row)
        drawing.lines(left - 8, y + tall / 2 + 4 - 7.5 * (len(names[i]) - 1), names[i], anchor="end")
        if not total:
            # Cells of zeros would look like a result.
            drawing.box(left + 1.5, y + 1.5, k * side - 3, tall - 3, "shade")
            words = "not applicable: no image of it"
            drawing.words(left + k * side / 2, y + tall / 2 + 4, words, ink="muted", anchor="middle")
            continue
        for j, count in enumerate(row):
            x, right = left + j * side, i == j
            says = f"{findings[i]} called {findings[j]}: {_cell(count, total)}"
            drawing.box(x + 1.5, y + 1.5, side - 3, tall - 3, "shade", edge="s1" if right else None)
            tint = 0.06 + 0.34 * count / total
            drawing.box(x + 2.5, y + 2.5, side - 5, tall - 5, "s1" if right else "s2", opacity=tint, says=says)
            drawing.words(x + side / 2, y + tall / 2 - 1, f"{count:,}", size=16, bold=True, anchor="middle")
            drawing.words(x + side / 2, y + tall / 2 + 17, _share(count, total), anchor="middle")
    return drawing


def draw_rates(
    evaluated: Evaluated, rates: Sequence[str] = ("sensitivity", "specificity"), *, name: str = "findings"
) -> Drawing:
    """Return sensitivity, specificity or both of each finding with their intervals."""
    items: dict[str, Any] = evaluated.metrics["per_finding"]
    rows = []
    for key in rates:
        heading, ink, mark = _RATES[key]
        for finding, item in items.items():
            estimate = estimate_of(item[key])
            rows.append(Row(finding, count_text(estimate), estimate, heading, ink, mark))
    return draw_forest(name, "Each finding, called where it is likeliest", rows)


def confusion_table(evaluated: Evaluated) -> ReportTable:
    """Return the confusion matrix with counts and shares of each row."""
    findings, confusion = evaluated.metrics["findings"], evaluated.metrics["confusion"]
    rows = tuple(
        (f"{name} (true)", *(_cell(count, sum(row)) for count in row), sum(row))
        for name, row in zip(findings, confusion, strict=True)
    )
    head = ("Truth", *(f"called {name}" for name in findings), "all")
    return ReportTable("confusion_matrix", f"Confusion matrix: {evaluated.label}", head, rows)


def _cell(count: int, total: int) -> str:
    return f"{count:,} ({_share(count, total)})" if total else "n/a: no image of it"


def _share(count: int, total: int) -> str:
    """Return a share in per cent that never rounds some to none or most to all."""
    percent = f"{100 * count / total:.1f}"
    if percent == "0.0" and count:
        return "< 0.1 %"
    return "> 99.9 %" if percent == "100.0" and count < total else f"{percent} %"
