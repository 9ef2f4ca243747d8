"""Arguments and options of the verbs, and those that several verbs have."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from carina.bundles.addresses import bundle_at
from carina.runtime.engine import Backend, Precision


def argument(metavar: str, text: str) -> Any:
    """Return an argument with its placeholder and its help text."""
    return typer.Argument(metavar=metavar, help=text)


def option(metavar: str, text: str, *names: str, panel: str | None = None, **limits: Any) -> Any:
    """Return an option that takes a value; without names it has that of its parameter (``label_next``: --label-next).

    `limits` are the smallest and the largest value, ``min`` and ``max``; `panel` is its place in the help.
    """
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel=panel, **limits)


def switch(text: str, *names: str, panel: str | None = None) -> Any:
    """Return an option without a value."""
    return typer.Option(*names, help=text, rich_help_panel=panel)


BundleOption = Annotated[
    Path | None,
    option(
        "BUNDLE",
        "A bundle, a finished run, or the address of a bundle (hf://, https:// or s3://, with #sha256=). Default: the "
        "released bundle.",
        "--bundle",
        "--run",
        parser=bundle_at,
    ),
]
PrevalenceOption = Annotated[
    float | None,
    option(
        "SHARE",
        "Prevalence (0 to 1) of the flagged finding among your patients. It moves the triage thresholds. Default: as "
        "in the calibration data.",
        min=0,
        max=1,
    ),
]
ENGINE_PANEL = "Reading and computing"
BackendOption = Annotated[
    Backend,
    option(
        "ENGINE",
        "Engine that runs the model: openvino, onnxruntime, or auto, which is OpenVINO if it is installed.",
        panel=ENGINE_PANEL,
    ),
]
PrecisionOption = Annotated[
    Precision,
    option(
        "FORMAT",
        "Number format of the classifier: f32, int8 or bf16 (if the bundle offers it), or auto, which is the fastest "
        "that the bundle offers and the processor has instructions for. f32 gives the same everywhere.",
        panel=ENGINE_PANEL,
    ),
]
ThreadsOption = Annotated[
    int | None,
    option("NUMBER", "Number of processor cores to use. Default: all that are available.", panel=ENGINE_PANEL, min=1),
]
KindsOption = Annotated[
    str, option("KINDS", "Answers to write, comma-separated: sr (report), sc (picture), seg (lungs and evidence).")
]
RayOption = Annotated[
    str | None,
    option(
        "ADDRESS",
        "Share the work on the Ray cluster at ADDRESS; auto starts Ray on this machine. The result is the same.",
        "--ray",
    ),
]


@contextmanager
def spread_or(alone: Any, ray: str | None, **settings: Any) -> Iterator[Any]:
    """Yield what maps a function over a list on a cluster, or without one what was given."""
    if ray is None:
        yield alone
        return
    from carina.cluster.spread import spread_on  # noqa: PLC0415  # Ray, for this option alone

    with spread_on(ray, **settings) as spread:
        yield spread
