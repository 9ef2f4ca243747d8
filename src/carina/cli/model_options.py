"""Options of several commands: which model judges, and for which patients."""

from pathlib import Path
from typing import Annotated

import typer

BundleOption = Annotated[
    Path | None,
    typer.Option(
        "--bundle", "--run", metavar="BUNDLE", help="A bundle or a finished run. Default: the released bundle."
    ),
]
PrevalenceOption = Annotated[
    float | None,
    typer.Option(
        "--prevalence",
        metavar="SHARE",
        min=0,
        max=1,
        help="Prevalence (0 to 1) of the flagged finding among your patients. It moves the triage thresholds. Default: "
        "as in the calibration data.",
    ),
]
