"""Pages are filled templates: all text in them is escaped, and a name that is missing is an error."""

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

from carina._version import __version__
from carina.reports import written_numbers
from carina.wording import counted


def render(template: str, **facts: Any) -> str:
    """Return a template of ``templates/``, filled.

    Raises
    ------
    jinja2.UndefinedError
        If the template asks for what is not given.
    """
    return _environment().get_template(template).render(facts)


def static_folder() -> str:
    """Return where scripts, styles and what others wrote lie."""
    return str(files("carina.service.web").joinpath("static"))


def minutes_in_words(minutes: float) -> str:
    """Return a time as people say it: "7 min", "2 h 05", "3 d"."""
    whole = max(0, int(minutes))
    if whole < 60:
        return f"{whole} min"
    if whole < 48 * 60:
        return f"{whole // 60} h {whole % 60:02d}"
    return f"{whole // 1440} d"


def time_in_words(at: datetime | None) -> str:
    """Return a time with its date, in UTC."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def share_in_words(probability: float) -> str:
    """Return a probability with three decimals, and never as a certainty: "0.994", "> 0.999", "< 0.001"."""
    if probability < 0.001:
        return "< 0.001"
    return "> 0.999" if probability > 0.999 else f"{probability:.3f}"


def name_in_words(name: str) -> str:
    """Return a name of DICOM (PS3.5 6.2.1) as people write it: "Moreau, Jeanne"; of several scripts the first."""
    family, *given = (" ".join(part.split()) for part in name.partition("=")[0].split("^"))
    rest = " ".join(part for part in given if part)
    return f"{family}, {rest}" if family and rest else family or rest or name


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("carina.service.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for words in ("value_text", "interval_text", "count_text", "percent_text"):
        environment.globals[words] = getattr(written_numbers, words)
    environment.globals.update(counted=counted, version=__version__, minutes=minutes_in_words, time=time_in_words)
    environment.globals.update(named=name_in_words, probability=share_in_words)
    return environment
