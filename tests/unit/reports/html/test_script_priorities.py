"""The page's scripts have the list of priorities from the page's data, and not one of their own."""

from importlib.resources import files
from pathlib import Path

from carina.decisions.triage import PRIORITIES, READING_PLACES
from carina.reports.evaluated import read_evaluated
from carina.reports.html.sections.explorer_section import explorer_data
from unit.reports.evaluations import write_evaluated


def test_priorities_travel_with_their_colours_and_places(tmp_path: Path) -> None:
    told = explorer_data(read_evaluated(write_evaluated(tmp_path / "one", n=60)))["priorities"]
    assert tuple(item["name"] for item in told) == PRIORITIES
    assert {item["name"]: item["place"] for item in told} == READING_PLACES
    assert all(item["ink"] for item in told)


def test_no_list_of_priorities_is_in_a_script() -> None:
    for name in ("explorer.js", "reading_room.js"):
        assert "secondary-review" not in (files("carina.reports.html") / "assets" / name).read_text("utf-8"), name
