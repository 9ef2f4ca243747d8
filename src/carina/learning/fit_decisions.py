"""What of a training's images may be judged, and how logits become decisions: the gate and the policy."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.bundles.run_folder import GATE_FILE, GateRecord
from carina.datasets.manifest import labels_of
from carina.decisions.policy import Policy, fit_policy
from carina.learning.gate.gate_training import accepted_rows, train_gate
from carina.learning.training import Training
from carina.radiographs.gate import read_gate

_log = logging.getLogger(__name__)


def fit_gate_of(training: Training, *, negatives: Path | None = None) -> GateRecord | None:
    """Write the gate of a training where its recipe has one, and return how it was made; errors as of `train_gate`."""
    settings, graph = training.recipe.gate, training.lung_graph
    if settings is None or graph is None:
        return None
    with training.stage("gate"):
        _, record = train_gate(
            training.train_rows,
            training.stopping_rows,
            graph,
            training.out / GATE_FILE,
            whole_size=training.recipe.preprocessing.read_size,
            settings=settings,
            negatives=negatives,
            progress=training.progress_of("Gate"),
        )
    _log.info("the gate lets %.2f %% of the stopping split through", 100 * record.reached)
    return record


def fit_policy_of(training: Training, logits: NDArray[np.float32]) -> Policy:
    """Return calibration, operating points and bands, fitted on the stopping split's images that would be judged.

    The training's lungs were found and its gate written; logits are float32 ``(n, findings)``, of that split's rows.
    """
    recipe, findings, rows = training.recipe, training.findings, training.stopping_rows
    # What prediction does not judge promises nothing.
    assessable = training.frames.assessable(rows)
    if recipe.gate is not None and training.lung_graph is not None:
        assessable &= accepted_rows(
            read_gate(training.out / GATE_FILE),
            rows,
            training.lung_graph,
            whole_size=recipe.preprocessing.read_size,
            progress=training.progress_of("Asking the gate"),
        )
    judged = rows.filter(pl.Series(assessable))
    return fit_policy(
        logits[assessable],
        labels_of(judged, findings),
        findings,
        recipe.operating_point.rule_for(findings),
        recipe.decisions,
        chosen_on=f"the {recipe.stopping_split} split",
        groups=judged["group"].to_numpy(),
    )
