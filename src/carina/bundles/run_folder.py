"""The run folder: what a training leaves, and what everything after it reads.

::

    started.json            the data set and when: enough to go on after a kill
    recipe.toml             the recipe with every default written out
    history.csv             one row per epoch
    train.log               what happened, with times
    checkpoint/             the last epoch, while training is under way
    model.keras             the Keras model, to go on training from
    model.onnx              the same from tensor to logits, for everything that predicts
    lungs.onnx              the lung segmenter, where the model is shown lungs alone or has a gate
    gate.npz                what may be judged at all, where the recipe has a gate
    training_images.txt     what it learned from or stopped on, as hashes: evaluation refuses a leak
    run.json                written last: a run without it is not finished
"""

from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ValidationError, model_validator

from carina.decisions.operating_point import OperatingPoint
from carina.decisions.policy import Policy
from carina.errors import BundleError
from carina.places import MARKERS, wrong_place
from carina.radiographs.preprocess import Preprocessing

STARTED_FILE = MARKERS["unfinished run"]
RECIPE_FILE = "recipe.toml"
HISTORY_FILE = "history.csv"
LOG_FILE = "train.log"
CHECKPOINT_FOLDER = "checkpoint"
KERAS_FILE = "model.keras"
ONNX_FILE = "model.onnx"
LUNGS_FILE = MARKERS["lung segmenter"]
GATE_FILE = "gate.npz"
TRAINING_IMAGES_FILE = "training_images.txt"
RUN_FILE = MARKERS["finished run"]


class StartedRun(BaseModel, frozen=True, extra="forbid"):
    """What ``started.json`` holds: what training needs, beside the recipe, to go on."""

    format: Literal["carina-run-2"] = "carina-run-2"
    datasets: tuple[str, ...]
    without_sources: tuple[str, ...] = ()
    data_fingerprint: str
    started: datetime


class GateRecord(BaseModel, frozen=True, extra="forbid"):
    """How the gate of a run was made, and what it lets through.

    Attributes
    ----------
    sha256
        Of ``gate.npz``; loading fails closed on any difference.
    radiographs, images
        Training radiographs used, and training images of each kind made from them.
    dropped
        Training radiographs left out since they themselves looked like another kind.
    negatives, negatives_unreadable
        Images of a folder of negatives that were used, and that could not be read.
    calibration_images
        Radiographs that the line was drawn by.
    acceptance, reached
        The share of radiographs to be let through, and the share of the calibration radiographs that is.
    largest_strangeness
        The line; see `carina.radiographs.gate.Gate`.
    seconds
        Wall time.
    """

    sha256: str
    radiographs: int
    images: dict[str, int]
    dropped: int
    negatives: int
    negatives_unreadable: int
    calibration_images: int
    acceptance: float
    reached: float
    largest_strangeness: float
    seconds: float


class FinishedRun(BaseModel, frozen=True, extra="forbid"):
    """What ``run.json`` holds.

    Attributes
    ----------
    name, findings
        The recipe's name, and the findings in the order of the logits.
    preprocessing
        How radiographs become the model's tensors.
    stopping_split
        The split of the data set that ended training and chose the operating point.
    policy
        From logits to decisions: calibration, operating points and triage bands, chosen on that split.
    weights, weights_sha256
        What the backbone started from; no hash for random weights.
    model_sha256, lungs_sha256
        Of ``model.onnx`` and ``lungs.onnx``; loading fails closed on any difference. No lungs where the whole image is
        shown and there is no gate.
    learned_with_lungs_sha256
        Of the segmenter whose boxes the network learned with, where another one draws them now.
    gate
        How the gate was made; none where nothing but missing lungs is refused.
    dataset, data_fingerprint, images
        What it learned from: folder, hash over images, labels and splits, and images a split.
    epochs, best_epoch
        How many were trained, and which was kept (counted from 1).
    seconds
        Wall time of each stage, with what it took before a kill, and ``total``.
    peak_memory_mb
        Largest resident memory of the training process.
    versions, machine, command
        Libraries, processor, and what was typed.
    """

    format: Literal["carina-run-2"] = "carina-run-2"
    name: str
    findings: tuple[str, ...]
    preprocessing: Preprocessing
    stopping_split: Literal["validation", "calibration"]
    policy: Policy
    weights: str
    weights_sha256: str | None
    model_sha256: str
    lungs_sha256: str | None = None
    learned_with_lungs_sha256: str | None = None
    gate: GateRecord | None = None
    dataset: str
    data_fingerprint: str
    images: dict[str, int]
    epochs: int
    best_epoch: int
    seconds: dict[str, float]
    peak_memory_mb: float
    versions: dict[str, str]
    machine: str
    command: str
    finished: datetime

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.policy.findings != self.findings:
            msg = "the policy must be for the model's findings"
            raise ValueError(msg)
        return self

    @property
    def has_segmenter(self) -> bool:
        """Return whether the lungs are looked for: for the network, which is shown them alone, or for the gate."""
        return self.preprocessing.crop == "lungs" or self.gate is not None

    @property
    def operating_point(self) -> OperatingPoint:
        """Return the operating point of the finding that is fast-tracked."""
        return self.policy.operating_point


def open_run(folder: Path) -> FinishedRun:
    """Return what a finished run says of itself.

    Raises
    ------
    BundleError
        If the folder holds no run, one that was not finished, or one of another version.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        raise BundleError(wrong_place(folder, "run"))
    try:
        return FinishedRun.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        msg = f"{path} cannot be read ({type(error).__name__}). Train again."
        raise BundleError(msg) from None
