"""What the verbs that compute share: which engine, in which precision, on how many cores."""

from typing import Annotated

import typer

from carina.runtime.engine import Backend, Precision

ENGINE_PANEL = "Reading and computing"
BackendOption = Annotated[
    Backend,
    typer.Option(
        "--backend",
        metavar="ENGINE",
        rich_help_panel=ENGINE_PANEL,
        help="Engine that runs the model: openvino, onnxruntime, or auto, which is OpenVINO if it is installed.",
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        metavar="FORMAT",
        rich_help_panel=ENGINE_PANEL,
        help="Number format of the classifier: f32, bf16 (if the processor has it), int8 (if the bundle has it), or "
        "auto, which is f32.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        rich_help_panel=ENGINE_PANEL,
        metavar="NUMBER",
        min=1,
        help="Number of processor cores to use. Default: all that are available.",
    ),
]
