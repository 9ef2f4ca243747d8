"""``carina evaluate``: a run and a split become numbers and pictures."""

import sys
from pathlib import Path
from typing import Annotated

from carina.bundles.bundle import released_bundle
from carina.cli.console import print_note, print_result, progress_bars, typed_command
from carina.cli.options import argument, option, switch
from carina.datasets.manifest import Split
from carina.errors import ConfigurationError
from carina.places import require_model_first

_LEAKS = "Images that the model learned from"

EXAMPLE = "evaluate runs/mine datasets/mine --out evaluations/mine"


def evaluate_command(
    named: Annotated[
        list[Path],
        argument(
            "[BUNDLE] DATASET", "A bundle or a finished run (default: the released bundle), and an imported data set."
        ),
    ],
    out: Annotated[Path, option("FOLDER", "Folder to write; it must not exist.")],
    split: Annotated[Split, option("SPLIT", "Split to judge: test, calibration, validation or train.")] = "test",
    prevalence: Annotated[
        float | None,
        option(
            "SHARE",
            "Prevalence (0 to 1) of the flagged finding among your patients, to give PPV and NPV at.",
            min=0,
            max=1,
        ),
    ] = None,
    drop_leaks: Annotated[
        bool, switch("Leave out images that the model was trained on.", "--drop-leaks", panel=_LEAKS)
    ] = False,
    allow_leak: Annotated[
        bool,
        switch(
            "Judge images that the model was trained on, too. Every output then says so.", "--allow-leak", panel=_LEAKS
        ),
    ] = False,
    track: Annotated[
        list[str] | None,
        option("TRACKER:PLACE", "Also record the figures there: mlflow:URI or tensorboard:FOLDER. Repeatable."),
    ] = None,
    no_images: Annotated[bool, switch("Leave small images out of the report.", "--no-images")] = False,
) -> None:
    """Evaluate a model on one split, with 95 % intervals.

    Images that the model learned from are refused, unless an option says what to do with them.
    """
    from carina.api.evaluation import evaluate  # noqa: PLC0415  # Matplotlib takes a second to import

    if len(named) > 2:
        msg = f"Name [BUNDLE] DATASET. Received: {len(named)} folders."
        raise ConfigurationError(msg)
    model, dataset = named if len(named) == 2 else (released_bundle(), named[0])
    require_model_first(model, dataset, ["carina", *sys.argv[1:]])
    with progress_bars() as bar:
        evaluation = evaluate(
            model,
            dataset,
            out=out,
            split=split,
            prevalence=prevalence,
            drop_leaks=drop_leaks,
            allow_leak=allow_leak,
            images=not no_images,
            track=track or (),
            command=typed_command(),
            progress=bar("Judging images"),
            tell=print_note,
        )
    if evaluation.notice:
        print_note(evaluation.notice)
    if other := evaluation.dataset.says_other_flag(evaluation.flag_finding):
        print_note(other)
    print_result(evaluation.summary())
    print_result(f"Everything is in {out}; open {out / 'report.html'}")
