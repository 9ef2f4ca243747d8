"""Section 2: the confusion matrix, and every measure of each finding against the rest."""

from __future__ import annotations

from typing import Any

from carina.reports.drawing.confusion import confusion_table, draw_confusion, draw_rates
from carina.reports.evaluated import Evaluated
from carina.reports.html.page import Section
from carina.reports.html.rendering import render
from carina.reports.report_tables import Cell, Measured, ReportTable
from carina.reports.written_numbers import Kind, estimate_of, percent_text

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
    matrix, measures = confusion_table(evaluated), findings_table(evaluated)
    drawings = (draw_confusion(evaluated), draw_rates(evaluated))
    body = render("findings.html", drawings=drawings, matrix=matrix, measures=measures)
    title = "Each finding: right, missed, and taken for another"
    return Section("findings", title, "Findings", body, drawings, (matrix, measures))


def findings_table(evaluated: Evaluated) -> ReportTable:
    """Return every measure of each finding against the rest, one column per finding."""
    items: dict[str, Any] = evaluated.metrics["per_finding"]
    calibration = evaluated.metrics.get("calibration", {}).get("per_finding", {})
    stated = {name: item["stated_prevalence"] for name, item in items.items() if item.get("stated_prevalence")}
    rows: list[tuple[Cell, ...]] = [("Images with it", *(int(item["n"]) for item in items.values()))]
    for name, key, kind, counts in _MEASURES:
        if key.endswith("_at") and not stated:
            continue
        rows.append((name, *(Measured(estimate_of(item[key]), kind, counts) for item in items.values())))
    if calibration:
        for name, key, kind in _CALIBRATION:
            rows.append((name, *(Measured(estimate_of(calibration[of].get(key)), kind) for of in items)))
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
    return ReportTable("per_finding", caption, ("Measure", *items), tuple(rows), tuple(notes))
