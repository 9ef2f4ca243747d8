"""``carina predict``: image files become predictions with a triage priority."""

import csv
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from carina import __version__
from carina.bundle import BundleDescription, released_bundle
from carina.cli.console import print_note
from carina.errors import ConfigurationError
from carina.inference.inputs import image_files
from carina.inference.predictor import FailedPrediction, Prediction, Predictor

INTENDED_USE = (
    "For research. A triage flag orders the reading: it is no diagnosis, and a radiograph without one is still to be "
    "read."
)


def predict_command(
    paths: Annotated[list[Path], typer.Argument(help="Image files, or folders that hold some.")],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", "--run", help="A bundle or a finished run; by default the released one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.")] = False,
    prevalence: Annotated[
        float | None, typer.Option("--prevalence", min=0, max=1, help="Of the flagged finding, where you are.")
    ] = None,
) -> None:
    """Judge images; one that cannot be read becomes an error row, and the exit code 1."""
    if as_json and as_csv:
        msg = "Choose one of --json and --csv."
        raise ConfigurationError(msg)
    predictor = Predictor(bundle or released_bundle())
    failures = 0
    if prevalence is not None and not 0 <= prevalence <= 1:
        msg = f"--prevalence is {prevalence}; it must be a share from 0 to 1."
        raise ConfigurationError(msg)
    judged = predictor.predict(image_files(paths), prevalence=prevalence)
    writer = _Json(predictor) if as_json else _Csv(predictor) if as_csv else _Lines(predictor)
    for prediction in judged:
        failures += isinstance(prediction, FailedPrediction)
        writer.write(prediction)
    if not as_json and not as_csv:
        print_note(INTENDED_USE)
    if failures:
        print_note(f"{failures} inputs could not be judged.")
        raise typer.Exit(1)


def _shown(path: Path) -> str:
    """Return a path as text, also where the file system's bytes are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


class _Json:
    def __init__(self, predictor: Predictor) -> None:
        run = predictor.run
        self._model = {
            "name": run.name,
            "version": run.version if isinstance(run, BundleDescription) else __version__,
            "sha256": run.model_sha256,
            "engine": predictor.engine.name,
        }

    def write(self, prediction: Prediction | FailedPrediction) -> None:
        sys.stdout.write(json.dumps(self._object(prediction), ensure_ascii=False) + "\n")

    def _object(self, prediction: Prediction | FailedPrediction) -> dict[str, Any]:
        if isinstance(prediction, FailedPrediction):
            error = prediction.error
            return {"path": _shown(prediction.path), "error": {"code": error.code, "message": str(error)}}
        accepted = prediction.refused is None
        rounded = {finding: round(p, 6) for finding, p in prediction.probabilities.items()}
        return {
            "path": _shown(prediction.path),
            "sha256": prediction.sha256,
            "finding": prediction.finding if accepted else None,
            "probabilities": rounded if accepted else None,
            "triage": {"priority": prediction.triage.priority, "reason": prediction.triage.reason},
            "gate": {"accepted": accepted, "reasons": [] if accepted else [prediction.refused]},
            "model": self._model,
            "elapsed_ms": round(prediction.elapsed_ms, 2),
        }


class _Csv:
    def __init__(self, predictor: Predictor) -> None:
        self._findings = predictor.run.findings
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        probabilities = [f"probability:{finding}" for finding in self._findings]
        self._writer.writerow(["path", "finding", *probabilities, "priority", "reason", "error_code", "error"])

    def write(self, prediction: Prediction | FailedPrediction) -> None:
        if isinstance(prediction, FailedPrediction):
            blanks = [""] * (len(self._findings) + 3)
            self._writer.writerow([_shown(prediction.path), *blanks, prediction.error.code, prediction.error])
            return
        judged = [prediction.finding, *(f"{prediction.probabilities[finding]:.6f}" for finding in self._findings)]
        if prediction.refused is not None:
            judged = [""] * len(judged)
        triage = prediction.triage
        self._writer.writerow([_shown(prediction.path), *judged, triage.priority, triage.reason, "", ""])


class _Lines:
    def __init__(self, predictor: Predictor) -> None:
        self._findings = predictor.run.findings

    def write(self, prediction: Prediction | FailedPrediction) -> None:
        if isinstance(prediction, FailedPrediction):
            sys.stdout.write(f"{_shown(prediction.path)}\n  not judged: {prediction.error}\n")
            return
        probabilities = "  ".join(f"{finding} {p:.2f}" for finding, p in prediction.probabilities.items())
        triage = prediction.triage
        said = triage.priority.upper() + ("" if prediction.refused is not None else f"  {probabilities}")
        sys.stdout.write(f"{_shown(prediction.path)}\n  {said}\n  {triage.reason}\n")
