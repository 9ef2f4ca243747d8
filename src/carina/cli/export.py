"""``carina export``: a run becomes a sealed bundle."""

from pathlib import Path
from typing import Annotated

import typer

from carina.bundles.run_folder import open_run
from carina.bundles.verification import Check, Verification
from carina.bundles.writing import Twin, export_bundle
from carina.cli.console import print_note, print_result, progress_bars
from carina.errors import ConfigurationError
from carina.progress import Progress
from carina.storage.atomic import require_absent

_LARGE_MB = 25.0


def export_command(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    out: Annotated[Path, typer.Option("--out", help="Bundle folder to write; it must not exist.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the bundle. Default: the name of the recipe.")
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Version of the bundle.")] = "1.0.0",
    evaluation: Annotated[
        list[Path] | None,
        typer.Option("--evaluation", help="Folder that carina evaluate wrote, for the model card. Repeatable."),
    ] = None,
    audit: Annotated[
        Path | None, typer.Option("--audit", help="Folder that carina audit wrote, for the model card.")
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8/--no-int8",
            help="Also make an 8-bit version of the classifier. It is left out if its results differ too much.",
        ),
    ] = False,
) -> None:
    """Write a finished run as a sealed bundle.

    A bundle is one folder. It is verified byte by byte wherever it is opened.
    """
    from carina.reports.model_card import prepare_card  # noqa: PLC0415  # Matplotlib takes a second to import

    card = prepare_card(evaluation or [], audit)
    named, twin = name or open_run(run).name, None
    require_absent(out, what="bundle")
    if int8:
        with progress_bars() as bar:
            twin = _make_twin(run, bar("Choosing integers"))
    verification = export_bundle(run, out, name=named, version=version, write_card=card, twin=twin)
    print_bundle(out, verification)
    print_result(f"Next: carina verify {out}")


def print_bundle(folder: Path, verification: Verification) -> None:
    """Print what a bundle was verified to be."""
    size = f"{verification.megabytes:.1f} MB in {len(verification.bytes_of)} files"
    lines = [f"{folder}: {verification.name} {verification.version}, {size}, each as sealed."]
    lines.append(f"Flagged finding: {verification.flag_finding}.")
    lines.extend(each.in_words() for each in verification.lineage)
    lines.extend(map(_in_words, verification.checks))
    if verification.int8 is not None:
        lines.append(verification.int8.in_words())
    print_result("\n".join([*lines, f"Seal: {verification.sha256}"]))
    if verification.megabytes > _LARGE_MB:
        print_note(f"The bundle is larger than {_LARGE_MB:g} MB: too much to lie in a repository or a wheel.")


def _in_words(check: Check) -> str:
    of, may = check.differences, check.tolerances
    cores = f"{check.threads} thread{'s' * (check.threads > 1)}"
    return (
        f"Golden examples on {check.engine} ({check.precision}, {cores}): missed by at most {of.logit:.2g} of a logit "
        f"({may.logit:g} allowed) and {of.probability:.2g} of a probability ({may.probability:g} allowed)."
    )


def _make_twin(run: Path, progress: Progress) -> Twin:
    try:
        from carina.learning.export.twin import make_twin  # noqa: PLC0415  # needs the train extra
    except ModuleNotFoundError as error:
        msg = f"--int8 needs the package {error.name}. Install it: pip install 'carina[train]'"
        raise ConfigurationError(msg) from None
    from carina.evaluation.int8_parity import measure_parity  # noqa: PLC0415  # tables, for this option alone

    return make_twin(run, measure=measure_parity, progress=progress)
