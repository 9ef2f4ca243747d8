"""The search for lungs: what counts as two lungs, their box and share, and the frame that is cut around them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from carina.errors import BundleError
from carina.radiographs.lung_mask import Lungs, lungs_from_probability
from carina.radiographs.lungs import LungFinder
from carina.radiographs.preprocess import Preprocessing, crop_matrix, frame, stretch_table
from make import make_grey

# Of the masks here; a segmenter of another size gives others.
SIDE = 160


def painted(*ellipses: tuple[int, int, int, int]) -> np.ndarray:
    """Return a map of probabilities with an ellipse (x, y, half width, half height) a lung."""
    paper = np.zeros((SIDE, SIDE), np.uint8)
    for x, y, half_width, half_height in ellipses:
        cv2.ellipse(paper, (x, y), (half_width, half_height), 0, 0, 360, 1, cv2.FILLED)
    return paper * np.float32(0.98) + np.float32(0.01)


TWO_LUNGS = ((50, 80, 20, 45), (110, 80, 18, 40))


def lung_box(top: float, left: float, bottom: float, right: float) -> Lungs:
    mask = np.zeros((SIDE, SIDE), np.bool_)
    rows, columns = slice(int(top * 160), int(bottom * 160)), slice(int(left * 160), int(right * 160))
    mask[rows, columns] = True
    return Lungs(mask)


def test_two_lungs_with_box_and_share() -> None:
    lungs = lungs_from_probability(painted(*TWO_LUNGS))
    assert lungs is not None
    np.testing.assert_allclose(lungs.box, (35 / 160, 30 / 160, 126 / 160, 129 / 160))
    assert lungs.share == pytest.approx(np.pi * (20 * 45 + 18 * 40) / 160**2, rel=0.05)


def test_holes_are_filled_and_flecks_dropped() -> None:
    probability = painted(*TWO_LUNGS, (150, 10, 4, 4))
    cv2.circle(probability, (50, 80), 8, 0.0, cv2.FILLED)
    lungs = lungs_from_probability(probability)
    assert lungs is not None
    assert lungs.mask[80, 50]
    assert not lungs.mask[10, 150]


@pytest.mark.parametrize(
    "ellipses",
    [(), (TWO_LUNGS[0],), (TWO_LUNGS[0], (110, 80, 4, 4)), ((80, 80, 78, 78),), ((80, 80, 4, 4), (20, 20, 5, 5))],
    ids=["nothing", "one lung", "one lung and a fleck", "all of it", "two flecks"],
)
def test_no_two_lungs_is_the_answer(ellipses: tuple[Any, ...]) -> None:
    assert lungs_from_probability(painted(*ellipses)) is None


def bridged(rows: slice) -> np.ndarray:
    probability = painted(*TWO_LUNGS)
    probability[rows, 50:110] = 0.99
    return probability


@pytest.mark.parametrize("rows", [slice(60, 69), slice(45, 48), slice(120, 124)], ids=["thin", "thinner", "below"])
def test_lungs_that_a_bridge_joins_are_parted(rows: slice) -> None:
    lungs = lungs_from_probability(bridged(rows))
    assert lungs is not None
    assert not lungs.mask[rows, 79].any()
    np.testing.assert_allclose(lungs.box, (35 / 160, 30 / 160, 126 / 160, 129 / 160), atol=0.02)


def test_a_bar_along_the_edge_is_a_bridge_too() -> None:
    probability = painted((50, 110, 20, 45), (110, 110, 18, 45))
    probability[152:] = 0.99
    lungs = lungs_from_probability(probability)
    assert lungs is not None
    assert not lungs.mask[159, :25].any()


def test_what_is_joined_broadly_is_one() -> None:
    assert lungs_from_probability(bridged(slice(60, 80))) is None


@pytest.fixture
def bright_is_lung(tmp_path: Path) -> Path:
    """Return a graph whose probability of lung is the mean grey value in [0, 1]."""
    size = SIDE
    tensor = helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["n", size, size, 3])
    lung = helper.make_tensor_value_info("lung", TensorProto.FLOAT, ["n", size, size, 1])
    weights = numpy_helper.from_array(np.full((3, 1), 1 / 6, np.float32), "weights")
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    nodes = [helper.make_node("MatMul", ["tensor", "weights"], ["mean"])]
    nodes.append(helper.make_node("Add", ["mean", "half"], ["lung"]))
    graph = helper.make_graph(nodes, "bright", [tensor], [lung], [weights, half])
    path = tmp_path / "lungs.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def test_finder_answers_in_order_one_by_one_as_in_batches(bright_is_lung: Path) -> None:
    finder = LungFinder(bright_is_lung)
    bright = np.rint(255 * painted(*TWO_LUNGS)).astype(np.uint8)
    images = [bright, np.zeros((90, 40), np.uint8), cv2.resize(bright, (300, 410))]
    batched = [lungs for batch in finder.stream([images[:2], [], images[2:]]) for lungs in batch.lungs]
    single = [lungs for batch in finder.stream([[image] for image in images]) for lungs in batch.lungs]
    assert [lungs is None for lungs in batched] == [False, True, False]
    for one, other in zip(batched, single, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_allclose(batched[0].box, batched[2].box, atol=0.02)


def test_the_size_is_the_graphs_own(bright_is_lung: Path, tmp_path: Path) -> None:
    assert LungFinder(bright_is_lung).size == SIDE
    assert LungFinder(bright_is_lung, backend="onnxruntime").size == SIDE
    wide = onnx.load(bright_is_lung)
    wide.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2 * SIDE
    wide.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 2 * SIDE
    onnx.save(wide, tmp_path / "wide.onnx")
    for backend in ("openvino", "onnxruntime"):
        with pytest.raises(BundleError, match="takes no square image"):
            LungFinder(tmp_path / "wide.onnx", backend=backend)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_the_graph_of_something_else_is_refused(bright_is_lung: Path, tmp_path: Path, backend: str) -> None:
    graph = onnx.load(bright_is_lung)
    graph.graph.output[0].name = graph.graph.node[-1].output[0] = "logits"
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(BundleError, match=r"model\.onnx is no lung segmenter: it has no output 'lung'.*lungs\.onnx"):
        LungFinder(tmp_path / "model.onnx", backend=backend)


def test_missing_segmenter_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"There is no file .*\. Name the lungs\.onnx of a run or a bundle"):
        LungFinder(tmp_path / "lungs.onnx")
    (tmp_path / "lungs.onnx").touch()
    with pytest.raises(BundleError, match=r"is a folder\. Name the file: .*lungs\.onnx"):
        LungFinder(tmp_path)


def test_frame_shows_the_box_and_nothing_else() -> None:
    whole = np.full((224, 224), 9, np.uint8)
    whole[56:168, 28:140] = make_grey(3, (112, 112))
    preprocessing = Preprocessing(size=112, crop="lungs", crop_margin=0.0)
    cut = frame(whole, lung_box(0.25, 0.125, 0.75, 0.625), preprocessing)
    np.testing.assert_array_equal(cut, whole[56:168, 28:140])


def test_margin_is_a_share_of_the_box_and_stays_within_the_image() -> None:
    preprocessing = Preprocessing(size=160, whole_size=160, crop="lungs", crop_margin=0.1)
    inside = crop_matrix(lung_box(0.2, 0.2, 0.7, 0.7), preprocessing)
    corners = np.array([[0.15 * 160 - 0.5, 0.15 * 160 - 0.5, 1], [0.75 * 160 - 0.5, 0.75 * 160 - 0.5, 1]])
    np.testing.assert_allclose(corners @ inside.T, [[-0.5, -0.5], [159.5, 159.5]], atol=1e-9)
    at_the_rim = crop_matrix(lung_box(0.0, 0.0, 1.0, 1.0), preprocessing)
    np.testing.assert_allclose(at_the_rim, [[1, 0, 0], [0, 1, 0]], atol=1e-9)


def test_without_lungs_the_whole_image_is_shown() -> None:
    whole = make_grey(1, (224, 224))
    np.testing.assert_array_equal(frame(whole, None, Preprocessing(crop="lungs")), whole)
    np.testing.assert_array_equal(frame(whole, lung_box(0.2, 0.2, 0.7, 0.7), Preprocessing()), whole)


@pytest.mark.parametrize(("scale", "offset"), [(0.5, 20), (0.35, 100), (1.0, 0)])
def test_stretch_takes_out_brightness_and_contrast(scale: float, offset: int) -> None:
    whole = make_grey(2, (224, 224))
    preprocessing = Preprocessing(stretch=(1, 99))
    altered = np.rint(whole * scale + offset).astype(np.uint8)
    difference = frame(whole, None, preprocessing).astype(int) - frame(altered, None, preprocessing)
    assert np.abs(difference).max() <= 1 + 2 / scale


def test_stretch_leaves_a_flat_image_flat() -> None:
    table = stretch_table(np.full((20, 20), 77, np.uint8), (1, 99))
    assert table[77] == 0.0
    assert table[78] == pytest.approx(1 / 8)


@pytest.mark.parametrize("stretch", [(99, 1), (5, 5), (-1, 50), (1, 101)])
def test_percentiles_that_make_no_sense_are_refused(stretch: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match="two percentiles are needed"):
        Preprocessing(stretch=stretch)
