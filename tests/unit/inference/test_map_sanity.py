"""The map shows the head that was learned, and not the image alone.

Source: Adebayo et al. 2018, "Sanity checks for saliency maps", doi:10.48550/arXiv.1810.03292: of several kinds of maps
some stayed the same when the network's weights were exchanged for random ones, so that they cannot explain a network.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from scipy.stats import spearmanr

from carina.bundles.run_folder import ONNX_FILE
from carina.datasets.manifest import Dataset
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.radiographs.preprocess import frame, resize_grey, to_tensor
from carina.radiographs.read import read_radiograph
from carina.runtime.engine import load_engine

HEADS = 40


@pytest.fixture(scope="module")
def tensors(tiny_run: Path, phantom_dataset: Dataset) -> np.ndarray:
    preprocessing = Predictor(tiny_run).run.preprocessing
    paths = phantom_dataset.rows("test").head(6)["path"]
    wholes = [resize_grey(read_radiograph(Path(path)), preprocessing.read_size) for path in paths]
    return to_tensor(np.stack([frame(whole, None, preprocessing) for whole in wholes]), preprocessing.pixel_range)


def maps(graph: onnx.ModelProto, path: Path, tensors: np.ndarray, change: object = None) -> np.ndarray:
    """Contributions over the mean of all findings, (images, rows, columns, findings), after a change of the head."""
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    for weights in changed.graph.initializer:
        if weights.name.startswith(("head_kernel", "cell_kernel")) and change is not None:
            weights.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weights)), weights.name))  # type: ignore[operator]
    onnx.save(changed, path)
    contributions = load_engine(path, backend="onnxruntime").run(tensors)["contributions"]
    return contributions - contributions.mean(axis=-1, keepdims=True)


def correlations(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation over the cells, of each image and finding."""
    pairs = (
        (one[..., k].ravel(), other[..., k].ravel())
        for one, other in zip(ones, others, strict=True)
        for k in range(one.shape[-1])
    )
    return np.array([spearmanr(*pair).statistic for pair in pairs])


def test_a_random_head_gives_an_unrelated_map(tiny_run: Path, tensors: np.ndarray, tmp_path: Path) -> None:
    graph = onnx.load(tiny_run / ONNX_FILE)
    learned = maps(graph, tmp_path / "learned.onnx", tensors)
    assert learned.shape[1] * learned.shape[2] >= 64
    np.testing.assert_allclose(correlations(learned, maps(graph, tmp_path / "same.onnx", tensors)), 1.0)
    rng = np.random.default_rng(4)
    found = [
        correlations(
            learned,
            maps(
                graph,
                tmp_path / "random.onnx",
                tensors,
                lambda kernel: (rng.normal(size=kernel.shape) * kernel.std(axis=0)).astype(np.float32),
            ),
        )
        for _ in range(HEADS)
    ]
    # A map that showed the image alone, such as its edges, would correlate with 1 under every head. A single random
    # head's may correlate either way, since neighbouring cells are alike; over heads it is nothing.
    assert abs(np.mean(found)) < 0.15
    assert np.median(np.abs(found)) < 0.6
    # A head that was changed a little, on the other hand, has nearly the same map: the measure can tell.
    near = maps(graph, tmp_path / "near.onnx", tensors, lambda kernel: kernel + np.float32(0.02) * kernel.std(axis=0))
    assert correlations(learned, near).min() > 0.9


def test_contributions_and_bias_are_the_logits_of_the_very_prediction(tiny_run: Path, phantom_dataset: Dataset) -> None:
    graph = onnx.load(tiny_run / ONNX_FILE)
    (bias,) = (numpy_helper.to_array(w) for w in graph.graph.initializer if w.name == "head_bias")
    predictor = Predictor(tiny_run)
    paths = [Path(path) for path in phantom_dataset.rows("test").head(20)["path"]]
    for prediction in predictor.predict(paths, explain=True):
        assert isinstance(prediction, Prediction)
        why = prediction.explanation
        assert why is not None
        np.testing.assert_allclose(why.contributions.sum(axis=(0, 1)) + bias, why.logits, atol=1e-3)
        probabilities = predictor.run.policy.probabilities(why.logits[np.newaxis])[0]
        np.testing.assert_allclose(probabilities, list(prediction.probabilities.values()), atol=1e-6)
        assert why.lungs_fill is None
