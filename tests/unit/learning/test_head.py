"""The head is learned on standardised embeddings and comes back for raw ones."""

from pathlib import Path

import numpy as np
import pytest

from carina.learning.head import _standardisation, fit_head
from carina.learning.recipe import Recipe
from conftest import tiny_recipe

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1], 60)
# One telling feature, vanishingly small beside a large one that tells nothing, and one that never varies.
EMBEDDINGS = np.stack(
    [1e-7 * (LABELS + 0.2 * RNG.normal(size=120)), 1e-7 * RNG.normal(size=120), 50 + 0 * LABELS], axis=1
).astype(np.float32)


def fit(folder: Path, embeddings: np.ndarray = EMBEDDINGS) -> tuple[np.ndarray, np.ndarray]:
    tiny = tiny_recipe(folder)
    training = tiny.training.model_copy(update={"epochs": 60, "learning_rate": 0.05, "patience": 60})
    recipe: Recipe = tiny.model_copy(update={"training": training})
    kernel, bias, _ = fit_head(
        embeddings[np.newaxis], LABELS, embeddings, LABELS, ("a", "b"), recipe, folder / "checkpoint"
    )
    return kernel, bias


@pytest.mark.graphs
@pytest.mark.long
def test_a_tiny_feature_is_learned_and_the_kernel_is_for_raw_embeddings(tmp_path: Path) -> None:
    kernel, bias = fit(tmp_path)
    called = (EMBEDDINGS @ kernel + bias).argmax(axis=1)
    assert (called == LABELS).mean() > 0.95
    assert np.isfinite(kernel).all()


def test_a_nearly_dead_feature_is_not_blown_up_by_an_outlier() -> None:
    embeddings = RNG.normal(size=(1000, 5)).astype(np.float32)
    embeddings[:, 4] *= 1e-6
    mean, scale = _standardisation(embeddings)
    outlier = np.array([0, 0, 0, 0, 1.0], dtype=np.float32)
    assert np.abs((outlier - mean) / scale).max() < 200
    np.testing.assert_allclose(scale[:4], embeddings[:, :4].std(axis=0), rtol=1e-4)


def test_features_that_never_vary_do_no_harm() -> None:
    mean, scale = _standardisation(np.full((10, 3), 7.0, dtype=np.float32))
    np.testing.assert_array_equal(mean, 7.0)
    np.testing.assert_array_equal(scale, 1.0)
