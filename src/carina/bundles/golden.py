"""Golden examples: a few inputs with what a model must give for them, recomputed wherever a bundle is verified.

The inputs are phantoms, drawn by a program: a bundle holds no patient. They are stored as drawn, so that they stay
the same when the program that draws them changes.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from carina.bundles.pipeline import Pipeline, load_pipeline
from carina.bundles.run_folder import LUNGS_FILE, ONNX_FILE, FinishedRun
from carina.errors import BundleError
from carina.storage.arrays import read_arrays, write_arrays

_EXAMPLES = 6
# Of so many phantoms those are taken for which both engines find the same box.
_DRAWN = 18


class Tolerances(BaseModel, frozen=True, extra="forbid"):
    """How far a recomputed value may lie from the golden one.

    Attributes
    ----------
    box
        Of the lungs' box, as a share of the image.
    grey
        Of what the network is shown, in grey levels of 255: libraries round differently.
    logit, probability
        Of the outputs. Reordered float32 sums differ in the sixth digit, a grey level here and there in the third.
    """

    box: float = Field(default=0.001, ge=0, allow_inf_nan=False)
    grey: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    logit: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    probability: float = Field(default=0.001, ge=0, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Differences:
    """The largest differences found; attributes as of `Tolerances`."""

    box: float
    grey: float
    logit: float
    probability: float


def write_golden(
    path: Path, folder: Path, model: FinishedRun, twins: Sequence[tuple[FinishedRun, Pipeline]] = ()
) -> None:
    """Write golden examples of a model that lies in a folder.

    Parameters
    ----------
    twins
        The same model in other precisions, with their policies, and what computes them.

    Raises
    ------
    BundleError
        If the model gives no numbers, or the two engines do not agree on where the lungs are.
    """
    pipeline = load_pipeline(folder, model)
    wholes = _draw(_DRAWN, model.preprocessing.read_size)
    # The borders of a mask lie where a probability crosses a half: an example on the brink would fail elsewhere.
    boxes = (
        pipeline.judge(list(wholes)).boxes,
        load_pipeline(folder, model, backend="onnxruntime").judge(list(wholes)).boxes,
    )
    stable = np.flatnonzero([np.array_equal(*pair, equal_nan=True) for pair in zip(*boxes, strict=True)])[:_EXAMPLES]
    if len(stable) < _EXAMPLES:
        found = f"{len(stable)} of {_DRAWN} agree"
        msg = f"{folder / LUNGS_FILE} gives other boxes on another engine: {found}. Train again."
        raise BundleError(msg)
    judged = pipeline.judge(list(wholes[stable]))
    if not np.isfinite(judged.logits).all():
        msg = f"{folder / ONNX_FILE} gives logits that are no finite numbers. Train again."
        raise BundleError(msg)
    values: dict[str, NDArray[Any]] = {"wholes": wholes[stable], "boxes": judged.boxes, "frames": judged.frames}
    for each, how in ((model, pipeline), *twins):
        logits = judged.logits if how is pipeline else how.judge(list(wholes[stable])).logits
        name, name_of_probabilities = _names(how)
        values |= {name: logits, name_of_probabilities: each.policy.probabilities(logits)}
    write_arrays(path, values)


def _names(pipeline: Pipeline) -> tuple[str, str]:
    """Return what logits and probabilities of a pipeline's precision are called in the file."""
    suffix = "" if pipeline.engine.precision == "f32" else f".{pipeline.engine.precision}"
    return f"logits{suffix}", f"probabilities{suffix}"


def compare_golden(path: Path, pipeline: Pipeline, model: FinishedRun) -> Differences:
    """Return how far what a model gives now, in the pipeline's precision, lies from its golden examples.

    Raises
    ------
    BundleError
        If the file is damaged, or holds no examples of this model.
    """
    golden = read_arrays(path)
    logits, probabilities = _names(pipeline)
    _check(path, golden, model, (logits, probabilities))
    judged = pipeline.judge(list(golden["wholes"]))
    judged_probabilities = model.policy.probabilities(judged.logits)
    return Differences(
        box=_largest(judged.boxes, golden["boxes"]),
        grey=_largest(judged.frames.astype(np.float64), golden["frames"].astype(np.float64)),
        logit=_largest(judged.logits, golden[logits]),
        probability=_largest(judged_probabilities, golden[probabilities]),
    )


def require_golden(path: Path, pipeline: Pipeline, model: FinishedRun, tolerances: Tolerances) -> Differences:
    """Return how far what a model gives now lies from its golden examples, where that is near enough.

    Raises
    ------
    BundleError
        If it lies further than the tolerances allow, or see `compare_golden`.
    """
    differences, engine = compare_golden(path, pipeline, model), pipeline.engine
    for quantity in quantities_missed(differences, tolerances):
        msg = (
            f"{path.parent}: on this machine ({engine.name}, {engine.precision}) the golden examples are missed by "
            f"{getattr(differences, quantity):.3g} ({quantity}); {getattr(tolerances, quantity):.3g} is allowed. Do "
            "not use it here: try the other engine, another precision, or the library versions that bundle.json names."
        )
        raise BundleError(msg)
    return differences


def quantities_missed(differences: Differences, tolerances: Tolerances) -> list[str]:
    """Return the names of the differences that are larger than allowed, or no numbers."""
    return [name for name, found in asdict(differences).items() if not found <= getattr(tolerances, name)]


def widened_tolerances(path: Path, pipelines: Sequence[Pipeline], model: FinishedRun, least: Tolerances) -> Tolerances:
    """Return tolerances for pipelines that compute in another way: twice what any of them misses the examples by.

    Raises
    ------
    BundleError
        See `compare_golden`.
    """
    allowed = least.model_dump()
    for pipeline in pipelines:
        found = asdict(compare_golden(path, pipeline, model))
        allowed |= {name: max(allowed[name], 2 * found[name]) for name in ("logit", "probability")}
    return Tolerances.model_validate(allowed)


def _draw(count: int, size: int) -> NDArray[np.uint8]:
    # Whoever only predicts opens bundles and draws nothing.
    from carina.phantoms.phantom import MIN_SIZE, PHANTOM_FINDINGS, draw_phantom  # noqa: PLC0415

    phantoms = (
        draw_phantom(finding, seed=seed, size=max(size, MIN_SIZE)).pixels
        for seed, finding in zip(range(count), itertools.cycle(PHANTOM_FINDINGS), strict=False)
    )
    resized = (cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA) for pixels in phantoms)
    return np.asarray(np.stack(list(resized)), np.uint8)


def _check(path: Path, golden: Mapping[str, NDArray[Any]], model: FinishedRun, names: tuple[str, str]) -> None:
    count = len(golden["wholes"]) if golden.get("wholes", np.zeros(())).ndim else 0
    whole, size, findings = model.preprocessing.read_size, model.preprocessing.size, len(model.findings)
    expected = {
        "wholes": ((count, whole, whole), np.uint8),
        "boxes": ((count, 4), np.float64),
        "frames": ((count, size, size), np.uint8),
        **dict.fromkeys(("logits", names[0]), ((count, findings), np.float32)),
        **dict.fromkeys(("probabilities", names[1]), ((count, findings), np.float64)),
    }
    # Another precision's have their own check.
    others = {f"{kind}.{each}" for kind in ("logits", "probabilities") for each in ("int8", "bf16")} - set(names)
    found = {name: (array.shape, array.dtype.type) for name, array in golden.items() if name not in others}
    if not count or found != expected:
        msg = f"{path} holds no golden examples of this model. Fetch or export the bundle again."
        raise BundleError(msg)


def _largest(now: NDArray[np.floating], golden: NDArray[np.floating]) -> float:
    """Return the largest difference; infinite where only one of the two is a number."""
    both_missing = np.isnan(now) & np.isnan(golden)
    differences = np.where(both_missing, 0.0, np.abs(now - golden))
    return float(np.where(np.isnan(differences), np.inf, differences).max())
