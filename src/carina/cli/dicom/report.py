"""``carina dicom report``: radiographs in DICOM become answers in DICOM."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carina.bundles.bundle import released_bundle
from carina.cli.console import print_note, print_result
from carina.cli.options import BundleOption, KindsOption, PrevalenceOption, argument, option, switch
from carina.cli.predict import INTENDED_USE
from carina.cli.predict_words import printable
from carina.errors import ConfigurationError, InputError
from carina.extras import require_libraries
from carina.inference.image_input import Input
from carina.inference.inputs import image_inputs
from carina.inference.left_out import LeftOutFiles
from carina.inference.prediction import FailedPrediction
from carina.inference.prediction_list import ROW_ORDER
from carina.inference.predictor import Predictor
from carina.inference.results import JsonLines, path_in_words

if TYPE_CHECKING:
    from carina.dicom.answers.answers import Answers

_PRIORITY_WIDTH = len("secondary-review")
_NOT_ANSWERED = ("not answered", "passed over")


def report_command(
    files: Annotated[
        list[str],
        argument(
            "PATH",
            "DICOM images; folders or DICOMDIRs that hold them; patterns (in quotes); or - for a list of paths on "
            "standard input.",
        ),
    ],
    bundle: BundleOption = None,
    out: Annotated[Path | None, option("DIR", "Folder to write to. Default: the folder of each image.")] = None,
    kinds: KindsOption = "sr,sc,seg",
    as_json: Annotated[bool, switch("Print one JSON object per line.", "--json")] = False,
    prevalence: PrevalenceOption = None,
) -> None:
    """Write answers to DICOM images as DICOM objects.

    Each answer belongs to the study of its image. An image that cannot be answered becomes an error row, and the exit
    code is 1.
    """
    # What writes DICOM takes longer to import than all else here.
    from carina.dicom.answers.answers import AnsweredImages, write_answers  # noqa: PLC0415
    from carina.dicom.answers.objects import kinds_named  # noqa: PLC0415

    require_libraries("Writing DICOM answers", "highdicom")
    wanted = kinds_named(kinds.split(","))
    if prevalence is not None and not 0 <= prevalence <= 1:
        msg = f"--prevalence is {prevalence}; it must be a share from 0 to 1."
        raise ConfigurationError(msg)
    predictor = Predictor(bundle or released_bundle())
    rows, counts = JsonLines(predictor, prevalence=prevalence), Counter[str]()
    others, answered = LeftOutFiles(), AnsweredImages()
    # All names first: what is written beside the images would come up among them.
    for each in list(image_inputs(files, left_out=others)):
        path = each.path
        try:
            _require_file(each)
            folder = out or path.parent
            answers = write_answers(path, predictor, folder, wanted, prevalence=prevalence, answered=answered)
        except InputError as error:
            beside = error.code == "own-answer" or (error.code == "companion-object" and not each.named)
            counts["passed over" if beside else "not answered"] += 1
            _print_error(path, error, rows if as_json else None, passed_over=beside)
        else:
            counts[answers.prediction.triage.priority] += 1
            _print_answers(path, answers, rows if as_json else None)
        sys.stdout.flush()
    if (said := others.sentence()) is not None:
        print_note(said)
    _tell_the_end(counts, for_people=not as_json)


def _require_file(each: Input) -> None:
    if each.error is not None:
        raise each.error
    if each.member is not None:
        msg = "it lies in a ZIP archive, where no answer is written. Unpack the archive, and name the folder."
        raise InputError(msg, "unsupported-format")


def _print_answers(path: Path, answers: "Answers", rows: JsonLines | None) -> None:
    triage = answers.prediction.triage
    if rows is not None:
        content = json.loads(rows.row(answers.prediction, None)) | {
            "answers": [
                {
                    "kind": answer.kind,
                    "path": path_in_words(answer.path),
                    "sop_class_uid": answer.sop_class_uid,
                    "sop_instance_uid": answer.sop_instance_uid,
                    "series_instance_uid": answer.series_uid,
                }
                for answer in answers.written
            ],
            "left_out": answers.left_out,
            "copy_of": None if answers.copy_of is None else path_in_words(answers.copy_of),
        }
        print_result(json.dumps(content, ensure_ascii=False))
        return
    print_result(f"{triage.priority:<{_PRIORITY_WIDTH}}  {printable(path_in_words(path))}")
    for said in (triage.reason, *answers.prediction.reservations):
        print_result(f"  {said}")
    for answer in answers.written:
        print_result(f"  {answer.kind}  {printable(path_in_words(answer.path))}")
    for kind, why in answers.left_out.items():
        print_result(f"  {kind}  not written: {why}")
    if answers.copy_of is not None:
        first = printable(path_in_words(answers.copy_of))
        print_result(f"  It is a copy of {first}, and its answers are the same as those.")


def _print_error(path: Path, error: InputError, rows: JsonLines | None, *, passed_over: bool) -> None:
    if rows is not None:
        print_result(rows.row(FailedPrediction(path, error), None).rstrip("\n"))
    else:
        said = "passed over" if passed_over else "not answered"
        print_result(f"{said:<{_PRIORITY_WIDTH}}  {printable(path_in_words(path))}")
        print_result(f"  {printable(str(error))}")


def _tell_the_end(counts: Counter[str], *, for_people: bool) -> None:
    failed = counts["not answered"]
    if for_people:
        if counts.total() > 1:
            print_note(
                ", ".join(f"{counts[said]:,} {said}" for said in (*ROW_ORDER, *_NOT_ANSWERED) if counts[said]) + "."
            )
        print_note(INTENDED_USE)
    if failed:
        print_note(f"{failed} input{'s' * (failed > 1)} could not be answered.")
        raise typer.Exit(1)
