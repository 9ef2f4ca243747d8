"""Epoch after epoch until it does not get better: history, the best weights, and a checkpoint to go on from.

Keras' own callbacks for early stopping and backup keep their state apart and lose one of the two in a restart, so the
loop is here: one file holds weights, optimiser, random state, history and patience, and is replaced as a whole; the
best weights lie beside it under the number of their epoch.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import polars as pl

from carina.errors import BundleError, ConfigurationError
from carina.learning.recipe import TrainingSettings
from carina.progress import Progress
from carina.storage.arrays import read_arrays, write_arrays

HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
EpochReport = Callable[[int, int, "History"], None]


@dataclass
class History:
    """What happened so far.

    Attributes
    ----------
    rows
        An epoch each: `HISTORY_COLUMNS`.
    best_epoch
        The epoch that is kept, counted from 1; 0 before the first.
    best_loss
        Its loss on the stopping split.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = float("inf")

    @property
    def epochs(self) -> int:
        """Return how many epochs are done."""
        return len(self.rows)

    def as_table(self) -> pl.DataFrame:
        """Return one row per epoch."""
        schema = {name: pl.Int64 if name == "epoch" else pl.Float64 for name in HISTORY_COLUMNS}
        return pl.DataFrame(self.rows, schema=schema)


def fit_until_no_better(
    model: keras.Model,
    training_epoch: Callable[[int], Any],
    stopping_data: Any,
    training: TrainingSettings,
    checkpoint: Path,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    extra_state: Sequence[keras.Variable] = (),
    keep: Literal["best", "last"] = "best",
    report: EpochReport | None = None,
) -> History:
    """Train a compiled model in place and leave it with the weights of its best epoch.

    Parameters
    ----------
    model
        Compiled, with the metric ``accuracy``.
    training_epoch
        Gives the training data of an epoch (counted from 0) as ``model.fit`` takes it.
    stopping_data
        The data whose loss ends the training, as ``model.evaluate`` takes it.
    training
        Epochs and patience.
    checkpoint
        A folder. What an earlier, killed call left there is gone on from; at most one epoch is lost.
    callbacks
        For progress within an epoch.
    extra_state
        Variables of callbacks that the next epoch depends on.
    keep
        ``last`` never stops early and keeps the last epoch.
    report
        Told after every epoch: epochs done, epochs at most, history.
    """
    checkpoint.mkdir(parents=True, exist_ok=True)
    model.optimizer.build(model.trainable_variables)
    # Everything that the next epoch depends on: weights, random seeds, the optimiser's moments.
    state = [*model.variables, *model.optimizer.variables, *extra_state]
    history = _restore(state, checkpoint)
    if report is not None and history.rows:
        # A kill may have fallen between the checkpoint and the report of its last epoch.
        report(history.epochs, training.epochs, history)
    for epoch in range(history.epochs, training.epochs):
        if keep == "best" and history.epochs - history.best_epoch >= training.patience:
            break
        started = time.perf_counter()
        fitted = model.fit(
            training_epoch(epoch),
            validation_data=stopping_data,
            epochs=epoch + 1,
            initial_epoch=epoch,
            verbose=0,
            shuffle=False,  # the order is ours; Keras would warn that it cannot shuffle a tf.data.Dataset
            callbacks=list(callbacks),
        )
        figures = {name: float(values[-1]) for name, values in fitted.history.items()}
        row = {"epoch": epoch + 1, "seconds": time.perf_counter() - started}
        row |= {name: figures[name] for name in HISTORY_COLUMNS if name in figures}
        history.rows.append(row)
        if figures["val_loss"] < history.best_loss or (keep == "last" and np.isfinite(figures["val_loss"])):
            history.best_epoch, history.best_loss = epoch + 1, figures["val_loss"]
            weights = {f"weight_{i}": weight for i, weight in enumerate(model.get_weights())}
            write_arrays(_best_file(checkpoint, history), weights)
        _save(state, history, checkpoint)
        for path in checkpoint.glob("best-*.npz"):
            if path != _best_file(checkpoint, history):
                path.unlink()
        if report is not None:
            report(history.epochs, training.epochs, history)
    if not history.best_epoch:
        msg = (
            "The loss on the stopping split was never a number: "
            f"training.learning_rate = {training.learning_rate:g} is too high for this data. Lower it and train again."
        )
        raise ConfigurationError(msg)
    best = read_arrays(_best_file(checkpoint, history))
    model.set_weights([best[f"weight_{i}"] for i in range(len(best))])
    return history


def _best_file(checkpoint: Path, history: History) -> Path:
    # Named by its epoch: a kill between the two files then leaves the weights that the history speaks of.
    return checkpoint / f"best-{history.best_epoch}.npz"


def _save(state: Sequence[keras.Variable], history: History, checkpoint: Path) -> None:
    arrays = {f"state_{i}": np.asarray(variable) for i, variable in enumerate(state)}
    arrays["history"] = np.array(json.dumps(asdict(history)))
    write_arrays(checkpoint / "last.npz", arrays)


def _restore(state: Sequence[keras.Variable], checkpoint: Path) -> History:
    path = checkpoint / "last.npz"
    if not path.is_file():
        return History()
    try:
        arrays = read_arrays(path)
        history = History(**json.loads(str(arrays["history"])))
        for i, variable in enumerate(state):
            variable.assign(arrays[f"state_{i}"])
    except (BundleError, ValueError, KeyError, TypeError) as error:
        msg = f"The checkpoint {path} does not fit ({type(error).__name__}). Delete {checkpoint} to begin again."
        raise BundleError(msg) from None
    return history


class BatchProgress(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells the progress in batches over all epochs, `before` of which were done, of `total` at most."""

    def __init__(self, progress: Progress, batches: int, total: int, before: int = 0) -> None:
        super().__init__()
        self._progress, self._batches, self._total, self._done = progress, batches, total, before
        self._before = before

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras' signature
        """Count from this epoch on."""
        self._done = self._before + epoch * self._batches

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002  # Keras' signature
        """Tell how far it is."""
        self._progress(self._done + batch + 1, self._total)
