"""Write the pages of commands and of recipe settings from the source, so that the two cannot disagree.

python docs/write_reference.py            rewrites docs/reference.md and docs/reference/recipes.md
python docs/write_reference.py --check    exit code 1 if one of them is not what would be written
"""

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from carina.cli import app
from carina.learning.recipe import Recipe, load_recipe, shipped_recipes

FOLDER = Path(__file__).parent
_LIMITS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def commands() -> str:
    """Return the page of commands: a chapter for each command, a row for each argument or option."""
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
    # A group that does something by itself, as `carina serve` does, has a chapter of its own.
    own = [(name, command)] if command.invoke_without_command and name != "carina" else []
    return own + [found for key, sub in inner.items() for found in _commands(sub, f"{name} {key}")]


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        shown = parameter.metavar or parameter.name.upper() + ("…" if parameter.nargs == -1 else "")
    else:
        shown = parameter.opts[0]
    default = "required" if parameter.required else _default(parameter.default)
    return f"| `{shown}` | {default} | {parameter.help} |"


def _default(value: object) -> str:
    return "" if value is None or value is False or value == () else f"`{value}`"


def recipes() -> str:
    """Return the page of recipe settings: a chapter for each table of a recipe, a row for each setting."""
    shipped = {name: load_recipe(name).model_dump(mode="json") for name in shipped_recipes()}
    names = ", ".join(f"`{name}`" for name in shipped)
    lines = [
        "# Recipe settings",
        "",
        "Written by `docs/write_reference.py` from the settings' own definitions (`src/carina/learning/recipe.py`).",
        "",
        "A recipe is a TOML file with all that training needs to know beside the data.",
        f"Carina comes with {names} (`src/carina/recipes/`).",
        "For a recipe of your own, copy one of these, change it, and name the file:",
        "",
        "```console",
        "$ carina train datasets/mine --recipe my-recipe.toml --out runs/mine",
        "```",
        "",
        "An unknown or impossible setting is refused, with its name. A setting that is left out has its default.",
        "Every run and every bundle has a `recipe.toml` with all settings written out. You can train with it again.",
        "",
    ]
    for name, model, repeated in _tables(Recipe):
        heading = f"## `[[{name}]]`" if repeated else f"## `[{name}]`"
        lines += [heading if name else "## At the top", "", _summary(model), ""]
        lines += ["| setting | allowed | default | meaning |", "|---|---|---|---|"]
        meanings = _meanings(model)
        for setting, field in model.model_fields.items():
            if _model_in(field.annotation) is None:
                default = "required" if field.is_required() else _toml(field.default)
                lines.append(f"| `{setting}` | {_allowed(field)} | {default} | {meanings[setting]} |")
        lines.append("")
    return "\n".join(lines)


def _tables(
    model: type[BaseModel], name: str = "", *, repeated: bool = False
) -> list[tuple[str, type[BaseModel], bool]]:
    """Return a model and the models of its tables, with their names in a file, and whether each may be repeated."""
    found = [(name, model, repeated)]
    for setting, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None:
            several = "tuple" in str(field.annotation)
            found += _tables(inner, f"{name}.{setting}".lstrip("."), repeated=several)
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    parts = [annotation, *get_args(annotation)]
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def _summary(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").splitlines()[0]


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return what the docstrings of a model and its bases say of each attribute, each as one line of Markdown."""
    said: dict[str, str] = {}
    for base in reversed(model.__mro__):
        attributes = inspect.cleandoc(base.__doc__ or "").partition("Attributes\n----------\n")[2]
        for names, text in re.findall(r"^(\w[\w, ]*)\n((?:(?: +.*)?(?:\n|$))+)", attributes, flags=re.M):
            line = " ".join(text.split()).replace("``", "`").replace("|", "\\|").replace("<", "&lt;")
            said |= dict.fromkeys(names.split(", "), line)
    return said


def _allowed(field: FieldInfo) -> str:
    limits = [
        f"{sign} {value}"
        for limit in field.metadata
        for key, sign in _LIMITS.items()
        if (value := getattr(limit, key, None)) is not None
    ]
    return ", ".join([_type(field.annotation), *limits])


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_type(part) for part in get_args(annotation) if part is not NoneType)
    names = {int: "whole number", float: "number", str: "text", bool: "true, false", tuple: "list", dict: "table"}
    return names.get(get_origin(annotation) or annotation, "text")


def _toml(value: object) -> str:
    if value is None:
        return "–"
    return f"`{list(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else value}`"


PAGES: dict[Path, Callable[[], str]] = {
    FOLDER / "reference.md": commands,
    FOLDER / "reference" / "recipes.md": recipes,
}

if __name__ == "__main__":
    if "--check" in sys.argv:
        old = [path.name for path, write in PAGES.items() if path.read_text("utf-8") != write()]
        sys.exit(f"{', '.join(old)}: old. Run docs/write_reference.py" if old else 0)
    for path, write in PAGES.items():
        path.write_text(write(), "utf-8")
