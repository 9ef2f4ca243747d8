"""A section of the report: its heading, its words, and the figures and tables that are also written as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from carina.reports.html.markup import Child, Html, element, join
from carina.reports.drawing.drawing import Scene
from carina.reports.report_tables import Table


@dataclass(slots=True)
class Section:
    """One section.

    Attributes
    ----------
    key
        Its name in links.
    title
        Its heading.
    short
        Its name in the list of contents.
    body
        What stands below the heading.
    scenes, tables
        All that it shows, to be written as files too.
    """

    key: str
    title: str
    short: str
    body: list[Html] = field(default_factory=list)
    scenes: list[Scene] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def add(self, *parts: Child) -> None:
        """Add words or markup."""
        self.body.append(join(*parts))

    def paragraph(self, *parts: Child, class_: str | None = None) -> None:
        """Add a paragraph."""
        self.body.append(element("p", *parts, class_=class_))

    def table(self, table: Table) -> None:
        """Add a table."""
        self.tables.append(table)
        self.body.append(table.to_html())

    def figures(self, scenes: Sequence[Scene], *, class_: str = "panels") -> None:
        """Add figures side by side, as many as there is room for."""
        self.scenes += scenes
        self.body.append(element("div", *(element("figure", scene.to_svg()) for scene in scenes), class_=class_))

    def to_html(self, number: int) -> Html:
        """Return the section under its heading."""
        heading = element("h2", element("span", f"{number} ", class_="number"), self.title, id=f"{self.key}-heading")
        return element("section", heading, *self.body, id=self.key, aria_labelledby=f"{self.key}-heading")
