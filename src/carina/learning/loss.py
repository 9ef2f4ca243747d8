"""The loss: cross-entropy, and the expected cost of mistakes where the recipe names one."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from carina.errors import ConfigurationError
from carina.findings import NORMAL
from carina.learning.recipe import TrainingSettings

Loss = Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]


def build_loss(
    training: TrainingSettings, findings: Sequence[str], *, label_smoothing: float = 0.0, unpaired: float = 1.0
) -> Loss:
    """Return the loss of each image from true findings ``(n,)`` and logits ``(n, findings)``.

    With a cost matrix C it is ``cross-entropy + cost_weight · Σ_j C[true, j] · P(j)``. With label smoothing that share
    of each label is spread evenly over all findings.

    A true finding plus the number of findings marks an abnormal image whose source has no normal images. Cross-entropy
    is ``-log P(abnormal) - log P(finding | abnormal)``; of a marked image the first part counts `unpaired` times.

    Source: Galdran et al., "Cost-Sensitive Regularization for Diabetic Retinopathy Grading from Eye Fundus Images",
    MICCAI 2020, doi:10.1007/978-3-030-59722-1_64.
    """
    costs = None if training.cost_matrix is None else build_cost_matrix(training.cost_matrix, findings)
    abnormal = np.array([place for place, finding in enumerate(findings) if finding != NORMAL])

    def loss(true: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        marked = ops.reshape(ops.cast(true, "int32"), (-1,))
        true = marked % len(findings)
        cross_entropy = ops.sparse_categorical_crossentropy(true, logits, from_logits=True)
        if unpaired < 1:
            log_abnormal = ops.logsumexp(ops.take(logits, abnormal, axis=-1), axis=-1) - ops.logsumexp(logits, axis=-1)
            cross_entropy += ops.cast(marked >= len(findings), logits.dtype) * (1 - unpaired) * log_abnormal
        if label_smoothing:
            spread = -ops.mean(ops.log_softmax(logits), axis=-1)
            cross_entropy = (1 - label_smoothing) * cross_entropy + label_smoothing * spread
        if costs is None:
            return cross_entropy
        expected_cost = ops.sum(ops.take(costs, true, axis=0) * ops.softmax(logits), axis=-1)
        return cross_entropy + training.cost_weight * expected_cost

    return loss


def build_cost_matrix(costs: dict[str, dict[str, float]], findings: Sequence[str]) -> NDArray[np.float32]:
    """Return the costs as float32 ``(findings, findings)``: row true, column called.

    Raises
    ------
    ConfigurationError
        If a finding is unknown, a cost negative, or a right call costs something.
    """
    matrix = np.zeros((len(findings), len(findings)), dtype=np.float32)
    for true, row in costs.items():
        for called, cost in row.items():
            for name in (true, called):
                if name not in findings:
                    msg = (
                        f"training.cost_matrix names {name!r}, which the data set does not have: {', '.join(findings)}."
                    )
                    raise ConfigurationError(msg)
            if cost < 0 or (true == called and cost != 0):
                msg = (
                    f"training.cost_matrix: {true} called {called} costs {cost:g}; a right call must cost 0, a mistake "
                    "0 or more."
                )
                raise ConfigurationError(msg)
            matrix[findings.index(true), findings.index(called)] = cost
    return matrix
