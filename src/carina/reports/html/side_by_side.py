"""Several evaluations on one page: figures side by side, curves over each other, and paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carina import __version__
from carina.atomic import write_text
from carina.errors import DataError
from carina.evaluation.curve_bands import curves_with_bands
from carina.evaluation.intervals import Estimate, not_applicable
from carina.reports.evaluation_comparison import PairedTable, compare_evaluations
from carina.reports.evaluated import Evaluated
from carina.reports.html.sections.curves_section import draw_bands_over
from carina.reports.drawing.forest import Row, draw_forest
from carina.reports.html.markup import element
from carina.reports.drawing.decision_curves import draw_decision_curves_over
from carina.reports.html.notebook_frame import framed
from carina.reports.numbers import Kind
from carina.reports.html.page import Page
from carina.reports.drawing.panel import look
from carina.reports.html.sections.provenance_section import facts_rows
from carina.reports.html.evaluation_report import write_files
from carina.reports.drawing.drawing import Scene
from carina.reports.html.section import Section
from carina.reports.html.sections.summary_section import INTENDED_USE, LIMITS, NO_AUDIT
from carina.reports.report_tables import Figure, Table

_HEADLINE: tuple[tuple[str, tuple[str, ...], Kind], ...] = (
    ("Sensitivity at the shipped threshold", ("operating_point", "reached", "sensitivity"), "share"),
    ("Specificity at the shipped threshold", ("operating_point", "reached", "specificity"), "share"),
    ("AUROC, mean of findings", ("metrics", "macro_auroc"), "area"),
    ("Accuracy", ("metrics", "accuracy"), "share"),
    ("Calibration error (ECE)", ("metrics", "calibration", "ece"), "area"),
)


@dataclass(frozen=True)
class SideBySideReport:
    """The report of several evaluations.

    Attributes
    ----------
    names
        One an evaluation, all different.
    sections
        In the order of reading.
    """

    names: tuple[str, ...]
    sections: tuple[Section, ...]

    def to_html(self) -> str:
        """Return the page as one file without network."""
        described = f"{self.title}: {', '.join(self.names)}."
        subtitle = f"{', '.join(self.names)} · Carina {__version__}"
        data: Mapping[str, Any] = {"explorer": None, "room": None}
        return Page(self.title, subtitle, described, self.sections, data).to_html()

    @property
    def title(self) -> str:
        """Return how many they are."""
        return f"{len(self.names)} evaluations side by side"

    def write_html(self, path: Path) -> None:
        """Write the page."""
        write_text(path, self.to_html())

    def write_figures(self, folder: Path) -> None:
        """Write every figure as SVG and PNG, and every table as CSV."""
        write_files(self.sections, folder)

    def _repr_html_(self) -> str:
        return framed(self.to_html(), self.title)


def build_side_by_side(evaluated: Sequence[Evaluated], folders: Sequence[Path]) -> SideBySideReport:
    """Return the report of several evaluations.

    Parameters
    ----------
    evaluated, folders
        The evaluations, and where they were read from; the first is the reference of paired tests.
    """
    # What tells them apart in the fewest words: model and data, or the folders' names.
    names = [f"{one.model['name']} on {one.content['data']['name']}" for one in evaluated]
    if len(set(names)) < len(names):
        names = [one.name for one in evaluated]
    if len(set(names)) < len(names):
        names = [f"{one.name}, {one.content['data']['name']}" for one in evaluated]
    if len(set(names)) < len(names):
        names = [f"{name} ({place})" for place, name in enumerate(names, start=1)]
    sections = (_headline(names, evaluated), _curves(names, evaluated), _tests(names, folders), _made(names, evaluated))
    return SideBySideReport(tuple(names), sections)


def _headline(names: Sequence[str], evaluated: Sequence[Evaluated]) -> Section:
    section = Section("summary", "Figures side by side", "Figures")
    for name, one in zip(names, evaluated, strict=True):
        if one.content["notice"]:
            section.add(element("p", f"{name}: {one.content['notice']}", class_="alarm", role="alert"))
    rows: list[tuple[Any, ...]] = [
        ("Data", *(f"{one.content['data']['name']}, {one.content['data']['split']}" for one in evaluated)),
        ("Images", *(int(one.content["data"]["images"]) for one in evaluated)),
        ("Flag", *(f"{one.flag} ≥ {one.threshold:.3f}" for one in evaluated)),
    ]
    for words, path, kind in _HEADLINE:
        rows.append((words, *(Figure(one.estimate(*path), kind) for one in evaluated)))
    for finding in dict.fromkeys(finding for one in evaluated for finding in one.findings):
        for key, kind in (("sensitivity", "share"), ("specificity", "share"), ("auroc", "area")):
            cells = tuple(Figure(_of_finding(one, finding, key), kind) for one in evaluated)
            rows.append((f"{finding}: {key if key != 'auroc' else 'AUROC'}", *cells))
    section.table(
        Table(
            "side_by_side", "Each on all of its own images, 95 % intervals in brackets", ("Figure", *names), tuple(rows)
        )
    )
    section.add(element("h3", "What the audits say"))
    said = [
        element("li", element("b", f"{name}: "), str(one.audit["sentence"]) if one.audit else NO_AUDIT)
        for name, one in zip(names, evaluated, strict=True)
    ]
    section.add(element("ul", *said))
    section.figures([_forest(names, evaluated, *headline) for headline in _HEADLINE])
    section.add(
        element("h3", "What they are for, and where they end"), element("p", INTENDED_USE), element("p", LIMITS)
    )
    return section


def _forest(
    names: Sequence[str], evaluated: Sequence[Evaluated], words: str, path: tuple[str, ...], kind: Kind
) -> Scene:
    rows = []
    for place, (name, one) in enumerate(zip(names, evaluated, strict=True)):
        ink, _, mark = look(place)
        estimate: Estimate = one.estimate(*path)
        rows.append(
            Row(
                name,
                f"{one.content['data']['images']:,} images",
                estimate,
                "",
                ink,
                mark,
            )
        )
    name = f"side_by_side_{path[-1]}"
    if path[-1] == "ece":
        return draw_forest(name, words, rows, kind=kind, low=0.0, high=0.25)
    return draw_forest(name, words, rows, kind=kind)


def _of_finding(one: Evaluated, finding: str, key: str) -> Estimate:
    if finding not in one.findings:
        return not_applicable("not a finding of this model")
    return one.estimate("metrics", "per_finding", finding, key)


def _curves(names: Sequence[str], evaluated: Sequence[Evaluated]) -> Section:
    section = Section("curves", "Curves over each other", "Curves")
    flags = dict.fromkeys(one.flag for one in evaluated)
    for flag in flags:
        asked = [(name, one) for name, one in zip(names, evaluated, strict=True) if flag in one.findings]
        drawn = []
        for name, one in asked:
            curves = curves_with_bands(one.truth, one.probabilities, one.findings, one.groups)
            drawn.append((name, one, curves[one.findings.index(flag)]))
        section.figures(
            [*(draw_bands_over(flag, drawn, roc=roc) for roc in (True, False)), draw_decision_curves_over(flag, asked)]
        )
    section.paragraph(
        "Bands are pointwise 95 % intervals over patients; stars are shipped operating points.", class_="note"
    )
    return section


def _tests(names: Sequence[str], folders: Sequence[Path]) -> Section:
    section = Section("tests", "Paired tests on the images they share", "Tests")
    for place, (name, folder) in enumerate(zip(names[1:], folders[1:], strict=True), start=1):
        try:
            (paired,) = compare_evaluations([folders[0], folder]).paired
        except DataError:
            # The error's own words name folders of this machine.
            section.paragraph(
                f"{name} against {names[0]}: no paired test is possible. They share no images with the same truth, or "
                "fewer than two findings."
            )
            continue
        section.table(_paired_table(f"paired_{place}", names[0], name, paired))
    section.paragraph("p (Holm) is corrected for the number of tests in its table.", class_="note")
    return section


def _paired_table(name: str, reference: str, other: str, paired: PairedTable) -> Table:
    """Return a comparison under the names of this page: those of folders may be paths."""
    leak, _, rest = paired.title.rpartition("paired on the")
    warning = leak.split(". ")[0] + ". " if leak.startswith("LEAK ALLOWED") else ""
    caption = f"{warning}{reference} minus {other}, paired on the{rest}"
    columns = ("Figure", reference, other, *paired.table.columns[3:])
    rows = tuple(tuple("" if value is None else str(value) for value in row) for row in paired.table.iter_rows())
    return Table(name, caption, columns, rows)


def _made(names: Sequence[str], evaluated: Sequence[Evaluated]) -> Section:
    section = Section("made", "How they were made", "How they were made")
    columns = [dict(facts_rows(one)) for one in evaluated]
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = tuple((key, *(column.get(key, "") for column in columns)) for key in keys)
    section.table(Table("provenance", "How each was made", ("What", *names), rows))
    return section
