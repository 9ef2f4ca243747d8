"""``carina recalibrate``: the same weights with thresholds for another hospital."""

import sys
from pathlib import Path
from typing import Annotated

from carina.cli.console import print_note, print_result, progress_bars
from carina.cli.export import print_bundle
from carina.cli.options import argument, option
from carina.datasets.manifest import open_dataset
from carina.places import require_model_first

EXAMPLE = "recalibrate bundles/mine datasets/site --out bundles/site"


def recalibrate_command(
    bundle: Annotated[Path, argument("BUNDLE", "A bundle. It is not changed.")],
    dataset: Annotated[
        Path,
        argument(
            "DATASET", "An imported data set. Its calibration split is used, or all images of a test-only data set."
        ),
    ],
    out: Annotated[Path, option("FOLDER", "Bundle folder to write; it must not exist.")],
    version: Annotated[
        str | None, option("VERSION", "Version of the new bundle. Default: the old version and +recalibrated.")
    ] = None,
    specificity: Annotated[
        float | None,
        option("SHARE", "Specificity (0 to 1) that the threshold must reach on these images. Default: the old rule."),
    ] = None,
    sensitivity: Annotated[
        float | None, option("SHARE", "Sensitivity (0 to 1) that the threshold must reach, instead of a specificity.")
    ] = None,
    prevalence: Annotated[
        float | None,
        option(
            "SHARE",
            "Prevalence (0 to 1) of the flagged finding at which old and new triage bands are compared.",
            min=0,
            max=1,
        ),
    ] = None,
) -> None:
    """Fit probabilities and thresholds to your own data.

    The network stays as it is. The command says in numbers what changed, and whether there were enough images.
    """
    from carina.api.bundles import recalibrate  # noqa: PLC0415  # SciPy and Matplotlib take a second to import

    require_model_first(bundle, dataset, ["carina", *sys.argv[1:]])
    opened = open_dataset(dataset)
    with progress_bars() as bar:
        done = recalibrate(
            bundle,
            opened,
            out,
            version=version,
            specificity=specificity,
            sensitivity=sensitivity,
            progress=bar("Judging images"),
        )
    if other := opened.says_other_flag(done.new.flag_finding):
        print_note(other)
    print_result(done.summary(prevalence=prevalence))
    print_bundle(out, done.verification)
