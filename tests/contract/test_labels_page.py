"""The page on tables of labels: every command in it can be typed, and it knows the columns that the code knows."""

import re
import shlex
from pathlib import Path

import typer

from carina.cli.data import app
from carina.datasets.table_columns import FIELDS, OTHER_NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "labels.md").read_text(encoding="utf-8")


def test_every_command_can_be_typed() -> None:
    command = typer.main.get_command(app).commands["import"]  # type: ignore[attr-defined]
    commands = re.findall(r"(?:^\$ |`)carina data (import [^\n`]+)", PAGE, re.MULTILINE)
    assert len(commands) >= 8
    for typed in commands:
        words = shlex.split(typed)[1:]
        words += [] if "--out" in words else ["--out", "x"]
        assert command.make_context("import", words).params["source"], typed


def test_the_columns_are_those_that_are_known() -> None:
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\| ([^|]+) \|$", PAGE, re.MULTILINE))
    assert tuple(rows) == FIELDS
    for field in FIELDS:
        told = {name.replace(" ", "") for name in rows[field].split(", ")}
        assert told <= set(OTHER_NAMES[field]), field
