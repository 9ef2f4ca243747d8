"""Fine-tuning as a run; the two other methods are trained by the end-to-end tests and by what all tests share."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from carina.bundles.run_folder import CHECKPOINT_FOLDER, HISTORY_FILE, KERAS_FILE, ONNX_FILE
from carina.datasets.manifest import Dataset
from carina.learning.finetune import finetune
from carina.learning.recipe import load_recipe
from carina.learning.train import train
from carina.runtime.engine import load_engine

RECIPE = """
name = "tiny"
method = "fine-tune"
[preprocessing]
size = 64
[backbone]
weights = "{weights}"
alpha = 0.35
batch_norm_momentum = 0.5
[head]
dropout = 0.0
[training]
epochs = 2
patience = 2
[fine_tuning]
epoch_images = 32
batch_size = 16
stages = [{{ train_from = "block_16_expand", epochs = 1, learning_rate = 1e-3 }}]
last_layer = {{ ridge = 10.0 }}
"""


def write_weights(path: Path) -> None:
    """Write random weights whose batch-norm statistics fit, so that features do not vanish with depth."""
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, include_top=False, weights=None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(np.random.default_rng(0).uniform(-1, 1, (32, 64, 64, 3)).astype(np.float32), training=True)
    network.save_weights(path)


@pytest.mark.long
def test_a_fine_tuned_run_holds_what_was_tuned(
    phantom_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the C library is told holds for the process, in which other tests measure what is given back.
    monkeypatch.setattr(finetune, "keep_freed_memory", lambda: True)
    weights, recipe = tmp_path / "tiny.weights.h5", tmp_path / "tiny.toml"
    write_weights(weights)
    recipe.write_text(RECIPE.format(weights=weights), encoding="utf-8")
    told: set[str] = set()

    def progress_of(name: str) -> Any:
        return lambda _done, _total: told.add(name)

    out, cache = tmp_path / "run", tmp_path / "cache"
    run = train(phantom_dataset.folder, load_recipe(str(recipe)), out, cache=cache, progress_of=progress_of)
    assert run.epochs == 1
    assert told == {
        "Embedding images",
        "Training the head (epochs)",
        "Fine-tuning (batches)",
        "Embedding images for the last layer",
        "Judging the stopping split",
    }
    assert {"embed", "fit", "fine-tune", "export", "predict the stopping split", "total"} <= set(run.seconds)
    assert len((out / HISTORY_FILE).read_text("utf-8").splitlines()) == 1 + 1
    assert not (out / CHECKPOINT_FOLDER).exists()
    tensors = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    ours = load_engine(out / ONNX_FILE).run(tensors)
    theirs = keras.models.load_model(out / KERAS_FILE, compile=False).predict(tensors, verbose=0)
    np.testing.assert_allclose(ours["logits"], theirs, atol=1e-3)
    # The graph is of the network after its last epoch, and not the cached one of before.
    (cached,) = (cache / "backbones").glob("*.onnx")
    assert np.abs(ours["embedding"] - load_engine(cached).run(tensors)["embedding"]).max() > 1e-3
