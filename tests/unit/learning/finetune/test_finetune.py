"""Fine-tuning: what learns and what does not, what is drawn, what is averaged, and going on after a kill."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import polars as pl
import pytest

from carina.datasets.manifest import Dataset
from carina.errors import ConfigurationError
from carina.learning.backbone import Backbone, build_backbone
from carina.learning.data.frames import Frames
from carina.learning.finetune import finetune as module
from carina.learning.finetune.finetune import WeightAverage, cut_backbone, drawing_shares, fine_tune
from carina.learning.recipe import BackboneSettings, Recipe, load_recipe

RECIPE = """
name = "tiny"
method = "fine-tune"
[preprocessing]
size = 64
[backbone]
weights = "{weights}"
alpha = 0.35
batch_norm_momentum = {momentum}
[head]
dropout = 0.0
[augmentation]
shift = 0.05
contrast = 0.3
[fine_tuning]
epoch_images = 32
batch_size = 16
averaging = 0.5
stages = [
  {{ train_from = "block_15_expand", epochs = 1, learning_rate = 1e-3 }},
  {{ train_from = "block_13_expand", epochs = 2, learning_rate = 1e-3 }},
]
"""


@pytest.fixture(scope="module")
def weights(phantom_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return random weights whose batch-norm statistics fit, so that features do not vanish with depth."""
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, include_top=False, weights=None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5
    tensors = np.random.default_rng(0).uniform(-1, 1, (32, 64, 64, 3)).astype(np.float32)
    for _ in range(8):
        network(tensors, training=True)
    path = tmp_path_factory.mktemp("weights") / "tiny.weights.h5"
    network.save_weights(path)
    return path


@pytest.fixture(autouse=True)
def _other_tests_measure_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the C library is told holds for the process, in which other tests measure what is given back."""
    monkeypatch.setattr(module, "keep_freed_memory", lambda: True)


def recipe_with(folder: Path, weights: Path, momentum: float = 0.5) -> Recipe:
    path = folder / "tiny.toml"
    path.write_text(RECIPE.format(weights=weights, momentum=momentum), encoding="utf-8")
    return load_recipe(str(path))


def tuned(
    dataset: Dataset, recipe: Recipe, checkpoint: Path, *, kill_after: int | None = None
) -> tuple[Backbone, list[np.ndarray]]:
    """Return the backbone after fine-tuning, and the head."""

    class KilledError(Exception):
        pass

    def killer(done: int, _total: int, _history: object) -> None:
        if done == kill_after:
            raise KilledError

    keras.utils.set_random_seed(1)
    backbone = build_backbone(recipe.backbone, 64)
    width = backbone.model.output.shape[1]
    findings = dataset.description.findings
    head = (np.zeros((width, len(findings)), np.float32), np.zeros(len(findings), np.float32))
    frames = Frames(recipe.preprocessing, None, checkpoint)
    rows = (dataset.rows("train"), dataset.rows("calibration"))
    try:
        kernel, bias, history = fine_tune(backbone, head, *rows, findings, frames, recipe, checkpoint, report=killer)
    except KilledError:
        return backbone, []
    assert [row["epoch"] for row in history.rows] == [1, 2, 3]
    return backbone, [kernel, bias]


@pytest.mark.long
def test_a_killed_fine_tuning_goes_on_to_the_same_weights(
    phantom_dataset: Dataset, weights: Path, tmp_path: Path
) -> None:
    recipe = recipe_with(tmp_path, weights)
    untouched = build_backbone(recipe.backbone, 64).model
    whole, head = tuned(phantom_dataset, recipe, tmp_path / "whole")
    # In the middle of the second stage.
    tuned(phantom_dataset, recipe, tmp_path / "killed", kill_after=2)
    resumed, resumed_head = tuned(phantom_dataset, recipe, tmp_path / "killed")
    undisturbed = [*whole.model.get_weights(), *head]
    for one, other in zip(undisturbed, [*resumed.model.get_weights(), *resumed_head], strict=True):
        np.testing.assert_array_equal(one, other)
    # What lies below the deepest stage never changed; what lies above did.
    for before, after in zip(untouched.layers, whole.model.layers, strict=True):
        same = all(np.array_equal(*pair) for pair in zip(before.get_weights(), after.get_weights(), strict=True))
        block = int(before.name.split("_")[1]) if before.name.startswith("block_") else 0
        if before.get_weights() and not before.name.startswith("out_relu"):
            learned = block >= 13 or before.name.startswith("Conv_1")
            assert same != learned, before.name


@pytest.mark.long
def test_batch_norm_statistics_keep_up_with_training(phantom_dataset: Dataset, weights: Path, tmp_path: Path) -> None:
    """With Keras' momentum of 0.999 the network that is judged is not the one that is trained."""

    def lag(momentum: float) -> float:
        folder = tmp_path / str(momentum)
        folder.mkdir()
        backbone, _ = tuned(phantom_dataset, recipe_with(folder, weights, momentum), folder)
        layer = backbone.model.get_layer("Conv_1_bn")
        names = [weight.name for weight in layer.weights]
        trained_on = keras.Model(backbone.model.input, backbone.model.get_layer("Conv_1").output)
        rows = phantom_dataset.rows("train").head(32)
        frames = Frames(recipe_with(folder, weights).preprocessing, None, folder)
        greys = np.stack([frames.grey(*image) for image in rows.select("path", "sha256").iter_rows()])
        maps = np.asarray(trained_on(np.repeat(greys[..., np.newaxis] / 127.5 - 1, 3, axis=-1).astype(np.float32)))
        kept = np.asarray(layer.weights[names.index("moving_mean")])
        return float(np.abs(kept - maps.mean(axis=(0, 1, 2))).mean() / maps.std(axis=(0, 1, 2)).mean())

    assert lag(0.5) < 0.5 * lag(0.999)
    momentum = load_recipe("finetune").backbone.batch_norm_momentum
    settings = load_recipe("finetune").fine_tuning
    assert settings is not None
    assert momentum ** (settings.epoch_images / settings.batch_size) < 1e-3


def test_both_halves_are_the_backbone() -> None:
    keras.utils.set_random_seed(0)
    settings = BackboneSettings(weights="none", alpha=0.35, taps=("block_13_expand_relu", "out_relu"))
    backbone = build_backbone(settings, 64).model
    lower, upper = cut_backbone(backbone, "block_6_expand")
    tensors = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    whole = np.asarray(backbone(tensors))
    np.testing.assert_allclose(np.asarray(upper(lower(tensors))), whole, atol=1e-6 * np.abs(whole).max())
    with pytest.raises(ConfigurationError, match="has no layer 'block_99_expand'"):
        cut_backbone(backbone, "block_99_expand")
    with pytest.raises(ConfigurationError, match="leads past block_14_expand"):
        cut_backbone(backbone, "block_14_expand")


def test_findings_and_sources_are_drawn_by_the_power_of_their_number() -> None:
    rows = pl.DataFrame(
        {
            "finding": ["a"] * 100 + ["b"] * 25,
            "source": ["x"] * 64 + ["y"] * 36 + [None] * 25,
        }
    )
    shares = drawing_shares(rows, 0.5)
    assert shares.sum() == pytest.approx(1)
    assert shares[:100].sum() == pytest.approx(10 / 15)
    assert shares[:64].sum() / shares[64:100].sum() == pytest.approx(8 / 6)
    np.testing.assert_allclose(drawing_shares(rows, 1.0), 1 / 125)
    assert drawing_shares(rows, 0.0)[:100].sum() == pytest.approx(0.5)


def test_the_average_is_judged_and_training_goes_on_from_what_was_trained() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
    average = WeightAverage(model, 0.9)
    data = (np.ones((4, 1), np.float32), np.ones((4, 1), np.float32))
    model.fit(*data, validation_data=data, batch_size=4, epochs=1, verbose=0, callbacks=[average])
    # One step of gradient descent leads to 1; the average keeps 2/11 of where it began.
    assert float(model.get_weights()[0].item()) == pytest.approx(9 / 11)
    assert float(np.asarray(average.shadow[0]).item()) == pytest.approx(1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the GNU C library is told on Linux only")
def test_freed_memory_is_kept() -> None:
    program = """
import numpy as np, resource
from carina.learning.finetune.memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(8 * 2**20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
given_back = faults()
assert keep_freed_memory()
faults()
print(given_back, faults())
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    given_back, kept = (int(word) for word in answer.split())
    assert kept < given_back / 10
