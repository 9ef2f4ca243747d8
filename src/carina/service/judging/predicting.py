"""What runs in the process that judges: models that are loaded, and what they say of images, as plain values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from carina.decisions.triage import Priority

if TYPE_CHECKING:
    from carina.inference.prediction import Prediction
    from carina.inference.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Said:
    """What a model says of an image; see `carina.service.database.study_tables.Judgement`.

    Attributes
    ----------
    pixels_sha256
        Of the decoded pixels.
    embedding_distance
        Of the image to those that the model's gate was fitted to; see `carina.radiographs.gate.Verdict.distance`.
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
    embedding_distance: float | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image that no model can judge: a code of `carina.errors.InputError`, and why, without a tag's value."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of each image that it was asked about, in order."""

    each: tuple[Said | Unreadable, ...]


def judge_maker(
    models: Mapping[int, Path], prevalence: float | None, folder: Path
) -> "Callable[[], Callable[..., Answers]]":
    """Return what makes, in another process, a judge: asked for a model's ID and images, it gives `Answers`.

    Parameters
    ----------
    models
        Their folders, by their IDs.
    prevalence
        See `carina.decisions.triage.choose_triage`.
    folder
        Of the site: the judge keeps there why a model says so, and a small picture of the image.
    """
    return partial(_make, dict(models), prevalence, folder)


def _make(
    models: Mapping[int, Path], prevalence: float | None, folder: Path
) -> "Callable[[int, Sequence[Path]], Answers]":
    from carina.errors import BundleError  # noqa: PLC0415
    from carina.inference.prediction import FailedPrediction  # noqa: PLC0415  # only this process loads models
    from carina.inference.predictor import Predictor  # noqa: PLC0415

    predictors = {model_id: Predictor(bundle) for model_id, bundle in models.items()}
    explained = dict.fromkeys(predictors, True)

    def judge(model_id: int, images: Sequence[Path]) -> Answers:
        predictor = predictors[model_id]
        explains = explained[model_id]
        try:
            predictions = list(predictor.predict(images, prevalence=prevalence, explain=explains))
        except BundleError:
            if not explains:
                raise
            # A model of an earlier version, whose graph gives no reasons.
            explained[model_id] = False
            return judge(model_id, images)
        each: list[Said | Unreadable] = []
        for path, one in zip(images, predictions, strict=True):
            if isinstance(one, FailedPrediction):
                each.append(Unreadable(one.error.code, str(one.error)))
            else:
                _keep_pictures(folder, path.name, predictor.sha256, one)
                each.append(_said(one, predictor))
        return Answers(tuple(each))

    return judge


def _keep_pictures(folder: Path, digest: str, model_sha256: str, prediction: "Prediction") -> None:
    from carina.service.kept_evidence import keep_evidence  # noqa: PLC0415  # as above
    from carina.service.pictures import keep_thumbnail  # noqa: PLC0415

    if prediction.explanation is not None:
        keep_evidence(folder, digest, model_sha256, prediction.explanation)
        keep_thumbnail(folder, digest, prediction.explanation.grey)


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
        # A feature that runs wild has no distance that a database or a chart could hold.
        embedding_distance=prediction.distance if isfinite(prediction.distance or 0.0) else None,
    )
