"""The help of a command as a person reads it: whole paragraphs, no types of Python, and an example at the end."""

from typing import Any


def example(words: str) -> str:
    """Return the example below a command's help."""
    return f"Example: carina {words}"


def plain_help(command: Any, name: str) -> Any:
    """Return a command, and the commands in it, with a help that a person can read.

    Typer shows ``<bool>`` beside each flag and ``<list[Path]>`` beside each argument, and breaks paragraphs where the
    source breaks its lines.
    """
    command.name = name
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in command.help.split("\n\n"))
    params_of = command.get_params
    # The option --help is made when it is asked for.
    command.get_params = lambda context: [plain_parameter(parameter) for parameter in params_of(context)]
    for inner, sub in getattr(command, "commands", {}).items():
        plain_help(sub, inner)
    return command


def plain_parameter(parameter: Any) -> Any:
    """Return an argument or option that is shown without a type."""
    if parameter.param_type_name == "argument":
        several = parameter.nargs == -1 and " " not in parameter.metavar
        shown = f"{parameter.metavar}..." if several else parameter.metavar
        parameter.get_usage_pieces = lambda ctx: [shown if parameter.required else f"[{shown}]"]  # noqa: ARG005
        parameter.display_type_rich = lambda ctx: None  # noqa: ARG005
    elif parameter.is_flag:
        parameter.metavar = ""
    return parameter
