"""``carina evaluate``: a run and a split become numbers and pictures."""

from pathlib import Path
from typing import Annotated

import typer

from carina.bundle import released_bundle
from carina.cli.console import print_note, print_result, progress_bars, typed_command
from carina.datasets.manifest import Split, open_dataset
from carina.errors import ConfigurationError
from carina.places import require_model_first


def evaluate_command(
    named: Annotated[
        list[Path],
        typer.Argument(
            metavar="[BUNDLE] DATASET", help="A bundle or a finished run (by default the released one); a data set."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    split: Annotated[str, typer.Option("--split", help="test, calibration, validation or train.")] = "test",
    prevalence: Annotated[
        float | None, typer.Option("--prevalence", min=0, max=1, help="Also give PPV and NPV at this prevalence.")
    ] = None,
    drop_leaks: Annotated[bool, typer.Option("--drop-leaks", help="Leave out images trained on.")] = False,
    allow_leak: Annotated[bool, typer.Option("--allow-leak", help="Count them; written over every output.")] = False,
    no_images: Annotated[bool, typer.Option("--no-images", help="No small images in the report.")] = False,
) -> None:
    """Judge a split and write every figure with its interval; refuses images that the model learned from."""
    from carina.reports.evaluation_folder import headline, write_evaluation  # noqa: PLC0415  # Matplotlib takes a second to import

    if len(named) > 2:
        msg = f"Name [BUNDLE] DATASET. Received: {len(named)} folders."
        raise ConfigurationError(msg)
    model, dataset = named if len(named) == 2 else (released_bundle(), named[0])
    require_model_first(model, dataset, "carina evaluate")
    if drop_leaks and allow_leak:
        msg = "Choose one of --drop-leaks and --allow-leak."
        raise ConfigurationError(msg)
    splits: dict[str, Split] = {
        "test": "test", "calibration": "calibration", "validation": "validation", "train": "train"
    }  # fmt: skip
    if split not in splits:
        msg = f"--split {split} is unknown. Choose one of: {', '.join(splits)}."
        raise ConfigurationError(msg)
    with progress_bars() as bar:
        evaluation = write_evaluation(
            model,
            open_dataset(dataset),
            splits[split],
            out,
            on_leak="drop" if drop_leaks else "allow" if allow_leak else "refuse",
            prevalence=prevalence,
            command=typed_command(),
            images=not no_images,
            progress=bar("Judging images"),
        )
    if evaluation.notice:
        print_note(evaluation.notice)
    print_result(headline(evaluation))
    print_result(f"Everything is in {out}; open {out / 'report.html'}")
