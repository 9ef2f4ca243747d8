"""What the exported classifier gives beside its logits."""

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from carina.learning.backbone import build_backbone
from carina.learning.export.onnx_export import attach_head, export_backbone
from carina.learning.recipe import BackboneSettings
from carina.runtime.engine import Backend, load_engine
from conftest import tiny_recipe

SIZE = 64


@pytest.mark.parametrize(
    ("taps", "cells"),
    [(("out_relu",), 2), (("block_6_expand_relu", "out_relu"), 8)],
    ids=["one map", "two maps of different size"],
)
@pytest.mark.long
def test_contributions_and_bias_sum_to_the_logits(tmp_path: Path, taps: tuple[str, ...], cells: int) -> None:
    # With two maps the network of `tiny_run`, which is exported once for all tests (tests/quick_training.py).
    keras.utils.set_random_seed(tiny_recipe(tmp_path).training.seed)
    backbone = build_backbone(BackboneSettings(weights="none", alpha=0.35, taps=taps), SIZE).model
    export_backbone(backbone, tmp_path / "backbone.onnx")
    rng = np.random.default_rng(0)
    tensors = rng.uniform(-1, 1, (3, SIZE, SIZE, 3)).astype(np.float32)
    embedding = load_engine(tmp_path / "backbone.onnx").run(tensors)["embedding"]
    assert embedding.shape == (3, backbone.output.shape[-1])
    # The features of a random network vanish with its depth.
    kernel = (rng.normal(size=(embedding.shape[1], 4)) / np.abs(embedding).mean()).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    attach_head(tmp_path / "backbone.onnx", kernel, bias, tmp_path / "classifier.onnx")

    backends: tuple[Backend, ...] = ("openvino", "onnxruntime")
    for backend in backends:
        outputs = load_engine(tmp_path / "classifier.onnx", backend=backend).run(tensors)

        assert list(outputs) == ["logits", "embedding", "contributions"]
        contributions, logits = outputs["contributions"], outputs["logits"]
        assert contributions.shape == (3, cells, cells, 4)
        np.testing.assert_allclose(contributions.sum(axis=(1, 2)) + bias, logits, rtol=1e-4, atol=1e-3)
        assert np.abs(logits - bias).min() > 0.1
        # Of two maps, the coarse one alone would repeat each value in a square.
        assert contributions.std(axis=(1, 2)).min() > 0


@pytest.mark.long
def test_a_cell_contributes_what_its_own_features_weigh(tmp_path: Path) -> None:
    backbone = build_backbone(BackboneSettings(weights="none", alpha=0.35), SIZE).model
    export_backbone(backbone, tmp_path / "backbone.onnx")
    kernel = np.ones((backbone.output.shape[-1], 1), np.float32)
    attach_head(tmp_path / "backbone.onnx", kernel, np.zeros(1, np.float32), tmp_path / "classifier.onnx")
    tensors = np.random.default_rng(1).uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)

    contributions = load_engine(tmp_path / "classifier.onnx").run(tensors)["contributions"]

    maps = keras.Model(backbone.input, backbone.get_layer("out_relu").output)(tensors, training=False)
    expected: NDArray[np.float32] = np.asarray(maps).sum(axis=-1, keepdims=True) / np.prod(maps.shape[1:3])
    np.testing.assert_allclose(contributions, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
