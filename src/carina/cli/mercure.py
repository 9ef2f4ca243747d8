"""``carina mercure``: a processing step of mercure."""

import os
from pathlib import Path
from typing import Annotated

import typer

from carina.bundles.bundle import released_bundle
from carina.cli.console import print_result
from carina.cli.options import BundleOption, argument
from carina.errors import ConfigurationError

EXAMPLE = "mercure in/ out/"


def mercure_command(
    folder: Annotated[Path | None, argument("IN", "Folder with images and task.json. Default: MERCURE_IN_DIR.")] = None,
    out: Annotated[Path | None, argument("OUT", "Folder to write to. Default: MERCURE_OUT_DIR.")] = None,
    bundle: BundleOption = None,
) -> None:
    """Run as a processing step of mercure.

    It judges the images that mercure puts into a folder, and writes answers as DICOM objects and result.json. It needs
    the extra dicom. The exit code is 0 unless no image at all could be read.
    """
    from carina.extras import require_libraries  # noqa: PLC0415

    require_libraries("carina mercure", "highdicom")
    from carina.dicom.mercure import run_step  # noqa: PLC0415  # what writes DICOM takes a second to import
    from carina.inference.predictor import Predictor  # noqa: PLC0415

    given = folder or _named("MERCURE_IN_DIR"), out or _named("MERCURE_OUT_DIR")
    result = run_step(*given, Predictor(bundle or released_bundle()))
    print_result(result.text)
    if result.failed and not result.read:
        raise typer.Exit(1)


def _named(variable: str) -> Path:
    place = os.environ.get(variable)
    if not place:
        msg = f"{variable} is not set. mercure sets it; without mercure type: carina mercure IN OUT"
        raise ConfigurationError(msg)
    return Path(place)
