"""Section 5: whether the flag holds for every source, age, sex and view."""

from __future__ import annotations

from collections.abc import Sequence

from carina.reports.drawing.drawing import Drawing, Ink
from carina.reports.drawing.forest import Row, draw_forest
from carina.reports.evaluated import Evaluated
from carina.reports.html.page import Section
from carina.reports.html.rendering import render
from carina.reports.report_tables import Measured, ReportTable
from carina.statistics.subgroups import FEWEST_PATIENTS, Division, Subgroup, measure_subgroups

_MEASURES: tuple[tuple[str, str, Ink, str], ...] = (
    ("sensitivity", "Sensitivity", "s1", "square"),
    ("specificity", "Specificity", "s3", "circle"),
    ("auroc", "AUROC", "s4", "diamond"),
)


def build_groups(evaluated: Evaluated) -> Section:
    """Return the fifth section."""
    positive, probability = evaluated.against_rest(evaluated.flag)
    divisions = measure_subgroups(evaluated.table, positive, probability, evaluated.threshold, evaluated.groups)
    known = [division for division in divisions if division.known]
    drawings = tuple(
        _forest(evaluated, known, *measure)
        for measure in _MEASURES
        if any(getattr(part, measure[0]).value is not None for division in known for part in division.parts)
    )
    tables = (_table(evaluated, known),) if known else ()
    body = render(
        "groups.html",
        flag=evaluated.flag,
        fewest=FEWEST_PATIENTS,
        unknown=[division.by for division in divisions if not division.known],
        alone=_source_is_the_finding(known),
        drawings=drawings,
        tables=tables,
    )
    return Section("groups", "Does it hold for everybody?", "Groups", body, drawings, tables)


def _source_is_the_finding(divisions: Sequence[Division]) -> bool:
    """Return whether no source has images with and without the finding."""
    sources = [division.parts for division in divisions if division.by == "source" and len(division.parts) > 1]
    return any(not any(part.with_finding and part.without_finding for part in parts) for parts in sources)


def _forest(evaluated: Evaluated, divisions: Sequence[Division], key: str, name: str, ink: Ink, mark: str) -> Drawing:
    rows = [
        Row(part.name, _counts(part, key), getattr(part, key), f"By {division.by}", ink, mark)
        for division in divisions
        for part in division.parts
    ]
    path = (
        ("operating_point", "reached", key) if key != "auroc" else ("metrics", "per_finding", evaluated.flag, "auroc")
    )
    kind = "area" if key == "auroc" else "share"
    title = f"{name} for {evaluated.flag}" + ("" if key == "auroc" else f" at threshold {evaluated.threshold:.3f}")
    whole = evaluated.estimate(*path).value
    return draw_forest(f"groups_{key}", title, rows, kind=kind, line=whole)  # type: ignore[arg-type]


def _counts(part: Subgroup, key: str) -> str:
    if key == "sensitivity":
        return f"{part.with_finding:,} with it"
    if key == "specificity":
        return f"{part.without_finding:,} without it"
    return f"{part.with_finding:,} with, {part.without_finding:,} without"


def _table(evaluated: Evaluated, divisions: Sequence[Division]) -> ReportTable:
    rows = tuple(
        (
            f"{division.by}: {part.name}",
            part.images,
            part.patients,
            Measured(part.sensitivity, counts=True),
            Measured(part.specificity, counts=True),
            Measured(part.auroc, "area"),
        )
        for division in divisions
        for part in division.parts
    )
    head = ("Part", "Images", "Patients", "Sensitivity", "Specificity", "AUROC")
    return ReportTable("groups", f"The flag for {evaluated.flag} in parts of the set", head, rows)
