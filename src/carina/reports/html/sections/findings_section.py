"""Section 2: the confusion matrix, and every measure of each finding against the rest."""

from __future__ import annotations

from typing import Any

from carina.reports.evaluated import Evaluated
from carina.reports.drawing.forest import Row, draw_forest
from carina.reports.html.markup import element
from carina.reports.numbers import Kind, count_text, estimate_of, percent_text
from carina.reports.drawing.panel import WIDTH
from carina.reports.drawing.drawing import SMALL, TEXT, Scene, fit_lines, text_width
from carina.reports.html.section import Section
from carina.reports.report_tables import Cell, Figure, Table

_MEASURES: tuple[tuple[str, str, Kind, bool], ...] = (
    ("Sensitivity", "sensitivity", "share", True),
    ("Specificity", "specificity", "share", True),
    ("PPV, in this set", "ppv", "share", True),
    ("NPV, in this set", "npv", "share", True),
    ("PPV, at the stated prevalence", "ppv_at", "share", False),
    ("NPV, at the stated prevalence", "npv_at", "share", False),
    ("F1", "f1", "area", False),
    ("LR+", "likelihood_ratio_positive", "ratio", False),
    ("LR−", "likelihood_ratio_negative", "ratio", False),
    ("AUROC", "auroc", "area", False),
    ("AUPRC", "auprc", "area", False),
)
_CALIBRATION: tuple[tuple[str, str, Kind], ...] = (
    ("Brier score", "brier", "area"),
    ("Calibration error (ECE)", "ece", "area"),
    ("ECE by chance alone", "ece_if_calibrated", "area"),
    ("Calibration slope", "slope", "signed"),
    ("Calibration intercept", "intercept", "signed"),
)


def build_findings(evaluated: Evaluated) -> Section:
    """Return the second section."""
    section = Section("findings", "Each finding: right, missed, and taken for another", "Findings")
    section.paragraph(
        "Here an image is called what is likeliest. What a threshold does instead is in the next section. "
        "All intervals are 95 %."
    )
    matrix = confusion_table(evaluated)
    section.tables.append(matrix)
    section.figures([draw_confusion(evaluated), draw_rates(evaluated)])
    summary = element("summary", "The same as a table")
    section.add(element("details", summary, matrix.to_html(), class_="screen-only"))
    section.table(findings_table(evaluated))
    return section


def findings_table(evaluated: Evaluated) -> Table:
    """Return every measure of each finding against the rest; a column a finding."""
    items: dict[str, Any] = evaluated.metrics["per_finding"]
    calibration = evaluated.metrics.get("calibration", {}).get("per_finding", {})
    stated = {name: item["stated_prevalence"] for name, item in items.items() if item.get("stated_prevalence")}
    rows: list[tuple[Cell, ...]] = [("Images with it", *(int(item["n"]) for item in items.values()))]
    for name, key, kind, counts in _MEASURES:
        if key.endswith("_at") and not stated:
            continue
        rows.append((name, *(Figure(estimate_of(item[key]), kind, counts) for item in items.values())))
    if calibration:
        for name, key, kind in _CALIBRATION:
            rows.append((name, *(Figure(estimate_of(calibration[of].get(key)), kind) for of in items)))
    mix = ", ".join(f"{name} {percent_text(item['prevalence'])}" for name, item in items.items())
    notes = [
        f"PPV and NPV in this set hold at its own prevalence only ({mix}). Set your own in the explorer.",
        (
            "LR+ = sensitivity / (1 − specificity): how many times likelier a call is where the finding is present. "
            "Above 10 a call changes much, and so does an LR− below 0.1."
        ),
        (
            "Calibration slope 1 and intercept 0 are calibrated; ECE by chance alone is what a perfectly calibrated "
            "model would show on as many images, with its range in brackets."
        ),
    ]
    notes += [f"Stated prevalence of {name}: {percent_text(share)}." for name, share in stated.items()]
    caption = f"Each finding against the rest: {evaluated.label}"
    return Table("per_finding", caption, ("Measure", *items), tuple(rows), tuple(notes))


def confusion_table(evaluated: Evaluated) -> Table:
    """Return the confusion matrix with counts and shares of each row."""
    findings, confusion = evaluated.metrics["findings"], evaluated.metrics["confusion"]
    rows = tuple(
        (f"{name} (true)", *(_cell(count, sum(row)) for count in row), sum(row))
        for name, row in zip(findings, confusion, strict=True)
    )
    head = ("Truth", *(f"called {name}" for name in findings), "all")
    return Table("confusion_matrix", f"Confusion matrix: {evaluated.label}", head, rows)


def draw_confusion(evaluated: Evaluated) -> Scene:
    """Return the confusion matrix as a drawing; the darker a cell, the larger its share of the row."""
    findings, confusion = evaluated.metrics["findings"], evaluated.metrics["confusion"]
    k = len(findings)
    names = [fit_lines(name, 96, SMALL) for name in findings]
    left = 30 + max(text_width(line, SMALL) for lines in names for line in lines)
    side = max((WIDTH - left - 8) / k, 62.0)
    tall = min(max(side * 0.62, 52.0), 78.0)
    columns = [fit_lines(name, side - 8, SMALL) for name in findings]
    head = 15 * max(len(lines) for lines in columns)
    top = 56.0 + head
    said = "; ".join(
        f"{name}: " + ", ".join(f"{count} called {called}" for called, count in zip(findings, row, strict=True))
        for name, row in zip(findings, confusion, strict=True)
    )
    scene = Scene(
        "confusion_matrix", f"Confusion matrix: {evaluated.label}", said, left + k * side + 8, top + k * tall + 10
    )
    scene.words(4, 18, "Confusion matrix", size=TEXT, bold=True)
    scene.words(left + k * side / 2, 42, "Called", anchor="middle", bold=True)
    scene.words(12, top + k * tall / 2, "True finding", anchor="middle", bold=True, turned=True)
    for i, row in enumerate(confusion):
        total = sum(row)
        y = top + i * tall
        for place, line in enumerate((*names[i], f"n = {total:,}")):
            middle = y + tall / 2 + 4 + 15 * (place - len(names[i]) / 2)
            scene.words(left - 8, middle, line, anchor="end", ink="muted" if place == len(names[i]) else "ink")
        for j, count in enumerate(row):
            x, share = left + j * side, count / total if total else 0.0
            says = f"{findings[i]} called {findings[j]}: {_cell(count, total)}"
            scene.box(x + 1.5, y + 1.5, side - 3, tall - 3, "shade", edge="s1" if i == j else None)
            scene.box(
                x + 2.5, y + 2.5, side - 5, tall - 5, "s1" if i == j else "s2", opacity=0.06 + 0.34 * share, says=says
            )
            scene.words(x + side / 2, y + tall / 2 - 1, f"{count:,}", size=16, bold=True, anchor="middle")
            scene.words(x + side / 2, y + tall / 2 + 17, _share(count, total), anchor="middle")
    for j, lines in enumerate(columns):
        for place, line in enumerate(lines):
            scene.words(left + (j + 0.5) * side, 57 + 15 * (place + 1) - 7, line, anchor="middle")
    return scene


def draw_rates(evaluated: Evaluated) -> Scene:
    """Return sensitivity and specificity of each finding with their intervals."""
    items: dict[str, Any] = evaluated.metrics["per_finding"]
    rows = []
    for key, heading, ink, mark in (
        ("sensitivity", "Sensitivity", "s1", "square"),
        ("specificity", "Specificity", "s3", "circle"),
    ):
        for name, item in items.items():
            estimate = estimate_of(item[key])
            rows.append(Row(name, count_text(estimate), estimate, heading, ink, mark))  # type: ignore[arg-type]
    return draw_forest("findings", "Each finding, called where it is likeliest", rows)


def _cell(count: int, total: int) -> str:
    return f"{count:,} ({_share(count, total)})" if total else "n/a: no image of it"


def _share(count: int, total: int) -> str:
    if not total:
        return "n/a"
    percent = f"{100 * count / total:.1f}"
    if percent == "0.0" and count:
        return "< 0.1 %"
    return "> 99.9 %" if percent == "100.0" and count < total else f"{percent} %"
