"""``carina report``: evaluations become one page without network."""

from pathlib import Path
from typing import Annotated

import typer

from carina.cli.console import print_result


def report_command(
    evaluations: Annotated[
        list[Path], typer.Argument(help="Folders that carina evaluate wrote; several stand side by side.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; by default report.html in the one folder.")
    ] = None,
    audits: Annotated[
        list[Path] | None, typer.Option("--audit", help="Folder of carina audit for a model; may be repeated.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="That the evaluated run was sealed into, to be named in the report.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="Also write figures (SVG, PNG) and tables (CSV) to this folder.")
    ] = None,
    no_images: Annotated[bool, typer.Option("--no-images", help="Leave small images out of the page.")] = False,
) -> None:
    """Write report.html from evaluation folders: figures, explorer, audit, images and how it was made."""
    from carina.reports.page.write import write_report  # noqa: PLC0415  # Matplotlib takes a second to import

    written = write_report(evaluations, out, audits=audits or (), bundle=bundle, figures=figures, images=not no_images)
    print_result(f"Wrote {written} ({written.stat().st_size / 1e6:.1f} MB)")
