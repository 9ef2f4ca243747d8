"""``carina predict``: image files become predictions with a triage priority."""

import os
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from carina.bundles.bundle import released_bundle
from carina.cli.console import print_note, running_count
from carina.cli.options import (
    ENGINE_PANEL,
    BackendOption,
    BundleOption,
    PrecisionOption,
    PrevalenceOption,
    ThreadsOption,
    argument,
    option,
    switch,
)
from carina.cli.predict_long import LongForm
from carina.cli.predict_table import PredictTable
from carina.errors import ConfigurationError
from carina.inference.image_input import Input
from carina.inference.inputs import image_inputs, names_one_image
from carina.inference.left_out import LeftOutFiles
from carina.inference.prediction import AnyPrediction, FailedPrediction
from carina.inference.prediction_list import FAILED, PASSED_OVER, said_of, say_passed_over, summary
from carina.inference.predictor import Predictor
from carina.inference.results import Csv, JsonLines
from carina.inference.resume import ResumedResults, resume_results

_OUTPUT = "Results"
INTENDED_USE = (
    "For research. A triage flag orders the reading: it is no diagnosis, and a radiograph without one is still to be "
    "read."
)

EXAMPLE = "predict films --csv > results.csv"


def predict_command(
    paths: Annotated[
        list[str],
        argument(
            "PATH",
            "Image files; folders, ZIP archives or DICOMDIRs that hold images; patterns (in quotes); or - for a list "
            "of paths on standard input.",
        ),
    ],
    bundle: BundleOption = None,
    as_json: Annotated[
        bool, switch("Print one JSON object per line, in input order.", "--json", panel=_OUTPUT)
    ] = False,
    as_csv: Annotated[bool, switch("Print CSV with a header, in input order.", "--csv", panel=_OUTPUT)] = False,
    verbose: Annotated[
        bool, switch("Print the full reason and all reservations below each image.", "--verbose", "-v", panel=_OUTPUT)
    ] = False,
    explain: Annotated[
        Path | None,
        option("FOLDER", "Write to FOLDER, for each image, a picture of what speaks for its finding.", panel=_OUTPUT),
    ] = None,
    resume: Annotated[
        Path | None,
        option(
            "FILE",
            "Append results to FILE: CSV if its name ends in .csv, otherwise JSON lines. Images that are in FILE are "
            "not judged again, unless they failed or their pixels have changed.",
            panel=_OUTPUT,
        ),
    ] = None,
    prevalence: PrevalenceOption = None,
    left_out: Annotated[
        Path | None, option("FILE", "Write a CSV that names the files that are not images.", panel=_OUTPUT)
    ] = None,
    deflated: Annotated[
        bool, switch("Also read DICOM files with a deflated (compressed) data set.", "--deflated", panel=ENGINE_PANEL)
    ] = False,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Judge images: each gets a priority with its reason.

    The table has one line per image. On a terminal it is sorted by priority; in a file or a pipe it has the order of
    the input. An image that cannot be read becomes an error row, and the exit code is 1. For several machines, or many
    thousand images that must survive a crash, use carina batch.
    """
    for_people = not as_json and not as_csv
    _check_options(as_json=as_json, as_csv=as_csv, prevalence=prevalence)
    if explain is not None:
        _require_outside(explain, paths)
    one = len(paths) == 1 and names_one_image(Path(paths[0]))
    predictor = Predictor(
        bundle or released_bundle(),
        # It is there in a third of OpenVINO's time, which only many images win back.
        backend="onnxruntime" if one and backend == "auto" and precision != "bf16" else backend,
        precision=precision,
        threads=threads,
        one_at_a_time=one,
        deflated=deflated,
    )
    if prevalence is not None:
        _tell_what_is_not_promised(predictor, prevalence)
    in_csv = as_csv or (resume is not None and not as_json and resume.suffix.lower() == ".csv")
    rows = (Csv if in_csv else JsonLines)(predictor, explained=explain is not None, prevalence=prevalence)
    shown: LongForm | PredictTable | None = None
    if for_people and resume is None:
        policy = predictor.run.policy
        shown = LongForm(policy) if verbose or one else PredictTable(policy, prevalence)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        others = stack.enter_context(LeftOutFiles(left_out))
        files: Iterable[Input] = image_inputs(paths, left_out=others)
        results = None
        if resume is not None:
            results = stack.enter_context(resume_results(resume, rows))
            files = results.pending(files, partial(predictor.pixel_sha256, explain=explain is not None))
        elif shown is None:
            _print_row(rows.header)
        if shown is not None:
            # What was judged before the command was broken off is shown, too.
            stack.callback(shown.end, counts)
        if for_people:
            _tell_how_it_is_judged(predictor)
        judged = predictor.predict(files, prevalence=prevalence, explain=explain is not None)
        streamed = results is None and not (isinstance(shown, PredictTable) and shown.comes_last)
        tell = stack.enter_context(running_count("judged", streamed=streamed))
        for prediction, picture in _with_pictures(judged, explain):
            counts[said_of(prediction)] += 1
            if shown is not None:
                shown.add(prediction, picture)
            elif not _passed_over(prediction):
                (_print_row if results is None else results.append)(rows.row(prediction, picture))
            elif results is not None:
                results.forget(prediction.path)
            tell(counts.total())
    _tell_what_was_left_out(others, left_out)
    _tell_the_end(counts, results, for_people=for_people, table=shown is not None)


def _check_options(*, as_json: bool, as_csv: bool, prevalence: float | None) -> None:
    if as_json and as_csv:
        msg = "Choose one of --json and --csv."
        raise ConfigurationError(msg)
    if prevalence is not None and not 0 <= prevalence <= 1:
        msg = f"--prevalence is {prevalence}; it must be a share from 0 to 1."
        raise ConfigurationError(msg)


def _tell_what_was_left_out(files: LeftOutFiles, named_in: Path | None) -> None:
    said = files.sentence()
    if said is not None:
        print_note(
            f"{said} " + ("Name them with --left-out FILE." if named_in is None else f"They are named in {named_in}.")
        )


def _tell_how_it_is_judged(predictor: Predictor) -> None:
    print_note(f"Flagged finding: {predictor.run.policy.flag_finding}.")
    if (computed_in := predictor.engine.precision) != "f32":
        print_note(f"Judged in {computed_in}, by its own thresholds. --precision f32 gives the same on every machine.")


def _tell_what_is_not_promised(predictor: Predictor, prevalence: float) -> None:
    bands = predictor.run.policy.thresholds_at(prevalence)
    missing = [name for name, at in (("routine", bands.routine), ("fast-track", bands.fast_track)) if at is None]
    if missing:
        print_note(
            f"At a prevalence of {100 * prevalence:.3g} % the images that this model was calibrated on are not enough "
            f"to promise anything of {' or '.join(missing)}: nothing is put there."
        )


def _require_outside(folder: Path, paths: list[str]) -> None:
    for path in map(Path, paths):
        # Unlike Path.is_dir, this never raises.
        if os.path.isdir(path) and folder.resolve().is_relative_to(path.resolve()):  # noqa: PTH112
            msg = (
                f"--explain {folder} lies in {path}, which is to be judged: next time its pictures would be taken for "
                "radiographs. Choose a folder outside."
            )
            raise ConfigurationError(msg)


def _with_pictures(judged: Iterable[AnyPrediction], folder: Path | None) -> Iterable[tuple[AnyPrediction, Path | None]]:
    if folder is None:
        return ((prediction, None) for prediction in judged)
    from carina.inference.explanation.overlay_files import write_overlays  # noqa: PLC0415  # fonts and drawing, for this option alone

    return write_overlays(judged, folder)


def _passed_over(prediction: AnyPrediction) -> bool:
    return isinstance(prediction, FailedPrediction) and prediction.passed_over


def _tell_the_end(counts: Counter[str], results: ResumedResults | None, *, for_people: bool, table: bool) -> None:
    failed, passed = counts[FAILED], counts[PASSED_OVER]
    if results is not None:
        again = f" Failed before and tried again: {results.retried}." if results.retried else ""
        if results.changed:
            again += f" Judged again, because the file has other pixels now: {results.changed}."
        if results.unreadable:
            again += f" Cannot be read now, so that the earlier row is kept: {results.unreadable}."
        print_note(f"Judged before: {results.held}.{again} Judged now: {counts.total() - failed - passed}.")
    if counts.total() == 0 and (results is None or results.held == 0):
        print_note("No image was named: nothing was judged.")
    if for_people:
        if results is not None and counts.total() > 1:
            print_note(summary(counts))
        print_note(INTENDED_USE)
    if said := say_passed_over(passed):
        print_note(said)
    if results is not None and results.unreadable and not failed:
        raise typer.Exit(1)
    if failed:
        # On a terminal the table has just said so.
        if not (table and sys.stdout.isatty()):
            print_note(f"{failed} input{'s' * (failed > 1)} could not be judged.")
        raise typer.Exit(1)


def _print_row(row: str) -> None:
    """Print a row for a program as soon as it is known."""
    sys.stdout.write(row)
    sys.stdout.flush()
