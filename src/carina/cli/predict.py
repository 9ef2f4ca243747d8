"""``carina predict``: image files become predictions with a triage priority."""

import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from carina.bundle import released_bundle
from carina.cli.console import print_note, running_count
from carina.cli.engine_options import BackendOption, PrecisionOption, ThreadsOption
from carina.errors import ConfigurationError
from carina.findings import short_name
from carina.inference.inputs import Input, image_inputs, names_one_image
from carina.inference.left_out import LeftOutFiles
from carina.inference.predictor import FailedPrediction, Prediction, Predictor
from carina.inference.results import Csv, JsonLines, path_in_words
from carina.inference.resume import Results, resume_results

INTENDED_USE = (
    "For research. A triage flag orders the reading: it is no diagnosis, and a radiograph without one is still to be "
    "read."
)
_AnyPrediction = Prediction | FailedPrediction
_PRIORITY_WIDTH = len("secondary-review")


def predict_command(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Image files, folders, ZIP archives or DICOMDIRs with some, patterns (in quotes), or - for a list on "
            "stdin."
        ),
    ],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", "--run", help="A bundle or a finished run; by default the released one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    explain: Annotated[
        Path | None,
        typer.Option("--explain", metavar="DIR", help="Write a picture for each, of what speaks for its finding."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="FILE",
            help="Append to FILE (JSON lines; CSV if so named) what is not in it yet; what failed is tried again.",
        ),
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option("--prevalence", min=0, max=1, help="Of the flagged finding, where you are.")
    ] = None,
    left_out: Annotated[
        Path | None,
        typer.Option("--left-out", metavar="FILE", help="Write a CSV with the files that are no images."),
    ] = None,
    deflated: Annotated[bool, typer.Option("--deflated", help="Read deflated DICOM, too.")] = False,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Judge images; one that cannot be read becomes an error row, and the exit code 1."""
    if as_json and as_csv:
        msg = "Choose one of --json and --csv."
        raise ConfigurationError(msg)
    if prevalence is not None and not 0 <= prevalence <= 1:
        msg = f"--prevalence is {prevalence}; it must be a share from 0 to 1."
        raise ConfigurationError(msg)
    if explain is not None:
        _require_outside(explain, paths)
    one = len(paths) == 1 and names_one_image(Path(paths[0]))
    predictor = Predictor(
        bundle or released_bundle(),
        # It is there in a third of OpenVINO's time, which only many images win back.
        backend="onnxruntime" if one and backend == "auto" and precision == "auto" else backend,
        precision=precision,
        threads=threads,
        one_at_a_time=one,
        deflated=deflated,
    )
    if prevalence is not None:
        _tell_what_is_not_promised(predictor, prevalence)
    in_csv = as_csv or (resume is not None and not as_json and resume.suffix.lower() == ".csv")
    rows = (Csv if in_csv else JsonLines)(predictor, explained=explain is not None, prevalence=prevalence)
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        others = stack.enter_context(LeftOutFiles(left_out))
        files: Iterable[Input] = image_inputs(paths, left_out=others)
        results = None
        table = None if as_json or as_csv or resume is not None else _Table(predictor.run.findings)
        if resume is not None:
            results = stack.enter_context(resume_results(resume, rows))
            files = results.pending(files)
        elif table is None:
            _print_row(rows.header)
        judged = predictor.predict(files, prevalence=prevalence, explain=explain is not None)
        tell = stack.enter_context(running_count("judged"))
        for prediction, picture in _with_pictures(judged, explain):
            if table is not None:
                table.write(prediction, picture)
            elif not _passed_over(prediction):
                (_print_row if results is None else results.append)(rows.row(prediction, picture))
            counts[_said(prediction)] += 1
            tell(counts.total())
    if (said := others.sentence()) is not None:
        print_note(
            f"{said} Name them with --left-out FILE." if left_out is None else f"{said} They are named in {left_out}."
        )
    _tell_the_end(counts, results, for_people=not as_json and not as_csv)


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
        if path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
            msg = (
                f"--explain {folder} lies in {path}, which is to be judged: next time its pictures would be taken for "
                "radiographs. Choose a folder outside."
            )
            raise ConfigurationError(msg)


def _with_pictures(
    judged: Iterable[_AnyPrediction], folder: Path | None
) -> Iterable[tuple[_AnyPrediction, Path | None]]:
    if folder is None:
        return ((prediction, None) for prediction in judged)
    from carina.inference.overlay import write_overlays  # noqa: PLC0415  # fonts and drawing, for this option alone

    return write_overlays(judged, folder)


def _passed_over(prediction: _AnyPrediction) -> bool:
    return isinstance(prediction, FailedPrediction) and prediction.passed_over


def _said(prediction: _AnyPrediction) -> str:
    if isinstance(prediction, FailedPrediction):
        return "passed over" if prediction.passed_over else "not judged"
    return prediction.triage.priority


def _tell_the_end(counts: Counter[str], results: Results | None, *, for_people: bool) -> None:
    failed, passed = counts.pop("not judged", 0), counts.pop("passed over", 0)
    if results is not None:
        again = f" Failed before and tried again: {results.retried}." if results.retried else ""
        print_note(f"Judged before: {results.held}.{again} Judged now: {counts.total()}.")
    if counts.total() + failed + passed == 0 and (results is None or results.held == 0):
        print_note("No image was named: nothing was judged.")
    if for_people:
        if counts.total() > 1:
            print_note(", ".join(f"{count} {priority}" for priority, count in counts.most_common()) + ".")
        print_note(INTENDED_USE)
    if passed:
        print_note(
            f"{passed} object{'s' * (passed > 1)} beside the images passed over: reports, presentation states, "
            "documents or answers of Carina's own."
        )
    if failed:
        print_note(f"{failed} input{'s' * (failed > 1)} could not be judged.")
        raise typer.Exit(1)


def _print_row(row: str) -> None:
    """Print a row for a program as soon as it is known."""
    sys.stdout.write(row)
    sys.stdout.flush()


class _Table:
    """A table for people that grows as images are judged: columns of fixed width, the reason below each row."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        self._console = Console(highlight=False, markup=False)
        self._findings = findings
        self._widths = [max(6, len(short_name(finding))) for finding in findings]
        self._started = False

    def write(self, prediction: _AnyPrediction, picture: Path | None) -> None:
        if not self._started:
            shown = [f"{short_name(f):>{width}}" for f, width in zip(self._findings, self._widths, strict=True)]
            self._print(Text("  ".join([f"{'priority':<{_PRIORITY_WIDTH}}", *shown, "image"]), "bold"))
            self._started = True
        row = Text(f"{_said(prediction):<{_PRIORITY_WIDTH}}", "bold")
        judged = isinstance(prediction, Prediction) and prediction.refused is None
        for finding, width in zip(self._findings, self._widths, strict=True):
            number, called = "–", False
            if isinstance(prediction, Prediction) and judged:
                number, called = f"{prediction.probabilities[finding]:.3f}", finding == prediction.finding
            row.append(f"  {number:>{width}}", "bold" if called else "not bold")
        row.append(f"  {_printable(path_in_words(prediction.path))}", "not bold")
        self._print(row)
        self._print_below(
            str(prediction.error) if isinstance(prediction, FailedPrediction) else prediction.triage.reason
        )
        if isinstance(prediction, Prediction):
            for doubt in prediction.reservations:
                self._print_below(doubt)
        if picture is not None:
            self._print_below(f"Picture: {_printable(path_in_words(picture))}")

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)

    def _print_below(self, words: str) -> None:
        if self._console.is_terminal:
            self._console.print(Padding(Text(words, "dim"), (0, 0, 0, 2)))
        else:
            # In a file or another program a line stays a line.
            self._print(Text(f"  {words}"))


def _printable(text: str) -> str:
    """Return a path without what would move a terminal's cursor or colour it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
