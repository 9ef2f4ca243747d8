"""What the verbs that compute share: which engine, in which precision, on how many cores."""

from typing import Annotated

import typer

from carina.runtime.engine import Backend, Precision

BackendOption = Annotated[
    Backend,
    typer.Option(
        "--backend", help="Engine that runs the model. auto: OpenVINO if it is installed, otherwise ONNX Runtime."
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="Number format of the classifier. auto: f32. bf16 and int8: where the processor or the bundle has them.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Number of processor cores to use. Default: all that are available."),
]
