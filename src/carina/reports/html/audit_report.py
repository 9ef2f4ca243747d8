"""An audit as a page of its own, and in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carina.atomic import write_text
from carina.reports.evaluation_files import read_audit
from carina.reports.html.sections.audit_section import audit_section
from carina.reports.html.notebook_frame import framed
from carina.reports.html.page import Page
from carina.reports.html.evaluation_report import write_files
from carina.reports.html.section import Section


@dataclass(frozen=True)
class AuditReport:
    """The page of an audit; in a notebook it shows itself.

    Attributes
    ----------
    audit
        ``audit.json``.
    section
        All that the page shows.
    """

    audit: dict[str, Any]
    section: Section

    @property
    def title(self) -> str:
        """Return what was audited, on what."""
        return f"Audit of {self.audit['model']} on {self.audit['dataset']}"

    def to_html(self) -> str:
        """Return the page as one file without network."""
        data = {"explorer": None, "room": None}
        subtitle = f"Carina {self.audit['carina']}"
        return Page(self.title, subtitle, str(self.audit["sentence"]), (self.section,), data).to_html()

    def write_html(self, path: Path) -> None:
        """Write the page."""
        write_text(path, self.to_html())

    def write_figures(self, folder: Path) -> None:
        """Write every figure as SVG and PNG, and every table as CSV."""
        write_files((self.section,), folder)

    def _repr_html_(self) -> str:
        return framed(self.to_html(), self.title)


def open_audit(folder: Path | str) -> AuditReport:
    """Return what an audit folder holds; in a notebook it shows itself.

    Parameters
    ----------
    folder
        Of ``carina audit``.

    Raises
    ------
    ConfigurationError
        If the folder is no audit.
    """
    audit = read_audit(Path(folder))
    return AuditReport(audit, audit_section(audit))
