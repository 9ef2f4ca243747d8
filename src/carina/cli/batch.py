"""``carina batch``: a table of predictions for many images, on this machine or a cluster of Ray."""

import io
from contextlib import redirect_stdout
from typing import Annotated

import typer

from carina.cli.console import print_note, print_result, progress_bars
from carina.cli.options import (
    ENGINE_PANEL,
    BackendOption,
    BundleOption,
    PrecisionOption,
    PrevalenceOption,
    argument,
    option,
    switch,
)
from carina.inference.left_out import say_left_out
from carina.wording import counted

_TABLE = "The table"

EXAMPLE = "batch films --out results"


def batch_command(
    sources: Annotated[
        list[str],
        argument(
            "SOURCE",
            "Images, folders, patterns (in quotes), ZIP archives or DICOMDIRs; addresses (s3://, gs://, https://); or "
            "a Parquet or CSV file with a column of addresses.",
        ),
    ],
    out: Annotated[
        str,
        option("TABLE", "A folder that all machines see, or the address of one in a bucket (s3://, gs://).", "--out"),
    ],
    ray: Annotated[
        str, option("ADDRESS", "The address of a Ray cluster, or auto: start Ray on this machine and use every core.")
    ] = "auto",
    bundle: BundleOption = None,
    column: Annotated[
        str | None,
        option("NAME", "The column of a Parquet or CSV file with the addresses. Default: address, or path."),
    ] = None,
    retry_failed: Annotated[
        bool, switch("Try again what could not be read before.", "--retry-failed", panel=_TABLE)
    ] = False,
    embeddings: Annotated[
        bool, switch("Also write the embedding of each image.", "--embeddings", panel=_TABLE)
    ] = False,
    overlays: Annotated[
        bool,
        switch("Also write a picture of what speaks for each image's finding.", "--overlays", panel=_TABLE),
    ] = False,
    answers: Annotated[
        str | None,
        option(
            "KINDS",
            "Also write answers to DICOM images as DICOM objects, comma-separated: sr (report), sc (picture), seg "
            "(lungs and evidence).",
            panel=_TABLE,
        ),
    ] = None,
    prevalence: PrevalenceOption = None,
    deflated: Annotated[
        bool, switch("Also read DICOM files with a deflated (compressed) data set.", "--deflated", panel=ENGINE_PANEL)
    ] = False,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Judge many images on one machine or many, into a table.

    The table has one row per input, with the values of carina predict --json. The same command goes on where an
    earlier one stopped, and judges no address twice, even if its file has changed. An image that cannot be read becomes
    an error row, and the exit code is 1.
    """
    # Ray and Arrow, for this verb alone and not for the list of verbs.
    from carina.cluster.batch import BatchSettings, run_batch  # noqa: PLC0415
    from carina.cluster.summary import REPORT_FILE  # noqa: PLC0415
    from carina.dicom.answers.objects import kinds_named  # noqa: PLC0415

    kinds = () if answers is None else kinds_named(answers.split(","))
    settings = BatchSettings(prevalence, backend, precision, deflated, embeddings, overlays, kinds, column)
    failures = 0

    def name() -> str:
        return f"Judged, {counted(failures, 'error')} so far" if failures else "Judged"

    with progress_bars() as stage:
        show = stage(name)

        def tell(done: int, total: int, failed: int) -> None:
            nonlocal failures
            failures = failed
            show(done, total)

        # Ray prints to stdout which of its processes died; here that is no result.
        with redirect_stdout(io.StringIO()):
            result = run_batch(
                sources,
                out,
                bundle=bundle,
                ray=ray,
                settings=settings,
                retry_failed=retry_failed,
                tell=tell,
                note=print_note,
            )
    for line in result.lines():
        print_note(line)
    if (said := say_left_out(result.left_out)) is not None:
        print_note(said)
    print_result(f"{out.rstrip('/')}/{REPORT_FILE}")
    if result.failed_rows:
        raise typer.Exit(1)
