"""``carina report``: evaluations become one page without network."""

from pathlib import Path
from typing import Annotated

from carina.cli.console import print_result
from carina.cli.options import argument, option, switch

EXAMPLE = "report evaluations/mine --audit audits/mine"


def report_command(
    evaluations: Annotated[
        list[Path], argument("EVALUATION", "Folders that carina evaluate wrote. Several are shown side by side.")
    ],
    out: Annotated[
        Path | None, option("FILE", "File to write. Default: report.html in the folder, if there is only one.")
    ] = None,
    audits: Annotated[
        list[Path] | None,
        option("AUDIT", "Folder that carina audit wrote for one of the models. Repeatable.", "--audit"),
    ] = None,
    bundle: Annotated[
        Path | None, option("BUNDLE", "Bundle that was made from the evaluated run; the report names it.")
    ] = None,
    figures: Annotated[
        Path | None, option("FOLDER", "Also write figures (SVG, PNG) and tables (CSV) to this folder.")
    ] = None,
    no_images: Annotated[bool, switch("Leave small images out of the page.", "--no-images")] = False,
) -> None:
    """Write evaluations as one web page, report.html.

    It holds figures, an explorer of thresholds, the audit, images, and how it was made. It needs no network.
    """
    from carina.reports.html.open_reports import write_report  # noqa: PLC0415  # Matplotlib takes a second to import

    written = write_report(evaluations, out, audits=audits or (), bundle=bundle, figures=figures, images=not no_images)
    print_result(f"Wrote {written} ({written.stat().st_size / 1e6:.1f} MB)")
