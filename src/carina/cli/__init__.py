"""The command line: a verb a file. A verb parses, calls the library, prints; it decides nothing.

Results go to stdout, progress to stderr. Exit code 0 is success, 1 that some inputs failed or something is wrong with
the data, 2 that the command or the recipe is.
"""

import os
import sys

import typer

from carina.cli import compare, data, demo, evaluate, predict, train
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
app.command(name="train")(train.train_command)
app.command(name="evaluate")(evaluate.evaluate_command)
app.command(name="compare")(compare.compare_command)
app.command(name="predict")(predict.predict_command)
app.command(name="demo")(demo.demo_command)


def main() -> None:
    """Run the command line; a library error becomes one line on stderr."""
    # TensorFlow's C++ side writes to stderr whatever Python's logging says.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except ConfigurationError as error:
        print_error(str(error))
        sys.exit(2)
    except CarinaError as error:
        print_error(str(error))
        sys.exit(1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print_error(f"{error.strerror or type(error).__name__}{where}. Nothing half-written was left.")
        sys.exit(1)
    except KeyboardInterrupt:
        print_error("interrupted. Nothing half-written was left; a training goes on with: carina train --resume RUN")
        sys.exit(130)
