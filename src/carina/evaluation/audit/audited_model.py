"""The model that is audited: what the audit must know of a run or a bundle."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from carina.bundles.bundle import open_model
from carina.bundles.run_folder import LUNGS_FILE, ONNX_FILE
from carina.decisions.policy import Policy
from carina.errors import BundleError
from carina.radiographs.preprocess import Preprocessing


@dataclass(frozen=True, slots=True)
class AuditedModel:
    """A model with all that the audit needs of it."""

    folder: Path  # where it lies; the leak check reads there what it learned from
    name: str  # the recipe's name
    # Its ONNX file, with outputs ``logits`` and ``embedding``, and that file's hash.
    graph: Path
    sha256: str
    findings: tuple[str, ...]  # in the order of the logits
    preprocessing: Preprocessing  # how radiographs become its tensors
    policy: Policy  # how its logits become probabilities, and the rule of its operating point
    lungs: Path | None  # the segmenter's graph, where it has one


def open_audited(folder: Path) -> AuditedModel:
    """Return the model in a finished run or a bundle.

    Raises
    ------
    BundleError
        If the folder holds no model, or its graph is not the one that it says it is.
    """
    described = open_model(folder)
    graph, lungs = folder / ONNX_FILE, folder / LUNGS_FILE
    if not graph.is_file() or hashlib.sha256(graph.read_bytes()).hexdigest() != described.model_sha256:
        msg = f"{graph} is not the model that {folder} describes: it is missing or was changed. Train or export again."
        raise BundleError(msg)
    if described.preprocessing.crop == "lungs" and not lungs.is_file():
        msg = f"{lungs} is missing: the model is shown the lungs alone and cannot find them. Train or export again."
        raise BundleError(msg)
    return AuditedModel(
        folder=folder,
        name=described.name,
        graph=graph,
        sha256=described.model_sha256,
        findings=described.findings,
        preprocessing=described.preprocessing,
        policy=described.policy,
        lungs=lungs if lungs.is_file() else None,
    )
