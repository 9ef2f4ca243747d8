"""Several evaluations on one page: figures side by side, curves over each other, and paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from carina._version import __version__
from carina.errors import DataError
from carina.reports.drawing.decision_curves import draw_decision_curves_over
from carina.reports.drawing.drawing import Drawing, file_keys
from carina.reports.drawing.forest import Row, draw_forest
from carina.reports.drawing.panel import look
from carina.reports.drawing.threshold_curves import draw_over_each_other
from carina.reports.evaluated import Evaluated
from carina.reports.evaluation_comparison import PairedTable, compare_evaluations
from carina.reports.html.page import Report, Section
from carina.reports.html.rendering import render
from carina.reports.html.sections.provenance_section import facts_rows
from carina.reports.report_tables import Measured, ReportTable
from carina.reports.written_numbers import Kind
from carina.statistics.curve_bands import curves_with_bands
from carina.statistics.intervals import Estimate, not_applicable

_HEADLINE: tuple[tuple[str, tuple[str, ...], Kind], ...] = (
    ("Sensitivity at the shipped threshold", ("operating_point", "reached", "sensitivity"), "share"),
    ("Specificity at the shipped threshold", ("operating_point", "reached", "specificity"), "share"),
    ("AUROC, mean of findings", ("metrics", "macro_auroc"), "area"),
    ("Accuracy", ("metrics", "accuracy"), "share"),
    ("Calibration error (ECE)", ("metrics", "calibration", "ece"), "area"),
)


def build_side_by_side(evaluated: Sequence[Evaluated], folders: Sequence[Path]) -> Report:
    """Return the report of several evaluations; the first is the reference of paired tests."""
    # What tells them apart in the fewest words: model and data, or the folders' names.
    names = [f"{one.model['name']} on {one.content['data']['name']}" for one in evaluated]
    if len(set(names)) < len(names):
        names = [one.name for one in evaluated]
    if len(set(names)) < len(names):
        names = [f"{one.name}, {one.content['data']['name']}" for one in evaluated]
    if len(set(names)) < len(names):
        names = [f"{name} ({place})" for place, name in enumerate(names, start=1)]
    title = f"{len(names)} evaluations side by side"
    return Report(
        title=title,
        subtitle=f"{', '.join(names)} · Carina {__version__}",
        description=f"{title}: {', '.join(names)}.",
        sections=(
            _headline(names, evaluated),
            _curves(names, evaluated),
            _tests(names, folders),
            _made(names, evaluated),
        ),
        data={"explorer": None, "room": None},
        notice=" ".join(
            f"{name}: {one.content['notice']}"
            for name, one in zip(names, evaluated, strict=True)
            if one.content["notice"]
        )
        or None,
    )


def _headline(names: Sequence[str], evaluated: Sequence[Evaluated]) -> Section:
    rows: list[tuple[Any, ...]] = [
        ("Data", *(f"{one.content['data']['name']}, {one.content['data']['split']}" for one in evaluated)),
        ("Images", *(int(one.content["data"]["images"]) for one in evaluated)),
        ("Flag", *(f"{one.flag} ≥ {one.threshold:.3f}" for one in evaluated)),
    ]
    for words, path, kind in _HEADLINE:
        rows.append((words, *(Measured(one.estimate(*path), kind) for one in evaluated)))
    for finding in dict.fromkeys(finding for one in evaluated for finding in one.findings):
        for key, kind in (("sensitivity", "share"), ("specificity", "share"), ("auroc", "area")):
            cells = tuple(Measured(_of_finding(one, finding, key), kind) for one in evaluated)
            rows.append((f"{finding}: {key if key != 'auroc' else 'AUROC'}", *cells))
    caption = "Each on all of its own images, 95 % intervals in brackets"
    table = ReportTable("side_by_side", caption, ("Figure", *names), tuple(rows))
    drawings = tuple(_forest(names, evaluated, *headline) for headline in _HEADLINE)
    asked = list(zip(names, evaluated, strict=True))
    body = render("side_by_side.html", asked=asked, table=table, drawings=drawings)
    return Section("summary", "Figures side by side", "Figures", body, drawings, (table,))


def _forest(
    names: Sequence[str], evaluated: Sequence[Evaluated], words: str, path: tuple[str, ...], kind: Kind
) -> Drawing:
    rows = []
    for place, (name, one) in enumerate(zip(names, evaluated, strict=True)):
        ink, _, mark = look(place)
        rows.append(Row(name, f"{one.content['data']['images']:,} images", one.estimate(*path), "", ink, mark))
    low, high = (0.0, 0.25) if path[-1] == "ece" else (None, 1.0)
    return draw_forest(f"side_by_side_{path[-1]}", words, rows, kind=kind, low=low, high=high)


def _of_finding(one: Evaluated, finding: str, key: str) -> Estimate:
    if finding not in one.findings:
        return not_applicable("not a finding of this model")
    return one.estimate("metrics", "per_finding", finding, key)


def _curves(names: Sequence[str], evaluated: Sequence[Evaluated]) -> Section:
    groups = []
    for flag, key in file_keys(one.flag for one in evaluated).items():
        asked = [(name, one) for name, one in zip(names, evaluated, strict=True) if flag in one.findings]
        drawn = []
        for name, one in asked:
            curves = curves_with_bands(one.truth, one.probabilities, one.findings, one.groups)
            drawn.append((name, one, curves[one.findings.index(flag)]))
        groups.append([*draw_over_each_other(flag, key, drawn), draw_decision_curves_over(flag, key, asked)])
    body = render("curves_over_each_other.html", groups=groups)
    drawings = tuple(drawing for group in groups for drawing in group)
    return Section("curves", "Curves over each other", "Curves", body, drawings)


def _tests(names: Sequence[str], folders: Sequence[Path]) -> Section:
    tests: list[tuple[str, ReportTable | None]] = []
    for place, (name, folder) in enumerate(zip(names[1:], folders[1:], strict=True), start=1):
        try:
            (paired,) = compare_evaluations([folders[0], folder]).paired
        except DataError:
            # The error's own words name folders of this machine.
            tests.append((name, None))
            continue
        tests.append((name, _paired_table(f"paired_{place}", names[0], name, paired)))
    body = render("paired_tests.html", reference=names[0], tests=tests)
    tables = tuple(table for _, table in tests if table is not None)
    return Section("tests", "Paired tests on the images they share", "Tests", body, tables=tables)


def _paired_table(name: str, reference: str, other: str, paired: PairedTable) -> ReportTable:
    """Return a comparison under the names of this page: those of folders may be paths."""
    leak, _, rest = paired.title.rpartition("paired on the")
    warning = leak.split(". ")[0] + ". " if leak.startswith("LEAK ALLOWED") else ""
    caption = f"{warning}{reference} minus {other}, paired on the{rest}"
    columns = ("Figure", reference, other, *paired.table.columns[3:])
    rows = tuple(tuple("" if value is None else str(value) for value in row) for row in paired.table.iter_rows())
    return ReportTable(name, caption, columns, rows)


def _made(names: Sequence[str], evaluated: Sequence[Evaluated]) -> Section:
    columns = [dict(facts_rows(one)) for one in evaluated]
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = tuple((key, *(column.get(key, "") for column in columns)) for key in keys)
    table = ReportTable("provenance", "How each was made", ("What", *names), rows)
    body = render("table_alone.html", table=table)
    return Section("made", "How they were made", "How they were made", body, tables=(table,))
