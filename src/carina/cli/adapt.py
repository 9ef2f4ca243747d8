"""``carina adapt``: the model learns a site, if that makes it better there."""

import csv
import sys
from pathlib import Path
from typing import Annotated

from carina.cli.console import print_note, print_result, progress_bars, running_count
from carina.cli.export import print_bundle
from carina.cli.options import argument, option
from carina.errors import ConfigurationError
from carina.places import require_model_first
from carina.storage.atomic import require_absent, whole_file

_NEXT = 40

EXAMPLE = "adapt bundles/mine datasets/site --out bundles/site"


def adapt_command(
    bundle: Annotated[Path, argument("BUNDLE", "A bundle. It is not changed.")],
    site: Annotated[
        Path,
        argument(
            "SITE",
            "An imported data set of your site. All images of a test-only data set are used, or the train and "
            "calibration splits of another one.",
        ),
    ],
    out: Annotated[Path, option("FOLDER", "Bundle folder to write; it must not exist.")],
    version: Annotated[
        str | None, option("VERSION", "Version of the new bundle. Default: the old version and +site.")
    ] = None,
    flag: Annotated[str | None, option("NAME", "Finding to flag. Default: the one that the bundle flags.")] = None,
    add: Annotated[
        list[str] | None,
        option("NAME", "Finding of your site that the bundle does not know and is to learn. Repeatable."),
    ] = None,
    leave_out: Annotated[
        list[str] | None, option("NAME", "Finding of the bundle that the new one is to leave out. Repeatable.")
    ] = None,
    unlabelled: Annotated[
        Path | None,
        option(
            "FOLDER", "Folder of your images without labels. The command estimates how frequent each finding is there."
        ),
    ] = None,
    label_next: Annotated[
        Path | None,
        option("TABLE", "CSV table to write: which images of --unlabelled to label next. It must not exist."),
    ] = None,
) -> None:
    """Fit the model's last layer to your own labelled images.

    The new bundle is written only if it is better on images that it did not learn from; otherwise the exit code is 1.
    It is for your site alone. The command says what changed, and whether more labels would help.
    """
    from carina.api.bundles import adapt  # noqa: PLC0415  # SciPy and Matplotlib take a second to import
    from carina.evaluation.adaptation.adaptation_words import describe_prevalence  # noqa: PLC0415

    require_model_first(bundle, site, ["carina", *sys.argv[1:]])
    if label_next is not None:
        if unlabelled is None:
            msg = "--label-next chooses among the images of --unlabelled. Name that folder, too."
            raise ConfigurationError(msg)
        require_absent(label_next, what="table")
    if unlabelled is not None and not unlabelled.is_dir():
        msg = f"--unlabelled {unlabelled}: there is no such folder."
        raise ConfigurationError(msg)
    with progress_bars() as bar:
        done = adapt(
            bundle,
            site,
            out,
            version=version,
            flag=flag,
            add=add or (),
            leave_out=leave_out or (),
            progress=bar("Judging images"),
        )
    print_result(done.summary())
    if done.verification is None:
        if unlabelled is not None:
            print_note(f"{unlabelled} was not used: there is no adapted model to judge its images.")
        sys.exit(1)
    print_bundle(out, done.verification)
    if unlabelled is not None:
        from carina.evaluation.adaptation.new_films import judge_folder  # noqa: PLC0415
        from carina.inference.results import path_in_words  # noqa: PLC0415

        with running_count("judged", streamed=False) as tell:
            judged = judge_folder(out, unlabelled, tell=tell)
        for line in describe_prevalence(judged, done.held_out):
            print_result(line)
        if label_next is not None:
            chosen = judged.choose_next(_NEXT)
            with whole_file(label_next) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
                rows = csv.writer(stream, lineterminator="\n")
                rows.writerow(("path", "chosen"))
                rows.writerows((path_in_words(path), reason) for path, reason in chosen)
            print_result(f"{label_next}: {len(chosen)} images to label next. Figures for your site: the random ones.")
