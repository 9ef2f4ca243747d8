"""What the network is shown in training: lungs found once, cached, and framed as in prediction."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from carina.datasets.images import read_whole
from carina.datasets.manifest import Dataset
from carina.errors import ConfigurationError, DataError
from carina.learning.data import frames as module
from carina.learning.data.frames import Frames
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.lungs import LungFinder
from carina.radiographs.preprocess import Preprocessing, frame, resize_grey
from carina.radiographs.read import read_radiograph

LUNG_CROP = Preprocessing(size=64, whole_size=96, crop="lungs", stretch=(1, 99))


@pytest.fixture(scope="module")
def dark_is_lung(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a graph that finds lung in the middle of two columns, wherever the image there is dark."""
    size = 160
    columns = np.full((1, size, size, 1), -9.0, np.float32)
    columns[:, 40:120, 30:70] = columns[:, 40:120, 90:130] = 1.0
    tensor = helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["n", size, size, 3])
    lung = helper.make_tensor_value_info("lung", TensorProto.FLOAT, ["n", size, size, 1])
    initial = [numpy_helper.from_array(np.full((3, 1), -1 / 9, np.float32), "dark")]
    initial.append(numpy_helper.from_array(columns, "columns"))
    nodes = [helper.make_node("MatMul", ["tensor", "dark"], ["darkness"])]
    nodes.append(helper.make_node("Add", ["darkness", "columns"], ["lung"]))
    graph = helper.make_graph(nodes, "dark", [tensor], [lung], initial)
    path = tmp_path_factory.mktemp("lungs") / "lungs.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def test_training_is_shown_what_prediction_is_shown(
    phantom_dataset: Dataset, dark_is_lung: Path, tmp_path: Path
) -> None:
    rows = phantom_dataset.rows("test")
    frames = Frames(LUNG_CROP, dark_is_lung, tmp_path)
    assert frames.find_lungs(rows) == 0
    finder = LungFinder(dark_is_lung)
    for path, sha256 in rows.select("path", "sha256").head(5).iter_rows():
        whole = resize_grey(read_radiograph(Path(path)), 96)
        (lungs,) = finder.find([whole]).lungs
        assert lungs is not None
        np.testing.assert_array_equal(frames.grey(path, sha256), frame(whole, lungs, LUNG_CROP))
        assert frames.grey(path, sha256).shape == (64, 64)


def test_lungs_are_found_once(
    phantom_dataset: Dataset, dark_is_lung: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = phantom_dataset.rows("test")
    first = Frames(LUNG_CROP, dark_is_lung, tmp_path)
    first.find_lungs(rows)
    monkeypatch.setattr(module, "LungFinder", None)
    again = Frames(LUNG_CROP, dark_is_lung, tmp_path)
    again.find_lungs(rows.reverse())
    for sha256 in rows["sha256"]:
        one, other = first.lungs_of(sha256), again.lungs_of(sha256)
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.mask, other.mask)


def test_masks_of_another_search_are_not_used(
    phantom_dataset: Dataset, dark_is_lung: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = phantom_dataset.rows("test")
    Frames(LUNG_CROP, dark_is_lung, tmp_path).find_lungs(rows)
    monkeypatch.setattr(module, "SEARCH_VERSION", module.SEARCH_VERSION + 1)
    monkeypatch.setattr(module, "LungFinder", None)
    with pytest.raises(TypeError):  # it searches again, by what is not there
        Frames(LUNG_CROP, dark_is_lung, tmp_path).find_lungs(rows)


@pytest.mark.parametrize("size", [90, 96, 160])
def test_masks_of_any_size_come_back_from_the_cache(size: int) -> None:
    mask = np.random.default_rng(size).random((size, size)) > 0.5
    found = module._unpack(module._pack(Lungs(mask), size))
    assert found is not None
    np.testing.assert_array_equal(found.mask, mask)
    assert module._unpack(module._pack(None, size)) is None


def test_an_image_without_two_lungs_is_counted_and_shown_whole(
    phantom_dataset: Dataset, tmp_path: Path, dark_is_lung: Path
) -> None:
    graph = onnx.load(dark_is_lung)
    (columns,) = (tensor for tensor in graph.graph.initializer if tensor.name == "columns")
    columns.CopyFrom(numpy_helper.from_array(np.full((1, 160, 160, 1), -9.0, np.float32), "columns"))
    onnx.save(graph, tmp_path / "nothing.onnx")
    rows = phantom_dataset.rows("test").head(3)
    frames = Frames(LUNG_CROP, tmp_path / "nothing.onnx", tmp_path)
    assert frames.find_lungs(rows) == rows["sha256"].n_unique()
    path, sha256 = rows.select("path", "sha256").row(0)
    assert frames.lungs_of(sha256) is None
    assert not frames.assessable(rows).any()
    np.testing.assert_array_equal(frames.grey(path, sha256), frame(read_whole(path, sha256, 96), None, LUNG_CROP))


def test_whole_images_need_no_segmenter(phantom_dataset: Dataset, tmp_path: Path) -> None:
    rows = phantom_dataset.rows("test").head(2)
    frames = Frames(Preprocessing(size=64), None, tmp_path)
    assert frames.find_lungs(rows) == 0
    assert frames.lungs_key is None
    assert frames.assessable(rows).all()
    path, sha256 = rows.select("path", "sha256").row(0)
    np.testing.assert_array_equal(frames.grey(path, sha256), read_whole(path, sha256, 64))
    with pytest.raises(ConfigurationError, match="no lung segmenter is named"):
        Frames(LUNG_CROP, None, tmp_path)
    with pytest.raises(DataError, match="is not the image that was imported"):
        frames.grey(path, rows["sha256"][1])
