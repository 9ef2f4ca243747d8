"""Section 5: whether the flag holds for every source, age, sex and view."""

from __future__ import annotations

from collections.abc import Sequence

from carina.evaluation.intervals import Estimate
from carina.evaluation.subgroups import FEWEST_PATIENTS, Division, Subgroup, measure_subgroups
from carina.reports.evaluated import Evaluated
from carina.reports.drawing.forest import Row, draw_forest
from carina.reports.html.markup import element
from carina.reports.drawing.drawing import Ink, Scene
from carina.reports.html.section import Section
from carina.reports.report_tables import Figure, Table

_MEASURES: tuple[tuple[str, str, Ink, str], ...] = (
    ("sensitivity", "Sensitivity", "s1", "square"),
    ("specificity", "Specificity", "s3", "circle"),
    ("auroc", "AUROC", "s4", "diamond"),
)


def build_groups(evaluated: Evaluated) -> Section:
    """Return the fifth section."""
    section = Section("groups", "Does it hold for everybody?", "Groups")
    index = evaluated.findings.index(evaluated.flag)
    divisions = measure_subgroups(
        evaluated.table,
        evaluated.truth == index,
        evaluated.probabilities[:, index],
        evaluated.threshold,
        evaluated.groups,
    )
    known = [division for division in divisions if division.known]
    unknown = [division.by for division in divisions if not division.known]
    section.paragraph(
        f"The flag for {evaluated.flag} at its shipped threshold, in parts of the set. A part with fewer than "
        f"{FEWEST_PATIENTS} patients on a side says so instead of giving a figure. Parts are looked at one by one: "
        "among 20, one 95 % interval does not hold its own true value."
    )
    if unknown:
        section.paragraph(
            f"The manifest does not tell: {', '.join(unknown)}. Nothing can be said about these.", class_="note"
        )
    if known:
        if alone := _source_is_the_finding(known, evaluated.flag):
            section.add(element("p", alone, class_="audit-words"))
        shown = [
            measure
            for measure in _MEASURES
            if any(_estimate(part, measure[0]).value is not None for division in known for part in division.parts)
        ]
        section.figures([_forest(evaluated, known, *measure) for measure in shown])
        section.table(_table(evaluated, known))
    return section


def _source_is_the_finding(divisions: Sequence[Division], flag: str) -> str | None:
    """Return a warning where no source has images with and without the finding."""
    for division in divisions:
        parts = division.parts
        if division.by == "source" and len(parts) > 1 and not any(p.with_finding and p.without_finding for p in parts):
            return (
                f"No source has images with and without {flag}: on this set, seeing the finding cannot be told from "
                "recognising where an image comes from. The audit says how much of it is that."
            )
    return None


def _forest(evaluated: Evaluated, divisions: Sequence[Division], key: str, name: str, ink: Ink, mark: str) -> Scene:
    rows = [
        Row(part.name, _counts(part, key), _estimate(part, key), f"By {division.by}", ink, mark)
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


def _estimate(part: Subgroup, key: str) -> Estimate:
    estimate: Estimate = getattr(part, key)
    return estimate


def _table(evaluated: Evaluated, divisions: Sequence[Division]) -> Table:
    rows = tuple(
        (
            f"{division.by}: {part.name}",
            part.images,
            part.patients,
            Figure(part.sensitivity, counts=True),
            Figure(part.specificity, counts=True),
            Figure(part.auroc, "area"),
        )
        for division in divisions
        for part in division.parts
    )
    head = ("Part", "Images", "Patients", "Sensitivity", "Specificity", "AUROC")
    return Table("groups", f"The flag for {evaluated.flag} in parts of the set", head, rows)
