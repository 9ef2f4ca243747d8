"""What comes with Carina: the released model opens, is what it was sealed as, and is used where no other is named."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

from carina.bundles.bundle import GOLDEN_FILE, RELEASED_NAME, open_bundle, open_named_model, released_bundle
from carina.bundles.run_folder import GATE_FILE, KERAS_FILE, LUNGS_FILE, ONNX_FILE, TRAINING_IMAGES_FILE
from carina.bundles.training_images import read_training_images
from carina.bundles.verification import verify_bundle
from carina.datasets.manifest import Dataset
from carina.learning.backbone import build_network
from carina.learning.recipe import BackboneSettings
from carina.learning.train import _write_training_images
from carina.phantoms.phantom import draw_phantom
from carina.radiographs.fingerprint import DETAIL_LENGTH
from carina.radiographs.gate import read_gate
from carina.radiographs.lungs import LungFinder
from carina.radiographs.preprocess import to_tensor
from carina.runtime.engine import Backend, load_engine
from carina.storage.arrays import read_arrays

LARGEST_MEGABYTES = 30
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_it_is_as_it_was_sealed_and_gives_its_golden_answers(backend: Backend) -> None:
    verification = verify_bundle(released_bundle(), backend=backend)

    assert verification.name == RELEASED_NAME
    assert verification.megabytes <= LARGEST_MEGABYTES


def test_it_was_learned_from_training_rows_alone_and_says_what_it_is_for() -> None:
    folder = released_bundle()
    described, _ = open_bundle(folder)
    assert described.findings == ("COVID-19", "Normal", "Viral Pneumonia", "Other opacity")
    assert described.stopping_split == "calibration"
    assert described.recalibration is None
    assert described.preprocessing.crop == "lungs"
    seen = read_training_images(folder / TRAINING_IMAGES_FILE)
    assert seen.with_role("train").sum() == described.images["train"]
    card = (folder / "README.md").read_text("utf-8")
    for part in ("Intended use", "Limits", "Training data", "What it reached", "lungs are blacked out", "diagnosis"):
        assert part in card


def test_its_results_are_of_this_very_model() -> None:
    described, _ = open_bundle(released_bundle())
    for place in ("test", "external-kaggle317", "nih", "external-cohen", "tb-pakistan"):
        content = json.loads((ROOT / "results" / RELEASED_NAME / place / "metrics.json").read_text("utf-8"))
        assert content["model"]["model_sha256"] == described.model_sha256
        assert content["model"]["lungs_sha256"] == described.lungs_sha256
        assert described.gate is not None
        assert content["model"]["gate"]["sha256"] == described.gate.sha256
        assert (
            content["leak_check"]["same_pixels"] + content["leak_check"]["near_duplicates"]
            == (content["leak_check"]["dropped"])
        )


def test_the_changelog_of_the_model_names_everything_that_became_worse() -> None:
    carried = json.loads((ROOT / "results" / "carry_over.json").read_text("utf-8"))
    described, sha256 = open_named_model(released_bundle())
    assert carried["new"] == {"name": RELEASED_NAME, "version": described.version, "sha256": sha256}
    changelog = (ROOT / "models" / "CHANGELOG.md").read_text("utf-8")
    part = changelog.split(f"## {described.version} ")[1].split("\n## ")[0]
    assert [line for line in carried["worse"] if f"- {line}\n" not in part] == []


def test_the_card_says_where_it_was_not_tested() -> None:
    card = (released_bundle() / "README.md").read_text("utf-8")
    assert "## Where it was not tested" in card
    assert "Ages, sexes, devices and projections" in card


def test_its_graphs_give_what_explanations_and_the_gate_need() -> None:
    folder = released_bundle()
    tensors = np.zeros((2, 160, 160, 3), np.float32)
    outputs = load_engine(folder / ONNX_FILE).run(tensors)
    assert {name: values.shape for name, values in outputs.items()} == {
        "logits": (2, 4),
        "embedding": (2, 1280),
        "contributions": (2, 5, 5, 4),
    }
    finder = LungFinder(folder / LUNGS_FILE)
    outputs = finder.engine.run(np.zeros((2, finder.size, finder.size, 3), np.float32))
    assert {name: values.shape for name, values in outputs.items()} == {
        "lung": (2, 96, 96, 1),
        "features": (2, *read_gate(folder / GATE_FILE).centre.shape),
    }


@pytest.mark.parametrize("backend", [pytest.param("openvino", marks=pytest.mark.long), "onnxruntime"])
def test_its_graph_gives_what_its_keras_model_gives(backend: Backend) -> None:
    folder = released_bundle()
    described, _ = open_bundle(folder)
    golden = read_arrays(folder / GOLDEN_FILE)
    films = [
        draw_phantom(finding, seed=seed, size=160).pixels for seed in range(6) for finding in ("Normal", "COVID-19")
    ]
    tensors = to_tensor(np.concatenate([golden["frames"], films]), described.preprocessing.pixel_range)
    model = keras.models.load_model(folder / KERAS_FILE, compile=False)

    of_keras = described.policy.probabilities(np.asarray(model(tensors, training=False)))
    of_graph = described.policy.probabilities(load_engine(folder / ONNX_FILE, backend=backend).run(tensors)["logits"])

    assert np.ptp(of_keras, axis=0).max() > 0.05
    assert np.abs(of_graph - of_keras).max() <= 1e-4


def test_on_radiographs_it_was_measured_to_do_so_too() -> None:
    described, _ = open_bundle(released_bundle())
    measured = json.loads((ROOT / "results" / "precisions.json").read_text("utf-8"))
    assert measured["model"]["sha256"] == described.model_sha256
    assert measured["keras"]["images"] >= 300
    for backend in ("openvino", "onnxruntime"):
        assert measured["keras"][backend]["largest_difference_of_a_probability"] <= 1e-4


def test_its_gate_is_the_one_that_was_measured() -> None:
    described, _ = open_bundle(released_bundle())
    measured = json.loads((ROOT / "results" / "gate.json").read_text("utf-8"))
    assert described.gate is not None
    assert measured["gate_sha256"] == described.gate.sha256


def test_predict_takes_it_where_no_other_is_named(tmp_path: Path) -> None:
    Image.fromarray(draw_phantom("Normal", seed=3, size=320).pixels).save(tmp_path / "phantom.png")

    done = subprocess.run(
        [Path(sys.executable).parent / "carina", "predict", tmp_path / "phantom.png", "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )

    said = json.loads(done.stdout)
    assert said["model"]["name"] == RELEASED_NAME
    assert set(said["probabilities"]) == {"COVID-19", "Normal", "Viral Pneumonia", "Other opacity"}


@pytest.mark.long
def test_a_recipe_can_start_from_it_without_network() -> None:
    network, described, sha256 = build_network(BackboneSettings(weights="carina"), 96)

    assert described == f"the released bundle {RELEASED_NAME}"
    assert sha256 == open_bundle(released_bundle())[1].sums[KERAS_FILE]
    random, _, _ = build_network(BackboneSettings(weights="none"), 96)
    kernel = "block_16_project"
    assert not np.allclose(network.get_layer(kernel).get_weights()[0], random.get_layer(kernel).get_weights()[0])


def test_a_training_that_starts_from_it_remembers_its_images(phantom_dataset: Dataset, tmp_path: Path) -> None:
    rows, stopping = phantom_dataset.rows("train"), phantom_dataset.rows("calibration")
    details = SimpleNamespace(details=lambda some: np.zeros((some.height, DETAIL_LENGTH), np.int8))
    known = {}
    for weights in ("none", "carina"):
        recipe = SimpleNamespace(backbone=BackboneSettings(weights=weights))
        out = tmp_path / weights
        out.mkdir()
        training = SimpleNamespace(out=out, recipe=recipe, data=details, train_rows=rows, stopping_rows=stopping)
        _write_training_images(training)  # type: ignore[arg-type]
        known[weights] = read_training_images(out / TRAINING_IMAGES_FILE)
    released = read_training_images(released_bundle() / TRAINING_IMAGES_FILE)
    assert len(known["none"]) == rows.height + stopping.height
    assert known["carina"].sha256 == known["none"].sha256 + released.sha256
    assert known["carina"].role == known["none"].role + released.role
