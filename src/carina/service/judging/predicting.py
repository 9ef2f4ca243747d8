"""What runs in the process that judges: models that are loaded, and what they say of images, as plain values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from carina.decisions.triage import Priority

if TYPE_CHECKING:
    from carina.inference.prediction import Prediction
    from carina.inference.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Said:
    """What a model says of an image; see `carina.service.database.tables.Judgement`.

    Attributes
    ----------
    pixels_sha256
        Of the decoded pixels.
    """

    priority: Priority
    finding: str | None
    probability: float | None
    probabilities: dict[str, float]
    code: str
    reason: str
    gate_accepted: bool | None
    reservations: list[str]
    precision: str
    elapsed_ms: float
    pixels_sha256: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image that no model can judge: a code of `carina.errors.InputError`, and why, without a tag's value."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of each image that it was asked about, in order."""

    each: tuple[Said | Unreadable, ...]


def judge_maker(models: Mapping[int, Path], prevalence: float | None) -> "Callable[[], Callable[..., Answers]]":
    """Return what makes, in another process, a judge: asked for a model's ID and images, it gives `Answers`.

    Parameters
    ----------
    models
        Their folders, by their IDs.
    prevalence
        See `carina.decisions.triage.choose_triage`.
    """
    return partial(_make, dict(models), prevalence)


def _make(models: Mapping[int, Path], prevalence: float | None) -> "Callable[[int, Sequence[Path]], Answers]":
    from carina.inference.prediction import FailedPrediction  # noqa: PLC0415  # only this process loads models
    from carina.inference.predictor import Predictor  # noqa: PLC0415

    predictors = {model_id: Predictor(folder) for model_id, folder in models.items()}

    def judge(model_id: int, images: Sequence[Path]) -> Answers:
        predictor = predictors[model_id]
        predictions = predictor.predict(images, prevalence=prevalence)
        return Answers(
            tuple(
                Unreadable(one.error.code, str(one.error))
                if isinstance(one, FailedPrediction)
                else _said(one, predictor)
                for one in predictions
            )
        )

    return judge


def _said(prediction: "Prediction", predictor: "Predictor") -> Said:
    shares = prediction.probabilities
    return Said(
        priority=prediction.triage.priority,
        finding=prediction.finding,
        probability=None if shares is None else float(shares[predictor.run.policy.flag_finding]),
        probabilities={} if shares is None else {finding: float(p) for finding, p in shares.items()},
        code=prediction.triage.code,
        reason=prediction.triage.reason,
        gate_accepted=prediction.accepted,
        reservations=list(prediction.reservations),
        precision=predictor.engine.precision,
        elapsed_ms=prediction.elapsed_ms,
        pixels_sha256=prediction.sha256,
    )
