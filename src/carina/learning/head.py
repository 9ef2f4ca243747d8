"""The linear head, learned on cached embeddings in seconds."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from carina.learning.backbone import regularizer_of
from carina.learning.fitting import EpochReport, History, fit_until_no_better
from carina.learning.loss import build_loss
from carina.learning.pipeline import sample_weights
from carina.learning.recipe import Recipe


def fit_head(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.int64],
    stopping_embeddings: NDArray[np.float32],
    stopping_labels: NDArray[np.int64],
    findings: Sequence[str],
    recipe: Recipe,
    checkpoint: Path,
    *,
    report: EpochReport | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], History]:
    """Return kernel ``(embedding, findings)``, bias ``(findings,)`` and what happened.

    The head is learned on embeddings of mean 0 and variance 1 (the raw ones differ a hundredfold in scale, and one
    learning rate and weight decay would not fit them), and comes back for the raw ones.

    Parameters
    ----------
    embeddings
        float32 ``(1 + views, images, embedding)``.
    labels
        int64 ``(images,)``: indices into `findings`.
    stopping_embeddings, stopping_labels
        float32 ``(n, embedding)`` and int64 ``(n,)``: their loss ends the training.
    findings
        In the order of the logits.
    recipe
        Dropout, weight decay, loss, batch size, patience, seed.
    checkpoint
        Folder to go on from after a kill.
    report
        Told after every epoch.
    """
    views, images, width = embeddings.shape
    mean, scale = _standardisation(embeddings.reshape(-1, width))
    training = recipe.training
    weights = sample_weights(labels, len(findings), training.class_weights)
    flat = (embeddings.reshape(-1, width) - mean) / scale
    flat_labels, flat_weights = np.tile(labels, views), np.tile(weights, views)

    def training_epoch(epoch: int) -> tf.data.Dataset:
        order = np.random.default_rng([training.seed, epoch]).permutation(views * images)
        return _cut(flat[order], flat_labels[order], flat_weights[order], training.batch_size)

    head = keras.Sequential(
        [
            keras.Input((width,)),
            keras.layers.Dropout(recipe.head.dropout, seed=training.seed),
            # Zero weights: every finding starts equally probable, whatever the seed.
            keras.layers.Dense(
                len(findings), kernel_initializer="zeros", kernel_regularizer=regularizer_of(recipe.head), name="logits"
            ),
        ]
    )
    head.compile(
        optimizer=keras.optimizers.Adam(training.learning_rate),
        loss=build_loss(training, findings),
        weighted_metrics=[],
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    stopping_weights = sample_weights(stopping_labels, len(findings), training.class_weights)
    stopping = _cut((stopping_embeddings - mean) / scale, stopping_labels, stopping_weights, training.batch_size)
    history = fit_until_no_better(head, training_epoch, stopping, training, checkpoint, report=report)
    kernel, bias = head.get_layer("logits").get_weights()
    raw_kernel = kernel / scale[:, np.newaxis]
    return raw_kernel, bias - mean @ raw_kernel, history


def _standardisation(flat: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean = flat.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = flat.std(axis=0, dtype=np.float64).astype(np.float32)
    # A feature that never varies tells nothing: it keeps its scale instead of being divided by zero.
    return mean, np.where(spread > 1e-6, spread, np.float32(1.0))


def _cut(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], weights: NDArray[np.float32], batch_size: int
) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((embeddings, labels, weights)).batch(batch_size).prefetch(2)
