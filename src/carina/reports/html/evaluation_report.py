"""A report: all sections of one evaluation as a page, as files of figures and tables, and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carina.atomic import whole_file, write_text
from carina.reports.html.sections.audit_section import build_audit
from carina.reports.evaluated import Evaluated, read_evaluated
from carina.reports.html.sections.curves_section import build_curves
from carina.reports.html.sections.explorer_section import build_explorer, explorer_data
from carina.reports.html.sections.findings_section import build_findings
from carina.reports.html.sections.gallery_section import build_gallery
from carina.reports.html.sections.groups_section import build_groups
from carina.reports.html.notebook_frame import framed
from carina.reports.html.page import Page
from carina.reports.html.sections.provenance_section import build_provenance
from carina.reports.html.sections.room_section import build_reading_room, flag_rates
from carina.reports.drawing.drawing import Scene
from carina.reports.html.section import Section
from carina.reports.html.sections.summary_section import build_summary, summary_sentence
from carina.reports.report_tables import Table


@dataclass(frozen=True)
class Report:
    """The report of one evaluation.

    Attributes
    ----------
    evaluated
        What it is made from.
    sections
        In the order of reading.
    """

    evaluated: Evaluated
    sections: tuple[Section, ...]

    def to_html(self) -> str:
        """Return the page as one file without network."""
        content = self.evaluated.content
        page = Page(
            title=self.evaluated.label,
            subtitle=f"{content['metrics']['n']:,} images · Carina {content['carina']}",
            description=summary_sentence(self.evaluated),
            sections=self.sections,
            data=self._data(),
        )
        return page.to_html()

    def write_html(self, path: Path) -> None:
        """Write the page."""
        write_text(path, self.to_html())

    def write_figures(self, folder: Path) -> None:
        """Write every figure as SVG and PNG, and every table as CSV."""
        write_files(self.sections, folder)

    def figure(self, name: str) -> Scene:
        """Return a figure by the name of its files; in a notebook it shows itself.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        return {scene.name: scene for section in self.sections for scene in section.scenes}[name]

    def table(self, name: str) -> Table:
        """Return a table by the name of its file; in a notebook it shows itself.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        return {table.name: table for section in self.sections for table in section.tables}[name]

    def _repr_html_(self) -> str:
        return framed(self.to_html(), self.evaluated.label)

    def _data(self) -> Mapping[str, Any]:
        return {"explorer": explorer_data(self.evaluated), "room": flag_rates(self.evaluated)}


def write_files(sections: Sequence[Section], folder: Path) -> None:
    """Write every figure of the sections as SVG and PNG, and every table as CSV."""
    for section in sections:
        for scene in section.scenes:
            write_text(folder / f"{scene.name}.svg", scene.to_svg(alone=True) + "\n")
            with whole_file(folder / f"{scene.name}.png") as temporary:
                temporary.write_bytes(scene.to_png())
        for table in section.tables:
            write_text(folder / f"{table.name}.csv", table.to_csv())


def build_report(evaluated: Evaluated) -> Report:
    """Return the report of an evaluation."""
    sections = (
        build_summary(evaluated),
        build_findings(evaluated),
        build_explorer(evaluated),
        build_curves(evaluated),
        build_groups(evaluated),
        build_audit(evaluated),
        build_gallery(evaluated),
        build_reading_room(evaluated),
        build_provenance(evaluated),
    )
    return Report(evaluated, sections)


def open_report(
    folder: Path | str, *, audit: Path | str | None = None, bundle: Path | str | None = None, images: bool = True
) -> Report:
    """Return the report of an evaluation folder; in a notebook it shows itself.

    Parameters
    ----------
    folder, audit, bundle, images
        See `carina.reports.evaluated.read_evaluated`.

    Raises
    ------
    DataError, ConfigurationError, BundleError
        See `carina.reports.evaluated.read_evaluated`.
    """
    audited, sealed = (None if named is None else Path(named) for named in (audit, bundle))
    return build_report(read_evaluated(Path(folder), audit=audited, bundle=sealed, images=images))
