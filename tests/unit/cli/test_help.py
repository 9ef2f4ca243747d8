"""What a person sees first: the lists of commands, and what each option says."""

import re
import shlex
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


@pytest.mark.parametrize("columns", ["80", "100"])
@pytest.mark.parametrize("name", [name for name, command in ALL.items() if hasattr(command, "commands")], ids=" ".join)
def test_no_list_of_commands_is_cut(
    carina: Typed, name: tuple[str, ...], columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    code, out, _ = carina(*name, "--help")
    assert code == 0
    listed = out[out.index("Commands ") :].split("╰")[0].splitlines()[1:]
    assert [line.strip("│ ").split()[0] for line in listed] == list(ALL[name].commands)
    assert all(line.strip("│ ").endswith(".") and "…" not in line for line in listed)


@pytest.mark.parametrize("name", [("predict",), ("train",), ("evaluate",), ("data", "import"), ("data", "check")])
def test_a_help_is_read_by_a_person(carina: Typed, name: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = carina(*name, "--help")
    assert code == 0
    assert not re.search(r"<\w+|…|\{", out), "a type of Python, or something cut"
    # A paragraph is wrapped where the terminal ends, not where the source is.
    assert max(len(line.rstrip()) for line in out.split("╭")[0].splitlines()[3:]) > 60 or name == ("data", "check")


@pytest.mark.parametrize(
    "name", [name for name, command in ALL.items() if not hasattr(command, "commands")], ids=" ".join
)
def test_the_example_of_a_command_can_be_typed(name: tuple[str, ...]) -> None:
    program, *words = shlex.split(ALL[name].epilog.removeprefix("Example: "))
    assert (program, tuple(words[: len(name)])) == ("carina", name)
    assert len(ALL[name].epilog) < 80
    typed = words[len(name) :]
    ALL[name].make_context(name[-1], typed[: typed.index(">")] if ">" in typed else typed)


@pytest.mark.parametrize("name", [name for name, command in ALL.items() if name], ids=" ".join)
def test_every_parameter_has_a_placeholder_and_many_options_have_panels(name: tuple[str, ...]) -> None:
    options = [parameter for parameter in ALL[name].params if parameter.param_type_name == "option"]
    for parameter in ALL[name].params:
        assert getattr(parameter, "is_flag", False) or re.fullmatch(r"[][A-Z=: .]+", parameter.metavar or ""), (
            parameter.name
        )
    # Those of carina dicom belong together by the archive that they are about.
    assert len(options) < 9 or name[0] == "dicom" or any(parameter.rich_help_panel for parameter in options)


@pytest.mark.parametrize("name", [name for name, command in ALL.items() if name], ids=" ".join)
def test_every_option_makes_sense_alone(name: tuple[str, ...]) -> None:
    for parameter in ALL[name].params:
        text = parameter.help
        assert text, (name, parameter.name)
        assert text.endswith("."), text
        # "Of the flagged finding, where you are." needs its neighbours to be understood.
        assert not re.match(r"(Of|By|For|In|At|With) (?!test)", text), text
        assert len(text.split()) >= 3, text


def test_a_command_of_a_group_is_named_with_its_group(carina: Typed) -> None:
    code, _, err = carina("import", "films")
    assert code == 2
    assert "No such command 'import'. Did you mean: carina data import" in err
