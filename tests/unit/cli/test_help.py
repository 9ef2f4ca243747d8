"""What a person sees first: the lists of commands, and what each option says."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from carina.cli import app
from unit.cli.conftest import Typed


def commands(command: Any, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each command and each group of commands, by the words that are typed."""
    yield name, command
    for key, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, (*name, key))


ALL = dict(commands(typer.main.get_command(app)))


def test_all_commands_are_found() -> None:
    assert len(ALL) > 20
    assert {("predict",), ("data", "import"), ("dicom", "query"), ("lungs", "train")} <= set(ALL)


@pytest.mark.parametrize("name", [name for name in ALL if name], ids=" ".join)
def test_the_first_sentence_of_a_command_is_short(name: tuple[str, ...]) -> None:
    first = re.split(r"(?<=\.)\s", ALL[name].help.strip())[0]
    assert len(first) <= 60, first
    assert re.fullmatch(r"[A-Z][^;]+\.", first)


@pytest.mark.parametrize("name", [name for name, command in ALL.items() if hasattr(command, "commands")], ids=" ".join)
def test_no_list_of_commands_is_cut(carina: Typed, name: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = carina(*name, "--help")
    assert code == 0
    listed = out[out.index("Commands:") :].splitlines()[1:]
    assert len(listed) == len(ALL[name].commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)


@pytest.mark.parametrize("name", [name for name, command in ALL.items() if name], ids=" ".join)
def test_every_option_makes_sense_alone(name: tuple[str, ...]) -> None:
    for parameter in ALL[name].params:
        text = parameter.help
        assert text, (name, parameter.name)
        assert text.endswith("."), text
        # "Of the flagged finding, where you are." needs its neighbours to be understood.
        assert not re.match(r"(Of|By|For|In|At|With) (?!test)", text), text
        assert len(text.split()) >= 3, text
