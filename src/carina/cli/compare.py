"""``carina compare``: evaluations side by side, with paired tests on the images they share."""

from pathlib import Path
from typing import Annotated

from carina.cli.console import print_result, print_table
from carina.cli.options import argument, option

EXAMPLE = "compare evaluations/one evaluations/other"


def compare_command(
    evaluations: Annotated[
        list[Path],
        argument(
            "EVALUATION", "Folders that carina evaluate wrote. The first is the one that the others are compared with."
        ),
    ],
    out: Annotated[Path | None, option("FILE", "Also write the comparison as JSON to this file.")] = None,
) -> None:
    """Compare evaluations side by side, with paired tests.

    McNemar and DeLong tests compare each with the first, on the images that both have.
    """
    from carina.api.evaluation import compare  # noqa: PLC0415  # Matplotlib takes a second to import

    result = compare(*evaluations)
    print_table(result.figures, title="Figures, each on all of its own images")
    for paired in result.paired:
        print_result("")
        print_table(paired.table, title=paired.title)
    if out is not None:
        result.write_json(out)
