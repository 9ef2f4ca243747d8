"""The bundle's way: from a run through export and back, the same answers; and nothing altered is ever loaded."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from carina.bundles.bundle import BUNDLE_FILE, CARD_FILE, GOLDEN_FILE, open_bundle, open_model
from carina.bundles.pipeline import load_pipeline
from carina.bundles.run_folder import KERAS_FILE, LUNGS_FILE, ONNX_FILE, RUN_FILE, TRAINING_IMAGES_FILE, open_run
from carina.bundles.verification import Verification, verify_bundle
from carina.bundles.writing import export_bundle
from carina.datasets.importing import import_dataset
from carina.datasets.manifest import Dataset
from carina.errors import BundleError, CarinaError, ConfigurationError, DataError
from carina.evaluation.leaks import check_leaks
from carina.evaluation.recalibrate import recalibrate
from carina.inference.prediction import Prediction
from carina.inference.predictor import Predictor
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.read import read_radiograph
from carina.storage.arrays import read_arrays, write_arrays
from carina.storage.seal import SEAL_FILE, write_seal

FILES = (
    *("README.md", "SHA256SUMS", "bundle.json", "golden.npz", "history.csv", "model.keras", "model.onnx"),
    *("recipe.toml", "training_images.txt"),
)


@pytest.fixture
def bundle(tiny_bundle: tuple[Path, Verification], tmp_path: Path) -> Path:
    """Return a copy that may be altered."""
    return shutil.copytree(tiny_bundle[0], tmp_path / "bundle")


def test_a_bundle_holds_what_it_must_and_says_where_it_comes_from(
    tiny_bundle: tuple[Path, Verification], tiny_run: Path
) -> None:
    folder, verification = tiny_bundle
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    described, seal = open_bundle(folder)
    run = open_run(tiny_run)
    assert (described.name, described.version, described.format) == ("tiny-bundle", "1.2.3", "carina-bundle-1")
    assert isinstance(described.created, datetime)
    assert described.recipe["name"] == run.name == "tiny"
    assert described.policy == run.policy
    assert described.model_sha256 == seal.sums[ONNX_FILE] == run.model_sha256
    assert (folder / CARD_FILE).read_text() == "# tiny-bundle\n"
    assert verification.sha256 == seal.sha256
    # Made by the fastest engine, verified by the other.
    (check,) = verification.checks
    assert (check.engine.split()[0], check.precision) == ("ONNX", "f32")
    assert 0 < check.differences.logit < 1e-3
    assert verification.bytes_of == {path.name: path.stat().st_size for path in folder.iterdir()}
    json.dumps(verification.to_json())


def test_predictions_of_a_bundle_are_those_of_its_run(
    tiny_bundle: tuple[Path, Verification], tiny_run: Path, phantom_dataset: Dataset
) -> None:
    folder, _ = tiny_bundle
    rows = phantom_dataset.rows("test")
    paths = [Path(path) for path in rows["path"]]
    described = open_model(folder)
    assert described.operating_point == open_model(tiny_run).operating_point
    # The judge of a bundle takes the very steps of the predictor of the run.
    wholes = np.stack([resize_grey(read_radiograph(path), described.preprocessing.read_size) for path in paths])
    ours = described.policy.probabilities(load_pipeline(folder, described).judge(wholes).logits)
    predictions = [
        prediction for prediction in Predictor(tiny_run).predict(paths) if isinstance(prediction, Prediction)
    ]
    theirs = np.array([list(prediction.probabilities.values()) for prediction in predictions])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert np.ptp(ours, axis=0).max() > 0.05
    # And it knows what it learned from.
    found, of_run = (check_leaks(model, phantom_dataset, phantom_dataset.rows("train")) for model in (folder, tiny_run))
    assert found.same_pixels == of_run.same_pixels == phantom_dataset.rows("train").height


def test_a_bundle_predicts_where_a_run_does(
    tiny_bundle: tuple[Path, Verification], tiny_run: Path, phantom_dataset: Dataset
) -> None:
    paths = [Path(path) for path in phantom_dataset.rows("test")["path"]]
    both = [list(Predictor(model).predict(paths)) for model in (tiny_bundle[0], tiny_run)]
    for one, other in zip(*both, strict=True):
        assert isinstance(one, Prediction)
        assert isinstance(other, Prediction)
        assert (one.probabilities, one.triage) == (other.probabilities, other.triage)


def test_no_folder_of_the_machine_travels(
    tiny_bundle: tuple[Path, Verification], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, _ = tiny_bundle
    # The data set, the run and this bundle all lie below here.
    private = str(tmp_path_factory.getbasetemp().parent).encode()
    for path in folder.iterdir():
        content = path.read_bytes()
        assert private not in content, path
        assert str(Path.home()).encode() + b"/" not in content, path


def test_a_command_and_a_recipe_with_folders_are_cut(tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    content = json.loads((run / RUN_FILE).read_text())
    content |= {
        "command": "carina train secret/ds --out=/home/jane/run",
        "dataset": "/home/jane/ds",
        "weights": "/home/jane/w.h5",
    }
    (run / RUN_FILE).write_text(json.dumps(content))
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(recipe.replace('weights = "none"', 'weights = "/home/jane/w.h5"'))
    export_bundle(run, tmp_path / "out", name="x", version="1", write_card=lambda b: b.command)
    described, _ = open_bundle(tmp_path / "out")
    assert (described.command, described.dataset) == ("carina train ds --out=run", "ds")
    assert described.recipe["backbone"]["weights"] == "w.h5"
    for path in (tmp_path / "out").iterdir():
        assert b"jane" not in path.read_bytes(), path
        assert b"secret" not in path.read_bytes(), path


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_anywhere_is_refused(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    for place in (0, len(content) // 2, len(content) - 1):
        content[place] ^= 1
        (bundle / name).write_bytes(content)
        with pytest.raises(BundleError, match="Fetch or export" if name == SEAL_FILE else name):
            open_model(bundle)
        content[place] ^= 1
    (bundle / name).write_bytes(content)
    open_model(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=name):
        open_model(bundle)


@pytest.mark.parametrize("name", [name for name in FILES if name != SEAL_FILE])
def test_a_file_taken_out_and_sealed_again_is_missed(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    write_seal(bundle)
    with pytest.raises(BundleError, match=rf"{name} is not sealed, though a bundle needs it"):
        open_model(bundle)


def test_a_file_more_and_a_link_are_refused(bundle: Path) -> None:
    (bundle / "extra.bin").write_bytes(b"")
    with pytest.raises(BundleError, match=r"extra\.bin does not belong to it"):
        open_model(bundle)
    write_seal(bundle)
    with pytest.raises(BundleError, match=r"extra\.bin is no file of a bundle that this version of Carina knows"):
        open_model(bundle)
    (bundle / "extra.bin").unlink()
    write_seal(bundle)
    (bundle.parent / "elsewhere").write_bytes((bundle / ONNX_FILE).read_bytes())
    (bundle / ONNX_FILE).unlink()
    (bundle / ONNX_FILE).symlink_to("../elsewhere")
    with pytest.raises(BundleError, match=r"model\.onnx is a link"):
        open_model(bundle)


def described_with(bundle: Path, change: Callable[[dict], object]) -> Path:  # type: ignore[type-arg]
    """Change what the bundle says of itself, and seal it again, as an attacker or a newer Carina could."""
    content = json.loads((bundle / BUNDLE_FILE).read_text())
    change(content)
    (bundle / BUNDLE_FILE).write_text(json.dumps(content))
    write_seal(bundle)
    return bundle


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told.update(format="carina-bundle-2"), r"format 'carina-bundle-2'.*Install a Carina that knows"),
        (lambda told: told.update(format="carina-run-2"), r"format 'carina-run-2'"),
        (lambda told: told["preprocessing"].update(version=99), r"preprocessing version 99 is not known"),
        (lambda told: told.pop("preprocessing"), r"bundle\.json is no description of a bundle"),
        (lambda told: told.update(unheard=1), r"unheard: Extra inputs are not permitted"),
        (lambda told: told.pop("policy"), r"policy: Field required"),
        (lambda told: told.update(model_sha256="0" * 64), r"describes other graphs than lie there"),
        (lambda told: told["preprocessing"].update(crop="lungs"), r"describes other graphs than lie there"),
        (lambda told: told["tolerances"].update(logit=float("inf")), r"tolerances\.logit"),
    ],
)
def test_a_description_that_is_not_understood_in_full_is_refused(
    bundle: Path, change: Callable[..., Any], said: str
) -> None:
    with pytest.raises(BundleError, match=said):
        open_model(described_with(bundle, change))


def test_a_bundle_of_other_json_is_refused(bundle: Path) -> None:
    for text in ("[]", "null", "{", '{"format": 1}', "\x00"):
        (bundle / BUNDLE_FILE).write_text(text)
        write_seal(bundle)
        with pytest.raises(BundleError, match="no description of a bundle"):
            open_model(bundle)


def test_a_graph_that_refers_to_another_file_is_not_opened(bundle: Path) -> None:
    model = onnx.load(bundle / ONNX_FILE)
    tensor = next(each for each in model.graph.initializer if each.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"
    (bundle / ONNX_FILE).write_bytes(model.SerializeToString())
    sha256 = hashlib.sha256((bundle / ONNX_FILE).read_bytes()).hexdigest()
    with pytest.raises(BundleError, match=r"model\.onnx refers to data outside of the graph"):
        open_model(described_with(bundle, lambda told: told.update(model_sha256=sha256)))


def golden_with(bundle: Path, **changes: object) -> Path:
    write_arrays(bundle / GOLDEN_FILE, read_arrays(bundle / GOLDEN_FILE) | changes)
    write_seal(bundle)
    return bundle


def test_golden_examples_that_are_missed_are_refused(bundle: Path) -> None:
    golden = read_arrays(bundle / GOLDEN_FILE)
    for name, step in (("logits", 0.011), ("probabilities", 0.0011), ("frames", 2)):
        off = golden[name].copy()
        # Towards the middle of the range, since grey levels do not go over 255.
        off[0].flat[0] += np.array(step if float(off[0].flat[0]) < 100 else -step).astype(off.dtype)
        quantity = {"logits": "logit", "probabilities": "probability", "frames": "grey"}[name]
        with pytest.raises(BundleError, match=rf"golden examples are missed by .*\({quantity}\)"):
            verify_bundle(golden_with(bundle, **{name: off}))
        golden_with(bundle, **{name: golden[name]})
    with pytest.raises(BundleError, match=r"missed by inf \(box\)"):
        verify_bundle(golden_with(bundle, boxes=np.zeros_like(golden["boxes"])))
    golden_with(bundle, boxes=golden["boxes"])
    with pytest.raises(BundleError, match=r"missed by inf \(logit\)"):
        verify_bundle(golden_with(bundle, logits=golden["logits"] * np.float32(np.nan)))
    golden_with(bundle, logits=golden["logits"])
    for backend in ("openvino", "onnxruntime"):
        checks = verify_bundle(bundle, backend=backend, precision="f32").checks  # type: ignore[arg-type]
        assert [check.differences.logit < 1e-3 for check in checks] == [True]


def test_golden_examples_of_another_model_and_pickled_ones_are_refused(bundle: Path) -> None:
    golden = read_arrays(bundle / GOLDEN_FILE)
    for changes in (
        {"wholes": golden["wholes"][:, :10]},
        {"logits": golden["logits"][:, :2]},
        {"logits": golden["logits"].astype(np.float64)},
        {"more": np.zeros(1)},
        {name: array[:0] for name, array in golden.items()},
    ):
        with pytest.raises(BundleError, match=r"golden\.npz holds no golden examples of this model"):
            verify_bundle(golden_with(bundle, **changes))
        (bundle / GOLDEN_FILE).unlink()
        write_arrays(bundle / GOLDEN_FILE, golden)
    np.savez(bundle / GOLDEN_FILE, **golden | {"logits": np.array([{"a": print}], dtype=object)})
    write_seal(bundle)
    with pytest.raises(BundleError, match=r"golden\.npz is damaged"):
        verify_bundle(bundle)


def test_another_policy_than_the_golden_one_is_noticed(bundle: Path) -> None:
    def hotter(told: dict) -> None:  # type: ignore[type-arg]
        told["policy"]["calibration"]["scale"] = [2 * scale for scale in told["policy"]["calibration"]["scale"]]

    with pytest.raises(BundleError, match=r"\(probability\)"):
        verify_bundle(described_with(bundle, hotter))


def test_what_must_not_travel_is_refused_at_export_and_at_verification(
    tiny_run: Path, tmp_path: Path, bundle: Path
) -> None:
    (bundle / KERAS_FILE).write_bytes(b"PK")
    write_seal(bundle)
    with pytest.raises(BundleError, match=r"model\.keras is no Keras model"):
        verify_bundle(bundle)
    run = shutil.copytree(tiny_run, tmp_path / "run")
    for name, said in ((KERAS_FILE, "no Keras model"), (TRAINING_IMAGES_FILE, "no training image")):
        content = (run / name).read_bytes()
        (run / name).write_bytes(b"changed")
        with pytest.raises(BundleError, match=said):
            export_bundle(run, tmp_path / "out", name="x", version="1", write_card=lambda b: "")
        (run / name).write_bytes(content)
    (run / ONNX_FILE).write_bytes((run / ONNX_FILE).read_bytes() + b"\x00")
    with pytest.raises(CarinaError):
        export_bundle(run, tmp_path / "out", name="x", version="1", write_card=lambda b: "")
    # Nothing half-made is left behind by any of these.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "run"]


def test_export_refuses_to_overwrite_and_names_that_are_none(
    tiny_run: Path, tiny_bundle: tuple[Path, Verification], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="already exists"):
        export_bundle(tiny_run, tiny_bundle[0], name="x", version="1", write_card=lambda b: "")
    for name, version, which in (("../x", "1", "name"), ("x", "1 / 2", "version"), ("", "1", "name")):
        with pytest.raises(ConfigurationError, match=f"bundle's {which}"):
            export_bundle(tiny_run, tmp_path / "out", name=name, version=version, write_card=lambda b: "")
    with pytest.raises(BundleError, match="is a bundle, not a run"):
        export_bundle(tiny_bundle[0], tmp_path / "out", name="x", version="1", write_card=lambda b: "")


def test_half_a_bundle_is_not_taken_for_a_run(bundle: Path, tiny_run: Path) -> None:
    shutil.copy(tiny_run / RUN_FILE, bundle / RUN_FILE)
    (bundle / SEAL_FILE).unlink()
    with pytest.raises(BundleError, match="nothing says that it is whole"):
        open_model(bundle)


def segmenter(path: Path) -> None:
    """Write a segmenter that finds two lungs, at the same place, in whatever is lighter than darkness."""
    mask = np.zeros((1, 160, 160, 1), np.float32)
    mask[:, 40:120, 30:70] = mask[:, 40:120, 90:130] = 1
    shape = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 160, 160, k])
        for name, k in (("x", 3), ("lung", 1))
    ]
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["lightest"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Greater", ["lightest", "dark"], ["is_light"]),
        helper.make_node("Cast", ["is_light"], ["light"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["light", "mask"], ["lung"]),
    ]
    constants = [numpy_helper.from_array(mask, "mask"), numpy_helper.from_array(np.array([-0.99], np.float32), "dark")]
    graph = helper.make_graph(nodes, "lungs", shape[:1], shape[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@pytest.fixture(scope="module")
def lung_run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("lungs") / "run")
    segmenter(run / LUNGS_FILE)
    content = json.loads((run / RUN_FILE).read_text())
    content["lungs_sha256"] = hashlib.sha256((run / LUNGS_FILE).read_bytes()).hexdigest()
    content["preprocessing"] |= {"crop": "lungs", "whole_size": 96, "stretch": [1, 99]}
    (run / RUN_FILE).write_text(json.dumps(content))
    return run


def test_a_bundle_that_crops_to_the_lungs_takes_its_segmenter_along(
    lung_run: Path, phantom_dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    export_bundle(lung_run, out, name="x", version="1", write_card=lambda b: "")
    described, seal = open_bundle(out)
    assert seal.sums[LUNGS_FILE] == described.lungs_sha256
    golden = read_arrays(out / GOLDEN_FILE)
    assert golden["wholes"].shape[1:] == (96, 96)
    assert golden["frames"].shape[1:] == (64, 64)
    np.testing.assert_allclose(golden["boxes"][0], [40 / 160, 30 / 160, 120 / 160, 130 / 160])
    paths = [Path(path) for path in phantom_dataset.rows("test").head(8)["path"]]
    wholes = np.stack([resize_grey(read_radiograph(path), 96) for path in paths])
    ours = described.policy.probabilities(load_pipeline(out, described).judge(wholes).logits)
    theirs = [list(found.probabilities.values()) for found in Predictor(lung_run).predict(paths)]  # type: ignore[union-attr]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    # Where no lungs are found the whole is shown, and nothing is compared with nothing.
    dark = load_pipeline(out, described).judge(np.zeros((1, 96, 96), np.uint8))
    assert np.isnan(dark.boxes).all()
    (out / LUNGS_FILE).write_bytes((out / LUNGS_FILE).read_bytes() + b"\x00")
    with pytest.raises(BundleError, match=r"lungs\.onnx was changed"):
        open_model(out)
    (out / LUNGS_FILE).unlink()
    write_seal(out)
    with pytest.raises(BundleError, match="describes other graphs than lie there"):
        open_model(out)


def test_images_without_lungs_do_not_recalibrate(lung_run: Path, phantom_dataset: Dataset, tmp_path: Path) -> None:
    export_bundle(lung_run, tmp_path / "bundle", name="x", version="1", write_card=lambda b: "")
    rows = phantom_dataset.rows("test")
    noise = np.random.default_rng(0).integers(0, 2, (96, 96)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "dark.png")
    lines = [f"{path},{finding}" for path, finding in rows.select("path", "finding").rows()]
    (tmp_path / "all.csv").write_text("\n".join(["path,finding", *lines, f"{tmp_path / 'dark.png'},Normal"]))
    dataset = import_dataset(tmp_path / "all.csv", tmp_path / "all", test_only=True).dataset
    done = recalibrate(tmp_path / "bundle", dataset, tmp_path / "new", version="2", write_card=lambda b: "")
    given = rows.height + 1
    assert done.recalibration.left_out_refused == 1
    assert done.recalibration.images == given - 1 - done.recalibration.left_out_leaks
    (tmp_path / "dark.csv").write_text(f"path,finding\n{tmp_path / 'dark.png'},Normal")
    dataset = import_dataset(tmp_path / "dark.csv", tmp_path / "dark", test_only=True).dataset
    with pytest.raises(DataError, match=r"No image of .* would be judged"):
        recalibrate(tmp_path / "bundle", dataset, tmp_path / "newer", version="2", write_card=lambda b: "")


@pytest.mark.long
def test_the_keras_model_is_packed_and_the_same(tiny_run: Path, tiny_bundle: tuple[Path, Verification]) -> None:
    with zipfile.ZipFile(tiny_run / KERAS_FILE) as stored, zipfile.ZipFile(tiny_bundle[0] / KERAS_FILE) as packed:
        assert stored.namelist() == packed.namelist()
        assert all(stored.read(name) == packed.read(name) for name in stored.namelist())
        assert {each.compress_type for each in packed.infolist()} == {zipfile.ZIP_DEFLATED}
    tensors = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    ours, theirs = (
        keras.models.load_model(folder / KERAS_FILE, compile=False).predict(tensors, verbose=0)
        for folder in (tiny_run, tiny_bundle[0])
    )
    np.testing.assert_array_equal(ours, theirs)
