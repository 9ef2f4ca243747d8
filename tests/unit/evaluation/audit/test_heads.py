"""The solver against scikit-learn's, and how its penalty is chosen."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from carina.errors import DataError
from carina.evaluation.audit.heads import fit_head


def data_of(
    n: int, d: int, k: int, *, seed: int = 3, spread: float = 2.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    labels[:k] = np.arange(k)
    centres = rng.normal(0, 1, (k, d)) * (np.arange(d) < 5)
    # Features of very different size and place, as embeddings are.
    features = (centres[labels] + rng.normal(0, spread, (n, d))) * np.exp(rng.normal(0, 1, d)) + rng.normal(0, 5, d)
    return features.astype(np.float32), labels


@pytest.mark.parametrize(("n", "d", "k"), [(200, 12, 3), (60, 150, 3), (120, 30, 2), (150, 20, 5)])
@pytest.mark.parametrize("l2", [1.0, 0.01, 0.0003])
def test_the_solution_is_that_of_scikit_learn(n: int, d: int, k: int, l2: float) -> None:
    features, labels = data_of(n, d, k)
    head = fit_head(features, labels, features, labels, grid=(l2,))
    scaler = StandardScaler().fit(features.astype(np.float64))
    standard = scaler.transform(features.astype(np.float64))
    judge = LogisticRegression(C=1 / (n * l2), tol=1e-10, max_iter=20000).fit(standard, labels)
    expected = judge.predict_proba(standard)
    if k == 2:
        # Scikit-learn has one column of weights for two classes: half the penalty that two columns pay.
        judge = LogisticRegression(C=2 / (n * l2), tol=1e-10, max_iter=20000).fit(standard, labels)
        expected = judge.predict_proba(standard)
    np.testing.assert_allclose(head.probabilities(features), expected, atol=2e-4)


def test_the_same_input_gives_the_same_head() -> None:
    features, labels = data_of(100, 40, 3)
    one, other = (fit_head(features, labels, features[:30], labels[:30]) for _ in range(2))
    assert np.array_equal(one.kernel, other.kernel)
    assert one.l2 == other.l2


def test_noise_asks_for_a_strong_penalty_and_a_clear_signal_for_a_weak_one() -> None:
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 100)
    noise = rng.normal(size=(200, 60)).astype(np.float32)
    signal = (labels[:, None] + rng.normal(0, 0.1, (200, 60))).astype(np.float32)
    assert fit_head(noise[:100], labels[:100], noise[100:], labels[100:]).l2 >= 0.3
    assert fit_head(signal[:100], labels[:100], signal[100:], labels[100:]).l2 <= 0.001


def test_a_feature_that_never_varies_does_no_harm() -> None:
    features, labels = data_of(80, 6, 3)
    features[:, 2] = 7.0
    changed = features.copy()
    changed[:, 2] += 0.001
    head = fit_head(features, labels, features, labels, grid=(0.01,))
    assert np.isfinite(head.kernel).all()
    np.testing.assert_allclose(head.probabilities(changed), head.probabilities(features), atol=1e-3)


def test_balanced_weights_make_a_rare_class_count() -> None:
    rng = np.random.default_rng(1)
    labels = np.array([0] * 190 + [1] * 10)
    features = (labels[:, None] * 1.0 + rng.normal(0, 1, (200, 3))).astype(np.float32)
    plain = fit_head(features, labels, features, labels)
    balanced = fit_head(features, labels, features, labels, balanced=True)
    called = [(head.probabilities(features).argmax(axis=1) == 1).sum() for head in (plain, balanced)]
    assert called[0] < 10 < called[1]


def test_refusals() -> None:
    features, labels = data_of(20, 3, 2)
    with pytest.raises(DataError, match=r"two classes or more, numbered from 0\. Received: \[0\]"):
        fit_head(features, np.zeros(20, dtype=int), features, labels)
    with pytest.raises(DataError, match=r"Received: \[0, 2\]"):
        fit_head(features, 2 * labels, features, labels)
    with pytest.raises(DataError, match="cannot be chosen on no image"):
        fit_head(features, labels, features[:0], labels[:0])


def test_features_that_say_nothing_give_chance() -> None:
    labels = np.tile([0, 1, 2], 20)
    head = fit_head(np.zeros((60, 5), np.float32), labels, np.zeros((30, 5), np.float32), labels[:30])
    np.testing.assert_allclose(head.probabilities(np.ones((2, 5))), 1 / 3)
