"""``carina audit``: how much of what a model knows is lungs."""

from pathlib import Path
from typing import Annotated

import typer

from carina.cli.console import print_result, progress_bars, typed_command
from carina.datasets.manifest import open_dataset
from carina.places import require_model_first


def audit_command(
    model: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle, or a finished run.")],
    dataset: Annotated[Path, typer.Argument(help="An imported data set with train, calibration and test split.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    external: Annotated[
        list[Path] | None, typer.Option("--external", help="A data set from elsewhere; may be given again.")
    ] = None,
    lungs: Annotated[
        Path | None, typer.Option("--lungs", help="Segmenter for a model that has none, where there are no masks.")
    ] = None,
    drop_leaks: Annotated[bool, typer.Option("--drop-leaks", help="Leave out test images trained on.")] = False,
    train_images: Annotated[
        int, typer.Option("--train-images", min=100, help="At most so many images train heads.")
    ] = 3000,
    test_images: Annotated[
        int, typer.Option("--test-images", min=100, help="At most so many images are judged, and so many tune.")
    ] = 1500,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder for embeddings; by default the user's.")] = None,
) -> None:
    """Say how much of what a model knows is lungs, with intervals; one page, one sentence."""
    from carina.evaluation.audit.audit import AuditSettings  # noqa: PLC0415  # what is slow to import waits until here
    from carina.reports.audit_folder import write_audit  # noqa: PLC0415

    require_model_first(model, dataset, "carina audit")
    with progress_bars() as bar:
        audit = write_audit(
            model,
            open_dataset(dataset),
            out,
            command=typed_command(),
            external=[open_dataset(folder) for folder in external or ()],
            segmenter=lungs,
            drop_leaks=drop_leaks,
            settings=AuditSettings(train_images=train_images, test_images=test_images),
            cache=cache,
            progress_of=bar,
        )
    print_result(audit.sentence)
    for verdict in audit.verdicts:
        print_result(f"- {verdict}")
    print_result(f"Everything is in {out}")
