"""What the verbs that compute share: which engine, in which precision, on how many cores."""

from typing import Annotated

import typer

from carina.engine import Backend, Precision

BackendOption = Annotated[Backend, typer.Option("--backend", help="What runs the graphs; auto: OpenVINO if installed.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option("--precision", help="Of the classifier; auto: f32. bf16 if the processor has it, int8 if the bundle."),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="Processor cores; by default all that may be used.")
]
