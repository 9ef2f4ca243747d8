"""Section 1, one screen: what was tested, the headline figures, what the audit says of them, and what they are for."""

from __future__ import annotations

from carina.reports.evaluated import Evaluated
from carina.reports.html.page import Section
from carina.reports.html.rendering import render
from carina.reports.report_tables import Measured, ReportTable
from carina.reports.written_numbers import Kind, full_text, value_text
from carina.statistics.intervals import Estimate


def build_summary(evaluated: Evaluated) -> Section:
    """Return the first section."""
    data = evaluated.content["data"]
    body = render(
        "summary.html",
        notice=evaluated.content["notice"],
        cards=_headline(evaluated),
        audit=evaluated.audit,
        model=evaluated.model,
        data=data,
        findings=sorted(data["findings"].items(), key=lambda item: -item[1]),
        flag=evaluated.flag,
        sources=_sources(evaluated),
        leaks=evaluated.content["leak_check"],
    )
    title = "What was tested, and what came of it"
    return Section("summary", title, "Summary", body, tables=(_headline_table(evaluated),))


def _headline(evaluated: Evaluated) -> list[tuple[str, str, Estimate, Kind, bool]]:
    """Return name, what it says, number, kind, and whether a bar from 0 to 1 shows it."""
    flag, point = evaluated.flag, f"threshold {evaluated.threshold:.3f}"
    sensitivity, specificity = evaluated.reached("sensitivity", "specificity")
    return [
        (f"Sensitivity, {flag}", f"at the shipped {point}", sensitivity, "share", True),
        (f"Specificity, {flag}", f"at the shipped {point}", specificity, "share", True),
        (
            "AUROC, mean",
            "of all findings; 0.5 is chance",
            evaluated.estimate("metrics", "macro_auroc"),
            "area",
            True,
        ),
        ("Accuracy", "the likeliest finding is the true one", evaluated.estimate("metrics", "accuracy"), "share", True),
        (
            "Calibration error (ECE)",
            "0 is best; by chance alone "
            + value_text(evaluated.estimate("metrics", "calibration", "ece_if_calibrated"), "area"),
            evaluated.estimate("metrics", "calibration", "ece"),
            "area",
            False,
        ),
    ]


def _sources(evaluated: Evaluated) -> str:
    counts = evaluated.table["source"].drop_nulls().value_counts(sort=True)
    if counts.is_empty():
        return "the manifest names none"
    return ", ".join(f"{source} {count:,}" for source, count in counts.iter_rows())


def _headline_table(evaluated: Evaluated) -> ReportTable:
    rows = tuple((name, Measured(estimate, kind)) for name, _, estimate, kind, _ in _headline(evaluated))
    return ReportTable("headline", f"Headline figures: {evaluated.label}", ("Figure", "Value"), rows)


def summary_sentence(evaluated: Evaluated) -> str:
    """Return the headline in one sentence, for the page's description."""
    sensitivity, specificity = evaluated.reached("sensitivity", "specificity")
    return (
        f"{evaluated.label}: sensitivity {full_text(sensitivity)} at specificity {full_text(specificity)} for "
        f"{evaluated.flag}, mean AUROC {full_text(evaluated.estimate('metrics', 'macro_auroc'), 'area')}."
    )
