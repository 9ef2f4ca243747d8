"""What may travel in a bundle."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from carina.bundles.safety import (
    last_part,
    require_self_contained,
    require_without_code,
    without_directories,
    without_folders,
)
from carina.errors import BundleError


def graph(path: Path, *, external: bool, in_subgraph: bool = False) -> Path:
    weights = numpy_helper.from_array(np.ones((3, 3), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node],
        "g",
        [value("x", TensorProto.FLOAT, ["n", 3])],
        [value("y", TensorProto.FLOAT, ["n", 3])],
        [weights],
    )
    model = helper.make_model(body)
    if external:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in (("location", "../../etc/passwd"), ("offset", "0")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, text
    path.write_bytes(model.SerializeToString())
    assert len(onnx.load(path, load_external_data=False).graph.initializer) == 1
    return path


def test_a_graph_that_needs_another_file_is_refused(tmp_path: Path) -> None:
    require_self_contained(graph(tmp_path / "whole.onnx", external=False))
    with pytest.raises(BundleError, match=r"parts\.onnx refers to data outside"):
        require_self_contained(graph(tmp_path / "parts.onnx", external=True))


def saved(path: Path, *layers: keras.Layer) -> Path:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), *layers])
    model.save(path)
    return path


def test_a_keras_file_of_plain_layers_is_let_through(tmp_path: Path) -> None:
    require_without_code(saved(tmp_path / "plain.keras", keras.layers.Dropout(0.1)))


def test_a_lambda_layer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"code or layers that are not Keras' own \(Lambda\)"):
        require_without_code(saved(tmp_path / "code.keras", keras.layers.Lambda(lambda x: x)))


def test_a_foreign_class_a_foreign_file_and_no_archive_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "plain.keras")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}

    def rewritten(**changes: bytes) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (files | changes).items():
                archive.writestr(name, content)
        return path

    config = json.loads(files["config.json"])
    config["config"]["layers"][-1]["module"] = "os"
    with pytest.raises(BundleError, match=r"not Keras' own \(os\)"):
        require_without_code(rewritten(**{"config.json": json.dumps(config).encode()}))
    with pytest.raises(BundleError, match=r"holds 'assets/run\.sh'"):
        require_without_code(rewritten(**{"assets/run.sh": b"true"}))
    path.write_bytes(b"nothing")
    with pytest.raises(BundleError, match="is no Keras model"):
        require_without_code(path)


def test_folders_of_the_machine_are_cut_away() -> None:
    given = {"a": ["/home/me/w.h5", "C:\\Users\\me\\w.h5", "~/w.h5"], "b": "50 / 50", "c": 1.5, "d": {"e": "imagenet"}}
    assert without_folders(given) == {"a": ["w.h5", "w.h5", "w.h5"], "b": "50 / 50", "c": 1.5, "d": {"e": "imagenet"}}
    assert last_part("name") == "name"


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("carina train data/x --out=../runs/y --recipe head", "carina train x --out=y --recipe head"),
        ("carina train '/home/Jane Doe/ds' --weights C:\\\\me\\\\w.h5", "carina train ds --weights w.h5"),
        ("carina train 'unfinished /home/me/x", "carina train ''\"'\"'unfinished' x"),
        ("", ""),
    ],
)
def test_a_command_keeps_its_words_and_loses_its_folders(typed: str, kept: str) -> None:
    assert without_directories(typed) == kept
