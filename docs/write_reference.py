"""Write docs/reference.md from the commands' own help, so that the two cannot disagree.

python docs/write_reference.py            rewrites docs/reference.md
python docs/write_reference.py --check    exit code 1 if it is not what would be written
"""

import sys
from pathlib import Path
from typing import Any

import typer

from carina.cli import app

PATH = Path(__file__).parent / "reference.md"


def reference() -> str:
    """Return the page: a chapter a command, a row an argument or option."""
    lines = ["# Commands", "", "Written by `docs/write_reference.py` from the commands' own help.", ""]
    for name, command in sorted(_commands(typer.main.get_command(app), "carina")):
        lines += [f"## {name}", "", str(command.help), "", "| | default | |", "|---|---|---|"]
        lines += [_row(parameter) for parameter in command.params if parameter.name != "help"]
        lines.append("")
    lines += [
        "Exit code 0: success. 1: some inputs failed, or something is wrong with the data. 2: the command or the",
        "recipe is wrong. 130: interrupted. Results go to stdout, progress and errors to stderr.",
        "",
    ]
    return "\n".join(lines)


def _commands(command: Any, name: str) -> list[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        return [(name, command)]
    return [found for key, sub in inner.items() for found in _commands(sub, f"{name} {key}")]


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        shown = parameter.metavar or parameter.name.upper() + ("…" if parameter.nargs == -1 else "")
    else:
        shown = parameter.opts[0]
    default = "required" if parameter.required else _default(parameter.default)
    return f"| `{shown}` | {default} | {parameter.help} |"


def _default(value: object) -> str:
    return "" if value is None or value is False or value == () else f"`{value}`"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(
            0 if PATH.read_text("utf-8") == reference() else "docs/reference.md is old: run docs/write_reference.py"
        )
    PATH.write_text(reference(), "utf-8")
