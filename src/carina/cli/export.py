"""``carina export``: a run becomes a sealed bundle."""

from pathlib import Path
from typing import Annotated

import typer

from carina.bundle import Verification, export_bundle
from carina.cli.console import print_note, print_result
from carina.run_folder import open_run

_LARGE_MB = 25.0


def export_command(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    out: Annotated[Path, typer.Option("--out", help="Bundle folder to write.")],
    name: Annotated[str | None, typer.Option("--name", help="Of the bundle; by default the recipe's.")] = None,
    version: Annotated[str, typer.Option("--version", help="Of the bundle.")] = "1.0.0",
    evaluation: Annotated[
        list[Path] | None, typer.Option("--evaluation", help="Evaluation folder for the model card; may be repeated.")
    ] = None,
    audit: Annotated[Path | None, typer.Option("--audit", help="Audit folder for the model card.")] = None,
) -> None:
    """Write a run as a sealed folder that is verified byte by byte wherever it is opened."""
    from carina.reports.model_card import prepare_card  # noqa: PLC0415  # Matplotlib takes a second to import

    card = prepare_card(evaluation or [], audit)
    verification = export_bundle(run, out, name=name or open_run(run).name, version=version, write_card=card)
    print_bundle(out, verification)
    print_result(f"Next: carina verify {out}")


def print_bundle(folder: Path, verification: Verification) -> None:
    """Print what a bundle was verified to be."""
    of, may = verification.differences, verification.tolerances
    print_result(
        f"{folder}: {verification.name} {verification.version}, {verification.megabytes:.1f} MB in "
        f"{len(verification.bytes_of)} files, each as sealed.\n"
        f"Golden examples on {verification.engine} ({verification.precision}, {verification.threads} threads): missed "
        f"by at most {of.logit:.2g} of a logit ({may.logit:g} allowed) and {of.probability:.2g} of a probability "
        f"({may.probability:g} allowed).\n"
        f"Seal: {verification.sha256}"
    )
    if verification.megabytes > _LARGE_MB:
        print_note(f"The bundle is larger than {_LARGE_MB:g} MB: too much to lie in a repository or a wheel.")
