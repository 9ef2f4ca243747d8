"""A step of mercure, the orchestrator: images of one folder are judged, answers go to another.

mercure (https://mercure-imaging.org) starts a container for each series or study, with the folders in
``MERCURE_IN_DIR`` and ``MERCURE_OUT_DIR``. Images are named ``SERIES#OBJECT.dcm``. ``task.json`` beside them holds the
settings of this step. Of ``result.json`` it shows ``__mercure_notification``. Any exit code but 0 is a failure of the
whole step.

Source: "Module Development" in mercure's documentation, and its ``process_series.py``.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from carina.decisions.triage import PRIORITIES, Priority
from carina.dicom.answers.answers import AnsweredImages, write_answers
from carina.dicom.answers.objects import Kind
from carina.errors import ConfigurationError, InputError
from carina.inference.prediction_list import FAILED, PASSED_OVER, summary
from carina.inference.predictor import Predictor
from carina.storage.atomic import write_text

TASK_FILE, RESULT_FILE = "task.json", "result.json"
# Objects that belong to a study beside its images, and Carina's own: nothing is wrong.
_BESIDE = ("companion-object", "own-answer")


class MercureSettings(BaseModel, frozen=True, extra="forbid"):
    """The settings of the step, as a person types them into mercure.

    Attributes
    ----------
    kinds
        Which answers are written.
    prevalence
        See `carina.decisions.triage.choose_triage`.
    notify
        For which priorities a notification is asked for. An image that could not be read asks for one, too.
    """

    kinds: tuple[Kind, ...] = ("sr", "sc")
    prevalence: float | None = Field(default=None, ge=0, le=1)
    notify: tuple[Priority, ...] = ("fast-track", "expedite")


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of a step.

    Attributes
    ----------
    read, failed
        How many images got a priority (``not-assessable`` is one), and how many could not be read.
    text
        The counts as a sentence, without anything of a patient.
    """

    read: int
    failed: int
    text: str


def read_settings(folder: Path) -> MercureSettings:
    """Return the settings of the step in ``task.json``; the defaults where it names none.

    Raises
    ------
    ConfigurationError
        If the file is missing or damaged, or a setting is unknown or impossible.
    """
    try:
        task = json.loads((folder / TASK_FILE).read_bytes())
        told: Any = (task.get("process") or {}).get("settings") or {}
        return MercureSettings.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = (
            f"{folder / TASK_FILE}: the setting {where!r} is wrong ({first['msg']}). "
            f"The settings are: {', '.join(MercureSettings.model_fields)}."
        )
    except OSError:
        msg = f"{folder / TASK_FILE} is missing: mercure puts it beside the images. Name the folder that it fills."
    except (ValueError, AttributeError):
        msg = f"{folder / TASK_FILE} is no task of mercure."
    raise ConfigurationError(msg)


def run_step(folder: Path, out: Path, predictor: Predictor) -> StepResult:
    """Judge the images of a folder, write answers and ``result.json``, and return what came of it.

    Raises
    ------
    ConfigurationError
        If the settings are wrong (`read_settings`), or a folder is missing.
    OSError
        If the folder to write to cannot be written.
    """
    for needed in (folder, out):
        if not needed.is_dir():
            msg = f"{needed} is no folder. mercure names both in MERCURE_IN_DIR and MERCURE_OUT_DIR."
            raise ConfigurationError(msg)
    settings = read_settings(folder)
    answered = AnsweredImages()
    rows: list[dict[str, Any]] = []
    counts = Counter[str]()
    for path in sorted(folder.glob("*.dcm")):
        row = _judge(path, out, predictor, settings, answered)
        counts[_word_of(row)] += 1
        rows.append(row)
    said = f"Carina. {summary(counts)} A priority orders the reading: it is no diagnosis."
    result = {
        "images": rows,
        "model": {"name": predictor.run.name, "sha256": predictor.sha256},
        "__mercure_notification": {
            "text": said,
            "requested": bool(counts[FAILED] or any(counts[priority] for priority in settings.notify)),
        },
    }
    write_text(out / RESULT_FILE, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return StepResult(sum(counts[priority] for priority in PRIORITIES), counts[FAILED], said)


def _judge(
    path: Path, out: Path, predictor: Predictor, settings: MercureSettings, answered: AnsweredImages
) -> dict[str, Any]:
    # The name is made of UIDs: it belongs into mercure's own files, and into no sentence.
    file = {"file": path.name}
    try:
        with TemporaryDirectory(dir=out) as scratch:
            answers = write_answers(
                path, predictor, Path(scratch), settings.kinds, prevalence=settings.prevalence, answered=answered
            )
            written = [f"{each.series_uid}#{each.sop_instance_uid}.dcm" for each in answers.written]
            for each, name in zip(answers.written, written, strict=True):
                each.path.replace(out / name)
    except InputError as error:
        passed_over = {"passed_over": True} if error.code in _BESIDE else {}
        return file | passed_over | {"error": {"code": error.code, "message": str(error)}}
    prediction = answers.prediction
    return file | {
        "finding": prediction.finding,
        "probabilities": prediction.probabilities,
        "triage": {"priority": prediction.triage.priority, "reason": prediction.triage.reason},
        "reservations": list(prediction.reservations),
        "answers": written,
    }


def _word_of(row: dict[str, Any]) -> str:
    if "triage" in row:
        return str(row["triage"]["priority"])
    return PASSED_OVER if "passed_over" in row else FAILED
