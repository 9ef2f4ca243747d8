"""The last layer is fitted again by finding and source: a small source counts, a strong ridge changes nothing."""

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from carina.learning.finetune.finetune import drawing_shares
from carina.learning.finetune.last_layer import refit_last_layer

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(scope="module")
def two_sources() -> tuple[NDArray[np.float32], NDArray[np.int64], pl.DataFrame]:
    """900 images of a source whose findings differ in feature 0, and 40 of one where they differ in feature 1 alone."""
    rng = np.random.default_rng(7)
    counts = {("sick", "large"): 450, ("well", "large"): 450, ("sick", "small"): 20, ("well", "small"): 20}
    embeddings, findings, sources = [], [], []
    for (finding, source), count in counts.items():
        features = rng.normal(size=(count, 4)) * 0.5
        features[:, 0 if source == "large" else 1] += 1.5 if finding == "sick" else -1.5
        embeddings.append(features)
        findings += [finding] * count
        sources += [source] * count
    rows = pl.DataFrame({"finding": findings, "source": sources})
    labels = np.array([finding == "well" for finding in findings], dtype=np.int64)
    return np.concatenate(embeddings).astype(np.float32), labels, rows


@pytest.fixture(scope="module")
def layer() -> Layer:
    """What training on the large source leaves: feature 0 decides."""
    kernel = np.zeros((4, 2), np.float32)
    kernel[0] = (3, -3)
    return kernel, np.zeros(2, np.float32)


def right_in_small(data: tuple[NDArray[np.float32], NDArray[np.int64], pl.DataFrame], layer: Layer) -> float:
    embeddings, labels, rows = data
    small = (rows["source"] == "small").to_numpy()
    return float(((embeddings @ layer[0] + layer[1]).argmax(axis=1) == labels)[small].mean())


def test_a_small_source_counts_when_sources_count_alike(
    two_sources: tuple[NDArray[np.float32], NDArray[np.int64], pl.DataFrame], layer: Layer
) -> None:
    embeddings, labels, rows = two_sources
    fair = refit_last_layer(embeddings, labels, drawing_shares(rows, 0.5, 0.0), layer, 10.0)
    assert right_in_small(two_sources, layer) < 0.7
    assert right_in_small(two_sources, fair) == 1
    # Its largest source is still told apart.
    assert ((embeddings @ fair[0] + fair[1]).argmax(axis=1) == labels).mean() > 0.97


def test_it_solves_its_equation(
    two_sources: tuple[NDArray[np.float32], NDArray[np.int64], pl.DataFrame], layer: Layer
) -> None:
    embeddings, labels, rows = two_sources
    shares, ridge = drawing_shares(rows, 0.0, 0.0), 30.0
    kernel, bias = refit_last_layer(embeddings, labels, shares, layer, ridge)
    logits = embeddings.astype(np.float64) @ kernel + bias
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    error = len(labels) * shares[:, None] * (probabilities - np.eye(2)[labels])
    standard = (embeddings - embeddings.mean(axis=0)) / embeddings.std(axis=0)
    pull = ridge * (kernel - layer[0]) * embeddings.std(axis=0)[:, None]
    np.testing.assert_allclose(standard.T @ error + pull, 0, atol=0.05)
    np.testing.assert_allclose(error.sum(axis=0), 0, atol=0.05)


def test_a_strong_ridge_leaves_the_weights_and_a_constant_feature_is_no_error(
    two_sources: tuple[NDArray[np.float32], NDArray[np.int64], pl.DataFrame], layer: Layer
) -> None:
    embeddings, labels, rows = two_sources
    embeddings = embeddings.copy()
    embeddings[:, 3] = 2.0
    kernel, bias = refit_last_layer(embeddings, labels, drawing_shares(rows, 0.5, 0.0), layer, 1e9)
    np.testing.assert_allclose(kernel, layer[0], atol=1e-4)
    assert np.isfinite(bias).all()


def test_sources_can_be_balanced_apart_from_findings() -> None:
    rows = pl.DataFrame({"finding": ["a"] * 100 + ["b"] * 10, "source": ["x"] * 90 + ["y"] * 10 + ["x"] * 10})
    shares = drawing_shares(rows, 1.0, 0.0)
    assert shares[:100].sum() == pytest.approx(100 / 110)
    assert shares[:90].sum() == pytest.approx(50 / 110)
    np.testing.assert_allclose(drawing_shares(rows, 0.5, 0.5), drawing_shares(rows, 0.5))
