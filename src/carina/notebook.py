"""HTML for results in a notebook: no scripts, classes or colours, so that nothing around it changes.

It can be read on a light and on a dark page.
"""

from collections.abc import Iterable, Sequence
from html import escape

CELL = 'style="text-align:left;vertical-align:top;padding:.2em .8em .2em 0;background:none"'


def table_html(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of text, escaped."""
    titles = "".join(f"<th {CELL}>{escape(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td {CELL}>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table style="border-collapse:collapse;margin:.6em 0"><tr>{titles}</tr>{body}</table>'


def lines_html(text: str) -> str:
    """Return lines of text, escaped, each as a line."""
    return "<br>".join(map(escape, text.splitlines()))


def boxed(*parts: str) -> str:
    """Return markup as one block."""
    return f'<div style="line-height:1.4">{"".join(parts)}</div>'
