"""The last layer of a graph is replaced, and everything else in the file stays as it was."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from carina.bundles.graph_head import GraphHead, read_head, replace_head
from carina.bundles.run_folder import ONNX_FILE
from carina.bundles.verification import Verification
from carina.errors import BundleError
from carina.runtime.engine import load_engine


@pytest.fixture(scope="module")
def graph(tiny_bundle: tuple[Path, Verification]) -> bytes:
    return (tiny_bundle[0] / ONNX_FILE).read_bytes()


def test_the_last_layer_that_is_there_written_again_gives_the_same_graph(graph: bytes) -> None:
    assert onnx.load_from_string(replace_head(graph, read_head(graph))) == onnx.load_from_string(graph)


@pytest.mark.parametrize("findings", [2, 3, 5])
def test_another_last_layer_gives_its_logits_and_contributions(graph: bytes, findings: int, tmp_path: Path) -> None:
    old = read_head(graph)
    rng = np.random.default_rng(findings)
    # Mixed from the old one: features of a random network differ a millionfold in scale.
    kernel = (old.kernel @ rng.normal(size=(old.kernel.shape[1], findings))).astype(np.float32)
    head = GraphHead(kernel, rng.normal(size=findings).astype(np.float32))
    (tmp_path / ONNX_FILE).write_bytes(replace_head(graph, head))
    onnx.checker.check_model(onnx.load(tmp_path / ONNX_FILE), full_check=True)
    size = onnx.load_from_string(graph).graph.input[0].type.tensor_type.shape.dim[1].dim_value
    tensors = rng.uniform(-1, 1, (3, size, size, 3)).astype(np.float32)
    for backend in ("openvino", "onnxruntime"):
        outputs = load_engine(tmp_path / ONNX_FILE, backend=backend).run(tensors)
        expected = outputs["embedding"] @ head.kernel + head.bias
        assert outputs["logits"].shape == (3, findings)
        np.testing.assert_allclose(outputs["logits"], expected, atol=1e-4)
        summed = outputs["contributions"].sum(axis=(1, 2)) + head.bias
        np.testing.assert_allclose(summed, expected, atol=1e-3)


def test_what_is_no_such_graph_is_refused(graph: bytes) -> None:
    with pytest.raises(BundleError, match="has no last layer"):
        read_head(graph.replace(b"head_kernel", b"tail_kernel"))
    with pytest.raises(BundleError, match="graph is damaged"):
        read_head(graph[: len(graph) // 2])
    old = read_head(graph)
    with pytest.raises(BundleError, match="Fit it to the embedding of this model"):
        replace_head(graph, GraphHead(old.kernel[1:], old.bias))
