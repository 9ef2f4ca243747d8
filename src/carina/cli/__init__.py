"""The command line: one verb per file. A verb parses, calls the library, prints; it decides nothing.

Results go to stdout, progress to stderr. Exit code 0 is success, 1 that some inputs failed or something is wrong with
the data, 2 that the command or the recipe is.
"""

import io
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from carina._version import __version__
from carina.cli.console import print_error, print_result
from carina.cli.help_text import example, plain_help, plain_parameter
from carina.errors import CarinaError, ConfigurationError
from carina.extras import missing_library

# In the order of the help. Each is a file beside this one: `app` in it if it has verbs of its own, else
# `<verb>_command`.
_VERBS = (
    *(
        "demo",
        "predict",
        "batch",
        "data",
        "train",
        "evaluate",
        "audit",
        "compare",
        "report",
        "export",
        "verify",
        "recalibrate",
    ),
    *("adapt", "sign", "push", "dicom", "mercure", "serve", "gate", "lungs", "bench"),
)
_STYLE: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False}


class _Verbs(Mapping[str, Any]):
    """The verbs by name, each read from its file when it is asked for.

    ``carina predict`` judges an image in the time that the tables, plots and workbooks of the other verbs take to
    import.
    """

    def __getitem__(self, name: str) -> Any:
        if name not in _VERBS:
            raise KeyError(name)
        return _read_verb(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_VERBS)

    def __len__(self) -> int:
        return len(_VERBS)


@cache
def _read_verb(name: str) -> Any:
    if name == "predict" and "numpy" not in sys.modules:
        # See `carina.runtime.blas_threads`: said before NumPy is there, it costs nothing.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        module = import_module(f"carina.cli.{name}")
    except ModuleNotFoundError as error:
        said = _said_of(error, name)
        if said is None:
            raise
        return _verb_without_its_extra(name, said)
    if hasattr(module, "app"):
        return plain_help(get_group(module.app), name)
    single = typer.Typer(rich_markup_mode="rich", **_STYLE)
    single.command(name=name, epilog=example(module.EXAMPLE))(getattr(module, f"{name}_command"))
    return plain_help(get_command(single), name)


def _verb_without_its_extra(name: str, said: CarinaError) -> Any:
    """Return a verb that stays in the list of verbs, and says for its help and its result what is to be installed."""

    def tell() -> None:
        raise said

    tell.__doc__ = str(said).replace("[", r"\[")  # an extra is no markup
    single = typer.Typer(rich_markup_mode="rich", **_STYLE)
    single.command(name=name, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(tell)
    return plain_help(get_command(single), name)


def _said_of(error: ModuleNotFoundError, verb: str) -> CarinaError | None:
    return missing_library(error, f"carina {verb}", "train" if verb in ("train", "demo") else None)


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Any = _Verbs()

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that was typed; a command of a group is named with its group (``carina data import``)."""
        if args and args[0] not in self.commands:
            groups = [name for name in ("data", "dicom") if args[0] in getattr(self.commands[name], "commands", ())]
            if groups:
                ctx.fail(f"No such command '{args[0]}'. Did you mean: carina {groups[0]} {args[0]}")
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, shown without types."""
        return [plain_parameter(parameter) for parameter in super().get_params(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  # it is in the signature
        """Print the help in panels; errors stay one line, which a program can read."""
        from typer.rich_utils import rich_format_help  # noqa: PLC0415  # for the help alone

        rich_format_help(obj=self, ctx=ctx, markup_mode="rich")


app = typer.Typer(
    name="carina",
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=example("predict film.png"),
    **_STYLE,
)


def _tell_version(asked: bool) -> None:
    if asked:
        print_result(f"Carina {__version__}")
        raise typer.Exit


@app.callback()
def _carina(
    version: Annotated[  # the callback tells it
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Chest X-ray triage toolkit. It supports a reader's judgement; it never replaces it."""


_INTERRUPTED = 130


def _what_is_left(typed: list[str]) -> str:
    """Return what a command that was broken off has left, and how to go on."""
    verb = typed[0] if typed else ""
    if verb == "predict" and any(word.split("=")[0] == "--resume" for word in typed):
        return "What was judged is in the file; the same command goes on with the rest."
    if verb == "batch":
        return "What was judged is in the table; the same command goes on with the rest."
    if verb == "predict":
        return "What was printed is valid. With --resume FILE the same command would go on where it stopped."
    if verb == "train":
        run = _value_of(typed, "--resume") or _value_of(typed, "--out") or "with the folder of --out"
        return f"Nothing that looks whole was left; the training goes on with: carina train --resume {run}"
    return "Nothing that looks whole was left."


def _value_of(typed: list[str], option: str) -> str | None:
    """Return what was typed for an option, ready to be typed again."""
    for word, following in zip(typed, [*typed[1:], ""], strict=True):
        if word == option or word.startswith(f"{option}="):
            return shlex.quote(following if word == option else word.removeprefix(f"{option}="))
    return None


def main() -> None:
    """Run the command line; a library error becomes one line on stderr."""
    # TensorFlow's C++ side writes to stderr whatever Python's logging says.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Its products are small: threads of NumPy's library only take time to start.
    if sys.argv[1:2] == ["predict"]:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A file name that is no UTF-8 must not end a batch.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.exit(_run())
    except BrokenPipeError:
        # Whoever read the results (head, less) has seen enough.
        _give_up_stdout()
        sys.exit(1)


def _give_up_stdout() -> None:
    """Send what is still to be written nowhere: Python would try again while it exits, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run() -> int:
    """Return the exit code of the command that was typed."""
    code = 0
    try:
        app()
    except SystemExit as stop:
        # Typer ends every command so, and turns Ctrl-C into 130 without a word.
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        if code == _INTERRUPTED:
            print_error(f"interrupted. {_what_is_left(sys.argv[1:])}")
    except ModuleNotFoundError as error:
        said = _said_of(error, (sys.argv[1:] or [""])[0])
        if said is None:
            raise
        print_error(str(said))
        code = 2
    except CarinaError as error:
        print_error(str(error))
        code = 2 if isinstance(error, ConfigurationError) else 1
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print_error(f"{error.strerror or str(error) or type(error).__name__}{where}. {_what_is_left(sys.argv[1:])}")
        code = 1
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if not code:
            print_error(f"the results could not be written: {error.strerror}.")
        _give_up_stdout()
        code = 1
    return code
