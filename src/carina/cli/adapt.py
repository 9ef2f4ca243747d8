"""``carina adapt``: the model learns a site, if that makes it better there."""

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer

from carina.bundles.bundle import open_bundle
from carina.cli.console import print_note, print_result, progress_bars
from carina.cli.export import print_bundle
from carina.datasets.manifest import open_dataset
from carina.errors import ConfigurationError
from carina.places import require_model_first
from carina.storage.atomic import require_absent, whole_file
from carina.storage.cache_folder import default_cache_folder

_SUFFIX = "+site"
_NEXT = 40


def adapt_command(
    bundle: Annotated[Path, typer.Argument(help="A bundle. It is not changed.")],
    site: Annotated[
        Path,
        typer.Argument(
            help="An imported data set of your site. All images of a test-only data set are used, or the train and "
            "calibration splits of another one."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Bundle folder to write; it must not exist.")],
    version: Annotated[
        str | None,
        typer.Option("--version", help=f"Version of the new bundle. Default: the old version and {_SUFFIX}."),
    ] = None,
    flag: Annotated[
        str | None, typer.Option("--flag", help="Finding to flag. Default: the one that the bundle flags.")
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", help="Finding of your site that the bundle does not know and is to learn. Repeatable."),
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option("--leave-out", help="Finding of the bundle that the new one is to leave out. Repeatable."),
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            "--unlabelled",
            help="Folder of your images without labels. The command estimates how frequent each finding is there.",
        ),
    ] = None,
    label_next: Annotated[
        Path | None,
        typer.Option(
            "--label-next", help="CSV table to write: which images of --unlabelled to label next. It must not exist."
        ),
    ] = None,
) -> None:
    """Fit the model's last layer to your own labelled images.

    The new bundle is written only if it is better on images that it did not learn from; otherwise the exit code is 1.
    It is for your site alone. The command says what changed, and whether more labels would help.
    """
    from carina.evaluation.adaptation.adapt import AdaptSettings, adapt  # noqa: PLC0415  # SciPy: half a second
    from carina.evaluation.adaptation.words import describe_adaptation, describe_prevalence  # noqa: PLC0415
    from carina.reports.model_card import prepare_card  # noqa: PLC0415  # Matplotlib takes a second to import

    require_model_first(bundle, site, "carina adapt")
    if label_next is not None:
        if unlabelled is None:
            msg = "--label-next chooses among the images of --unlabelled. Name that folder, too."
            raise ConfigurationError(msg)
        require_absent(label_next, what="table")
    if unlabelled is not None and not unlabelled.is_dir():
        msg = f"--unlabelled {unlabelled}: there is no such folder."
        raise ConfigurationError(msg)
    old_version = open_bundle(bundle)[0].version
    settings = AdaptSettings(
        version=version or old_version.removesuffix(_SUFFIX) + _SUFFIX,
        add=tuple(add or ()),
        leave_out=tuple(leave_out or ()),
        flag_finding=flag,
    )
    with progress_bars() as bar:
        done = adapt(
            bundle,
            open_dataset(site),
            out,
            settings,
            write_card=prepare_card(),
            cache=default_cache_folder(),
            progress=bar("Judging images"),
        )
    for line in describe_adaptation(done):
        print_result(line)
    if done.verification is None:
        if unlabelled is not None:
            print_note(f"{unlabelled} was not used: there is no adapted model to judge its images.")
        sys.exit(1)
    print_bundle(out, done.verification)
    if unlabelled is not None:
        from carina.evaluation.adaptation.new_films import judge_folder  # noqa: PLC0415

        judged = judge_folder(out, unlabelled)
        for line in describe_prevalence(judged, done):
            print_result(line)
        if label_next is not None:
            chosen = judged.choose_next(_NEXT)
            with whole_file(label_next) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows([("path", "chosen"), *chosen])
            print_result(f"{label_next}: {len(chosen)} images to label next. Figures for your site: the random ones.")
