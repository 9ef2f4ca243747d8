"""The predicting way: the same answer as Keras, one by one or in bulk, on either engine, without TensorFlow."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from carina.bundles.run_folder import KERAS_FILE, ONNX_FILE, RECIPE_FILE
from carina.bundles.verification import Verification
from carina.datasets.manifest import Dataset
from carina.decisions.probabilities import softmax
from carina.errors import BundleError
from carina.inference.prediction import FailedPrediction, Prediction
from carina.inference.predictor import Predictor
from carina.learning.data.batches import build_batches
from carina.learning.data.frames import Frames
from carina.learning.recipe import load_recipe
from carina.radiographs.preprocess import frame, resize_grey, to_tensor
from carina.radiographs.read import read_radiograph
from carina.runtime.engine import load_engine


@pytest.fixture(scope="module")
def test_paths(phantom_dataset: Dataset) -> list[Path]:
    return [Path(path) for path in phantom_dataset.rows("test")["path"]]


@pytest.fixture(scope="module")
def tensors(phantom_dataset: Dataset, tiny_run: Path) -> np.ndarray:
    """float32 (n, size, size, 3): the test split as training's tf.data gives it."""
    recipe = load_recipe(str(tiny_run / RECIPE_FILE))
    rows = phantom_dataset.rows("test")
    frames = Frames(recipe.preprocessing, None, tiny_run)
    batches = build_batches(rows, recipe, phantom_dataset.description.findings, frames)
    return np.concatenate([tensor.numpy() for tensor, _, _ in batches])


def test_tf_data_and_serving_see_the_same_pixels(test_paths: list[Path], tensors: np.ndarray, tiny_run: Path) -> None:
    preprocessing = Predictor(tiny_run).run.preprocessing
    wholes = [resize_grey(read_radiograph(path), preprocessing.read_size) for path in test_paths]
    served = to_tensor(np.stack([frame(whole, None, preprocessing) for whole in wholes]), preprocessing.pixel_range)
    np.testing.assert_allclose(served, tensors, atol=1e-6)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.long
def test_engines_give_the_logits_of_keras(tensors: np.ndarray, tiny_run: Path, backend: str) -> None:
    classifier = keras.models.load_model(tiny_run / KERAS_FILE, compile=False)
    expected = np.asarray(classifier(tensors))
    logits = load_engine(tiny_run / ONNX_FILE, backend=backend).run(tensors)["logits"]
    np.testing.assert_allclose(softmax(logits), softmax(expected), atol=1e-4)
    # The model is not constant, so that the comparison above means something.
    assert np.ptp(softmax(expected), axis=0).max() > 0.05


def test_one_by_one_and_in_bulk_agree(test_paths: list[Path], tiny_run: Path) -> None:
    predictor = Predictor(tiny_run)
    bulk = list(predictor.predict(test_paths))
    single = [next(iter(predictor.predict([path]))) for path in test_paths]
    for one, other in zip(bulk, single, strict=True):
        assert isinstance(one, Prediction)
        assert isinstance(other, Prediction)
        assert (one.path, one.sha256, one.finding) == (other.path, other.sha256, other.finding)
        np.testing.assert_allclose(list(one.probabilities.values()), list(other.probabilities.values()), atol=1e-5)
        assert sum(one.probabilities.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("bad_at", [(0,), (15, 16), tuple(range(16)), (39,), tuple(range(16, 32)), tuple(range(40))])
def test_bad_files_keep_their_place_and_the_rest_goes_on(
    test_paths: list[Path], tiny_run: Path, tmp_path: Path, bad_at: tuple[int, ...]
) -> None:
    good = (test_paths * 4)[:40]
    paths = [tmp_path / f"missing-{i}.png" if i in bad_at else path for i, path in enumerate(good)]
    predictions = list(Predictor(tiny_run).predict(paths))
    assert [prediction.path for prediction in predictions] == paths
    failed = [i for i, prediction in enumerate(predictions) if isinstance(prediction, FailedPrediction)]
    assert tuple(failed) == bad_at
    shas = {p.path: p.sha256 for p in predictions if isinstance(p, Prediction)}
    alone = {p.path: p.sha256 for p in Predictor(tiny_run).predict(list(shas)) if isinstance(p, Prediction)}
    assert shas == alone


def test_nothing_to_predict_is_no_error(tiny_run: Path) -> None:
    assert list(Predictor(tiny_run).predict([])) == []


def test_paths_are_read_as_they_are_needed(test_paths: list[Path], tiny_run: Path) -> None:
    taken = 0

    def endless() -> Iterator[Any]:
        nonlocal taken
        while True:
            taken += 1
            yield test_paths[0]

    predictions = Predictor(tiny_run).predict(endless())
    for _ in range(50):
        next(predictions)
    assert taken < 50 + 10 * 16
    predictions.close()


def test_a_changed_model_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    for path in tiny_run.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / ONNX_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / ONNX_FILE).write_bytes(content)
    with pytest.raises(BundleError, match=r"model.onnx is not the graph that this model came with"):
        Predictor(tmp_path)
    (tmp_path / ONNX_FILE).unlink()
    with pytest.raises(BundleError, match=r"missing or was changed"):
        Predictor(tmp_path)


# What training, tables, workbooks, statistics and plots need, and predicting does not.
_BLOCKED = (
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "matplotlib",
    "sklearn",
    "polars",
    "openpyxl",
    "scipy",
    "kagglehub",
    "openvino",
    "jinja2",
    "markupsafe",
    "jpeg_ls",
    "requests",
    "highdicom",
    "pynetdicom",
)
_BLOCK = f"import sys\nfor name in {_BLOCKED!r}:\n    sys.modules[name] = None\n"


def test_it_runs_without_what_others_need(test_paths: list[Path], tiny_run: Path) -> None:
    program = (
        f"{_BLOCK}"
        f"sys.argv = ['carina', 'predict', {str(test_paths[0])!r}, '--run', {str(tiny_run)!r}, '--json']\n"
        "from carina.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["finding"] in ("COVID-19", "Normal", "Viral Pneumonia")


def test_the_whole_predicting_way_runs_without_what_others_need(
    test_paths: list[Path], tiny_bundle: tuple[Path, Verification], tmp_path: Path
) -> None:
    """From a bundle to the notebook: explained, drawn, resumed, at a stated prevalence; the rest names its extra."""
    predict = ["predict", str(test_paths[0]), "--bundle", str(tiny_bundle[0]), "--explain", str(tmp_path / "pictures")]
    predict += ["--resume", str(tmp_path / "rows.csv"), "--prevalence", "0.1"]
    typed = [predict, ["--help"], ["compare", "one", "other"], ["train", "mine", "--out", "run"]]
    program = (
        f"{_BLOCK}"
        "import carina\n"
        f"model = carina.load_bundle({str(tiny_bundle[0])!r})\n"
        f"found = model.predict([{str(test_paths[0])!r}, 'gone.png'], explain=True, prevalence=0.1)\n"
        "assert 'data:image/png' in found[0]._repr_html_()\n"
        "assert 'not judged' in found._repr_html_()\n"
        "assert model._for_one.engine.name.startswith('ONNX Runtime')\n"
        "assert model.verify().checks[0].engine.startswith('ONNX Runtime')\n"
        "def refused(call):\n"
        "    try:\n"
        "        call()\n"
        "    except carina.CarinaError as error:\n"
        "        return str(error)\n"
        "wanted = 'needs polars. Install it with: pip install \"carina-cxr[{}]\"'.format\n"
        "assert refused(lambda: carina.evaluate) == 'carina.evaluate ' + wanted('evaluate')\n"
        "assert refused(lambda: carina.train) == 'carina.train ' + wanted('train')\n"
        "assert refused(lambda: found.to_polars()) == 'to_polars ' + wanted('evaluate')\n"
        "assert refused(lambda: model.recalibrate('x', 'y')) == 'Model.recalibrate ' + wanted('evaluate')\n"
        "from carina.cli import main\n"
        f"for typed in {typed!r}:\n"
        "    sys.argv = ['carina', *typed]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as stop:\n"
        "        print('exit code', stop.code, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert re.findall(r"exit code (\d)", said) == ["0", "0", "2", "2"], said
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 2
    assert len(list((tmp_path / "pictures").iterdir())) == 1
    for verb, extra in {"data": "evaluate", "recalibrate": "evaluate", "train": "train", "demo": "train"}.items():
        assert f'carina {verb} needs polars. Install it with: pip install "carina-cxr[{extra}]"' in said
    # A verb that needs an extra does not hide the others.
    assert "Check that a bundle is whole and works on this machine." in said
    assert 'carina: carina compare needs polars. Install it with: pip install "carina-cxr[evaluate]"' in said


def test_no_room_but_learning_knows_tensorflow() -> None:
    program = (
        "import sys, pkgutil, importlib, carina\n"
        "for name in ('tensorflow', 'keras', 'tf2onnx', 'onnx'):\n"
        "    sys.modules[name] = None\n"
        # Nor does the process of the worklist's pages begin with what only some pages compute with.
        "import carina.service.web.app\n"
        "assert not {'scipy', 'polars', 'onnxruntime', 'openvino', 'pynetdicom'} & set(sys.modules)\n"
        "for module in pkgutil.walk_packages(carina.__path__, 'carina.'):\n"
        "    if (not module.name.startswith('carina.learning.') or module.name == 'carina.learning.recipe')"
        # Alembic alone can run it.
        " and module.name != 'carina.service.database.migrations.env':\n"
        "        importlib.import_module(module.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
