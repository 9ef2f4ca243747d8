"""Training stops when it does not get better, keeps its best epoch, and goes on after a kill as if nothing had been."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from carina.errors import BundleError, ConfigurationError
from carina.learning.fitting import History, fit_until_no_better
from carina.learning.recipe import TrainingSettings

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(64, 5)).astype(np.float32)
LABELS = (INPUTS[:, 0] > 0).astype(np.int64)


def build_model() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dropout(0.5), keras.layers.Dense(2)])
    model.compile(
        optimizer=keras.optimizers.Adam(0.05),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    return model


def epoch_data(epoch: int) -> tf.data.Dataset:
    order = np.random.default_rng(epoch).permutation(64)
    return tf.data.Dataset.from_tensor_slices((INPUTS[order], LABELS[order])).batch(16)


STOPPING = tf.data.Dataset.from_tensor_slices((INPUTS, LABELS)).batch(64)


def fit(model: keras.Model, folder: Path, *, epochs: int = 6, report: Callable[..., Any] | None = None) -> History:
    return fit_until_no_better(
        model, epoch_data, STOPPING, TrainingSettings(epochs=epochs, patience=2), folder, report=report
    )


def without_time(history: History) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]


@pytest.mark.parametrize("killed_after", [1, pytest.param(3, marks=pytest.mark.long)])
def test_a_killed_training_goes_on_as_if_nothing_had_been(tmp_path: Path, killed_after: int) -> None:
    undisturbed = build_model()
    expected = fit(undisturbed, tmp_path / "undisturbed")

    class KilledError(Exception):
        pass

    def kill(done: int, total: int, history: History) -> None:
        if done == killed_after:
            raise KilledError

    with pytest.raises(KilledError):
        fit(build_model(), tmp_path / "killed", report=kill)
    resumed = build_model()
    history = fit(resumed, tmp_path / "killed")
    assert without_time(history) == without_time(expected)
    for one, other in zip(resumed.get_weights(), undisturbed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_finished_training_is_not_trained_further(tmp_path: Path) -> None:
    first = fit(build_model(), tmp_path)
    again = fit(build_model(), tmp_path)
    assert first.rows == again.rows


def test_it_stops_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    losses = iter([0.5, 0.4, 0.6, 0.7, 0.1])
    weights_after: list[np.ndarray] = []
    model = build_model()

    class Planted(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            assert logs is not None
            logs["val_loss"] = next(losses)
            weights_after.append(self.model.get_weights()[0].copy())

    history = fit_until_no_better(
        model, epoch_data, STOPPING, TrainingSettings(epochs=5, patience=2), tmp_path, callbacks=[Planted()]
    )
    assert (history.epochs, history.best_epoch, history.best_loss) == (4, 2, 0.4)
    np.testing.assert_array_equal(model.get_weights()[0], weights_after[1])


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    fit(build_model(), tmp_path, epochs=1)
    (tmp_path / "last.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(BundleError, match=r"last.npz does not fit .* to begin again"):
        fit(build_model(), tmp_path)


def test_a_loss_that_is_never_a_number_is_named(tmp_path: Path) -> None:
    class Diverged(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            assert logs is not None
            logs["val_loss"] = float("nan")

    with pytest.raises(ConfigurationError, match=r"never a number: training.learning_rate = 0.001 is too high"):
        fit_until_no_better(
            build_model(), epoch_data, STOPPING, TrainingSettings(epochs=2), tmp_path, callbacks=[Diverged()]
        )


def test_a_kill_before_the_last_report_is_made_good(tmp_path: Path) -> None:
    fit(build_model(), tmp_path, epochs=3)
    reported: list[int] = []
    fit(build_model(), tmp_path, epochs=3, report=lambda done, total, history: reported.append(done))
    assert reported == [3]
