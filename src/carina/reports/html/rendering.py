"""Pages and sections are filled templates: all text in them is escaped, and a name that is missing is an error."""

from __future__ import annotations

from functools import cache

import jinja2
from markupsafe import Markup

from carina.reports import written_numbers
from carina.reports.report_tables import Measured
from carina.wording import counted


def render(template: str, **facts: object) -> Markup:
    """Return a template of ``html/templates``, filled.

    Raises
    ------
    jinja2.UndefinedError
        If the template asks for what is not given.
    """
    return Markup(_environment().get_template(template).render(facts))  # noqa: S704  # escaped by the template


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("carina.reports.html"),
        # A model card is Markdown, which has no markup to end.
        autoescape=jinja2.select_autoescape(),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for words in ("value_text", "interval_text", "count_text", "percent_text", "unbroken"):
        environment.globals[words] = getattr(written_numbers, words)
    environment.globals["counted"] = counted
    environment.tests["measured"] = lambda cell: isinstance(cell, Measured)
    environment.tests["integer_cell"] = lambda cell: isinstance(cell, int)
    return environment
