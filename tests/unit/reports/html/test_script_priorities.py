"""The page's scripts know the same priorities, in the same order, as triage does."""

import json
import re
from importlib.resources import files

from carina.decisions.triage import PRIORITIES, READING_PLACES


def constant(script: str, name: str) -> str:
    """Return what a script of the page gives a constant, as JSON."""
    text = (files("carina.reports.html") / "assets" / script).read_text("utf-8")
    (found,) = re.findall(rf"^const {name} = (.*?);$", text, re.MULTILINE)
    return re.sub(r"(?<=[{,] )([a-z]+):", r'"\1":', found)


def test_the_explorer_lists_all_priorities() -> None:
    assert tuple(json.loads(constant("explorer.js", "PRIORITIES"))) == PRIORITIES
    assert set(json.loads(constant("explorer.js", "BAND_INKS"))) == set(PRIORITIES)


def test_the_reading_room_has_the_same_order() -> None:
    assert json.loads(constant("reading_room.js", "READING_ORDER")) == READING_PLACES
