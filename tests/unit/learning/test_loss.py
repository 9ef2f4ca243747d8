"""The loss is cross-entropy, plus the expected cost of mistakes where the recipe names one."""

import numpy as np
import pytest

from carina.errors import ConfigurationError
from carina.learning.data.batches import sample_weights
from carina.learning.loss import build_cost_matrix, build_loss
from carina.learning.recipe import TrainingSettings

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")
LOGITS = np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]], dtype=np.float32)
TRUE = np.array([0, 2])
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)


def test_without_costs_it_is_cross_entropy() -> None:
    loss = np.asarray(build_loss(TrainingSettings(), FINDINGS)(TRUE, LOGITS))
    np.testing.assert_allclose(loss, -np.log(PROBABILITIES[[0, 1], TRUE]), rtol=1e-5)


def test_a_cost_adds_its_expectation() -> None:
    training = TrainingSettings(cost_matrix={"COVID-19": {"Normal": 5.0, "Viral Pneumonia": 1.0}}, cost_weight=0.5)
    loss = np.asarray(build_loss(training, FINDINGS)(TRUE, LOGITS))
    expected = -np.log(PROBABILITIES[[0, 1], TRUE])
    # Only the first image is COVID-19; a mistake on the second costs nothing.
    expected[0] += 0.5 * (5.0 * PROBABILITIES[0, 1] + 1.0 * PROBABILITIES[0, 2])
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_an_unpaired_image_teaches_what_it_is_more_than_that_it_is_abnormal() -> None:
    plain = -np.log(PROBABILITIES[[0, 1], TRUE])
    named = -np.log(PROBABILITIES[[0, 1], TRUE] / (1 - PROBABILITIES[:, 1]))
    for share in (0.0, 0.3):
        loss = build_loss(TrainingSettings(), FINDINGS, unpaired=share)
        np.testing.assert_allclose(np.asarray(loss(TRUE, LOGITS)), plain, rtol=1e-5)
        marked = np.asarray(loss(TRUE + np.array([len(FINDINGS), 0]), LOGITS))
        np.testing.assert_allclose(marked, [share * plain[0] + (1 - share) * named[0], plain[1]], rtol=1e-5)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"Flu": {"Normal": 1.0}}, r"names 'Flu', which the data set does not have: COVID-19, Normal, Viral Pneumonia"),
        ({"Normal": {"COVID-19": -1.0}}, r"Normal called COVID-19 costs -1; a right call must cost 0"),
        ({"Normal": {"Normal": 2.0}}, r"Normal called Normal costs 2; a right call must cost 0"),
    ],
)
def test_a_wrong_cost_matrix_is_refused(costs: dict[str, dict[str, float]], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build_cost_matrix(costs, FINDINGS)


def test_balanced_weights_make_every_finding_weigh_the_same() -> None:
    labels = np.array([0] * 2 + [1] * 6 + [2] * 4)
    weights = sample_weights(labels, 3, "balanced")
    np.testing.assert_allclose([weights[labels == i].sum() for i in range(3)], [4.0, 4.0, 4.0])
    assert weights.mean() == pytest.approx(1.0)
    assert (sample_weights(labels, 3, "none") == 1.0).all()
