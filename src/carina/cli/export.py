"""``carina export``: a run becomes a sealed bundle."""

from pathlib import Path
from typing import Annotated

from carina.bundles.verification import Verification
from carina.cli.console import print_note, print_result, progress_bars
from carina.cli.options import argument, option, switch
from carina.progress import no_progress

_LARGE_MB = 30.0

_CARD = "Model card"

EXAMPLE = "export runs/mine --out bundles/mine"


def export_command(
    run: Annotated[Path, argument("RUN", "A finished run.")],
    out: Annotated[Path, option("FOLDER", "Bundle folder to write; it must not exist.")],
    name: Annotated[str | None, option("NAME", "Name of the bundle. Default: the name of the recipe.")] = None,
    version: Annotated[str, option("VERSION", "Version of the bundle.")] = "1.0.0",
    evaluation: Annotated[
        list[Path] | None,
        option("EVALUATION", "Folder that carina evaluate wrote, for the model card. Repeatable.", panel=_CARD),
    ] = None,
    audit: Annotated[
        Path | None, option("AUDIT", "Folder that carina audit wrote, for the model card.", panel=_CARD)
    ] = None,
    hub: Annotated[
        str | None,
        option(
            "REPOSITORY",
            "OWNER/NAME of the repository on the Hugging Face Hub where it will lie, for the model card.",
            panel=_CARD,
        ),
    ] = None,
    int8: Annotated[
        bool,
        switch(
            "Also offer the classifier in 8-bit integers, which is faster, with thresholds of its own. It is left out "
            "where it would be worse. The data sets of the run must be where they were.",
            "--int8/--no-int8",
        ),
    ] = False,
) -> None:
    """Write a finished run as a sealed bundle.

    A bundle is one folder. It is verified byte by byte wherever it is opened.
    """
    from carina.api.bundles import export  # noqa: PLC0415  # Matplotlib takes a second to import

    with progress_bars() as bar:
        # A bar of what is not asked for would only take time to import.
        progress = bar("Choosing integers") if int8 else no_progress
        verification = export(
            run,
            out,
            name=name,
            version=version,
            evaluation=evaluation or (),
            audit=audit,
            hub=hub,
            int8=int8,
            progress=progress,
        )
    print_bundle(out, verification)
    print_result(f"Next: carina verify {out}" if hub is None else f"Next: carina push {out} hf://{hub}")


def print_bundle(folder: Path, verification: Verification) -> None:
    """Print what a bundle was verified to be."""
    print_result(f"{folder}: {verification.summary()}")
    if verification.megabytes > _LARGE_MB:
        print_note(f"The bundle is larger than {_LARGE_MB:g} MB: too much to lie in a repository or a wheel.")
