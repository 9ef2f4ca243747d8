"""The command line: a verb a file. A verb parses, calls the library, prints; it decides nothing.

Results go to stdout, progress to stderr. Exit code 0 is success, 1 that some inputs failed or something is wrong with
the data, 2 that the command or the recipe is.
"""

import io
import os
import shlex
import sys
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from carina._version import __version__
from carina.cli.console import print_error, print_result
from carina.errors import CarinaError, ConfigurationError

# In the order of the help. Each is a file beside this one: `app` in it if it has verbs of its own, else
# `<verb>_command`.
_VERBS = (
    *("train", "evaluate", "audit", "compare", "report", "predict", "export", "verify", "recalibrate", "adapt", "demo"),
    *("data", "lungs", "gate", "bench", "dicom"),
)
_STYLE: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}


class _Verbs(MutableMapping[str, Any]):
    """The verbs by name, each read from its file when it is asked for.

    ``carina predict`` judges an image in the time that the tables, plots and workbooks of the other verbs take to
    import.
    """

    def __init__(self) -> None:
        self._read: dict[str, Any] = dict.fromkeys(_VERBS)

    def __getitem__(self, name: str) -> Any:
        if self._read[name] is None:
            module = import_module(f"carina.cli.{name}")
            if hasattr(module, "app"):
                self._read[name] = get_group(module.app)
            else:
                single = typer.Typer(**_STYLE)
                single.command(name=name)(getattr(module, f"{name}_command"))
                self._read[name] = get_command(single)
        return self._read[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._read[name] = command

    def __delitem__(self, name: str) -> None:
        del self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Verbs()


app = typer.Typer(name="carina", cls=_Group, no_args_is_help=True, **_STYLE)


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
    if verb == "predict":
        return "What was printed stands; with --resume FILE the same command would go on where it stopped."
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
    except ConfigurationError as error:
        print_error(str(error))
        code = 2
    except CarinaError as error:
        print_error(str(error))
        code = 1
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
