"""The command line: a verb a file. A verb parses, calls the library, prints; it decides nothing.

Results go to stdout, progress to stderr. Exit code 0 is success, 1 that some inputs failed or something is wrong with
the data, 2 that the command or the recipe is.
"""

import io
import os
import sys

import typer

from carina.cli import audit, compare, data, demo, evaluate, export, lungs, predict, recalibrate, report, train, verify
from carina.cli.console import print_error
from carina.errors import CarinaError, ConfigurationError

app = typer.Typer(
    name="carina",
    help="Chest X-ray triage toolkit. It supports a reader's judgement; it never replaces it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data.app, name="data")
app.add_typer(lungs.app, name="lungs")
app.command(name="train")(train.train_command)
app.command(name="evaluate")(evaluate.evaluate_command)
app.command(name="audit")(audit.audit_command)
app.command(name="compare")(compare.compare_command)
app.command(name="report")(report.report_command)
app.command(name="predict")(predict.predict_command)
app.command(name="export")(export.export_command)
app.command(name="verify")(verify.verify_command)
app.command(name="recalibrate")(recalibrate.recalibrate_command)
app.command(name="demo")(demo.demo_command)


_INTERRUPTED = 130
_WHAT_IS_LEFT = "Nothing that looks whole was left; a training goes on with: carina train --resume RUN"


def main() -> None:
    """Run the command line; a library error becomes one line on stderr."""
    # TensorFlow's C++ side writes to stderr whatever Python's logging says.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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
            print_error(f"interrupted. {_WHAT_IS_LEFT}")
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
        print_error(f"{error.strerror or str(error) or type(error).__name__}{where}. {_WHAT_IS_LEFT}")
        code = 1
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        print_error(f"the results could not be written: {error.strerror}.")
        _give_up_stdout()
        code = 1
    return code
