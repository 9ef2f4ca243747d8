"""The page: sections under one head, style and script inlined, and a policy that lets nothing else in or out."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from markupsafe import Markup

from carina.reports.drawing.composition import compose
from carina.reports.drawing.drawing import Drawing
from carina.reports.drawing.png import write_png
from carina.reports.html.rendering import render
from carina.reports.report_tables import ReportTable
from carina.storage.atomic import write_text

_Shown = TypeVar("_Shown", Drawing, ReportTable)

STYLE_FILES = ("page.css",)
# One module in this order: the script is inlined as one, because inlined modules cannot import each other.
SCRIPT_FILES = (
    *("data.js", "statistics.js", "drawing.js", "explorer.js", "gallery.js"),
    *("simulation.js", "reading_room.js", "page.js"),
)


@dataclass(frozen=True, slots=True)
class Section:
    """One section."""

    key: str  # its name in links
    title: str
    short: str  # its name in the list of contents
    body: Markup  # what is below the heading
    # All that it shows, to be written as files too.
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[ReportTable, ...] = ()


@dataclass(frozen=True)
class Report:
    """A whole report; in a notebook it shows itself.

    Attributes
    ----------
    title, subtitle
        What it is about.
    description
        The headline in a sentence.
    sections
        In the order of reading.
    data
        What the script needs, JSON-safe.
    notice
        A warning that no reader may miss, on every figure that is written as a file; None where there is none.
    """

    title: str
    subtitle: str
    description: str
    sections: tuple[Section, ...]
    data: Mapping[str, Any]
    notice: str | None = None

    def to_html(self) -> str:
        """Return the page as one file without network."""
        style, script = (_assets(names) for names in (STYLE_FILES, SCRIPT_FILES))
        # Nothing may be loaded, sent or run but what is in this file, by its hash.
        policy = (
            f"default-src 'none'; script-src '{_hash_of(script)}'; style-src '{_hash_of(style)}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )
        page = render("page.html", page=self, policy=policy, style=style, script=script, data=embed_json(self.data))
        return str(page)

    def write_html(self, path: Path | str) -> None:
        """Write the page."""
        write_text(Path(path), self.to_html())

    def write_figures(self, folder: Path | str, *, pictured: Collection[str] = ()) -> None:
        """Write every figure as SVG and PNG, and every table as CSV; no PNG of those that are pictured elsewhere."""
        folder = Path(folder)
        for drawing in self.drawings().values():
            noticed = compose(drawing.name, "", [drawing], notice=self.notice) if self.notice else drawing
            write_text(folder / f"{drawing.name}.svg", noticed.to_svg(alone=True) + "\n")
            if drawing.name not in pictured:
                write_png(noticed, folder / f"{drawing.name}.png")
        for table in self._tables().values():
            write_text(folder / f"{table.name}.csv", table.to_csv())

    def drawings(self) -> dict[str, Drawing]:
        """Return every figure by its name, in the order of reading.

        Raises
        ------
        ValueError
            If two have the same name: one of their files would replace the other.
        """
        return _by_name([drawing for section in self.sections for drawing in section.drawings])

    def figure(self, name: str) -> Drawing:
        """Return a figure by the name of its files; in a notebook it shows itself.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        return self.drawings()[name]

    def table(self, name: str) -> ReportTable:
        """Return a table by the name of its file; in a notebook it shows itself.

        Raises
        ------
        KeyError
            If there is none of this name.
        """
        return self._tables()[name]

    def _tables(self) -> dict[str, ReportTable]:
        return _by_name([table for section in self.sections for table in section.tables])

    def _repr_html_(self) -> str:
        # In a frame of its own, so that style and script touch nothing around it. The frame may run the page's script
        # and nothing else: without ``allow-same-origin`` it cannot reach the notebook, nor its cookies or storage.
        style = "width:100%;height:900px;border:1px solid #999"
        content, name = html.escape(self.to_html(), quote=True), html.escape(self.title, quote=True)
        return f'<iframe title="{name}" srcdoc="{content}" sandbox="allow-scripts" style="{style}"></iframe>'


def _by_name(shown: Sequence[_Shown]) -> dict[str, _Shown]:
    by_name = {one.name: one for one in shown}
    if len(by_name) < len(shown):
        names = [one.name for one in shown]
        msg = f"Two figures or tables are called {next(name for name in names if names.count(name) > 1)}."
        raise ValueError(msg)
    return by_name


def embed_json(data: Mapping[str, Any]) -> Markup:
    """Return JSON that can be in a script element: no character of it can end the element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704


def read_asset(name: str) -> str:
    """Return a style sheet or script of the page."""
    return files("carina.reports.html").joinpath("assets", name).read_text(encoding="utf-8")


def _assets(names: Sequence[str]) -> Markup:
    return Markup("\n" + "\n".join(read_asset(name).strip() for name in names) + "\n")  # noqa: S704  # our own files


def _hash_of(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
