"""``carina audit``: how much of what a model knows is lungs."""

import sys
from pathlib import Path
from typing import Annotated

from carina.cli.console import print_result, progress_bars, typed_command
from carina.cli.options import RayOption, argument, option, spread_or, switch
from carina.places import require_model_first

_COST = "Time and memory"

EXAMPLE = "audit runs/mine datasets/mine --out audits/mine"


def audit_command(
    model: Annotated[Path, argument("BUNDLE", "A bundle or a finished run.")],
    dataset: Annotated[Path, argument("DATASET", "An imported data set with train, calibration and test splits.")],
    out: Annotated[Path, option("FOLDER", "Folder to write; it must not exist.")],
    external: Annotated[
        list[Path] | None,
        option("DATASET", "A data set from another hospital or collection, to judge the model on. Repeatable."),
    ] = None,
    lungs: Annotated[
        Path | None,
        option("FILE", "Lung segmenter (ONNX) to use where neither the model nor the data set shows the lungs."),
    ] = None,
    drop_leaks: Annotated[bool, switch("Leave out test images that the model was trained on.", "--drop-leaks")] = False,
    train_images: Annotated[
        int, option("NUMBER", "Largest number of images to train on.", panel=_COST, min=100)
    ] = 3000,
    test_images: Annotated[
        int, option("NUMBER", "Largest number of images to judge, and to tune on.", panel=_COST, min=100)
    ] = 1500,
    cache: Annotated[
        Path | None,
        option("FOLDER", "Folder for embeddings that are used again. Default: the user's cache.", panel=_COST),
    ] = None,
    ray: RayOption = None,
) -> None:
    """Measure how much a model relies on the lungs.

    The answer is one sentence and one page, with 95 % intervals. It also compares views, sources, sexes and ages,
    counts the normal images that can be ruled out, and tries the activation maps.
    """
    from carina.api.auditing import audit  # noqa: PLC0415  # what is slow to import waits until here

    require_model_first(model, dataset, ["carina", *sys.argv[1:]])
    with progress_bars() as bar, spread_or(map, ray) as spread:
        result = audit(
            model,
            dataset,
            out=out,
            external=external or (),
            lungs=lungs,
            drop_leaks=drop_leaks,
            train_images=train_images,
            test_images=test_images,
            cache=cache,
            command=typed_command(),
            spread=spread,
            progress_of=bar,
        )
    print_result(f"Flagged finding: {result.found.flag_finding}.")
    print_result(result.sentence)
    for verdict in result.verdicts:
        print_result(f"- {verdict}")
    print_result(f"Everything is in {out}")
