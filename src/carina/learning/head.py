"""The linear head, learned on cached embeddings in seconds."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from carina.learning.backbone import regularizer_of
from carina.learning.data.batches import sample_weights
from carina.learning.fitting import EpochReport, History, fit_until_no_better
from carina.learning.loss import build_loss
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
    checkpoint, report
        As `fit_until_no_better` takes them.
    """
    views, images, width = embeddings.shape
    mean, scale = _standardisation(embeddings.reshape(-1, width))
    training = recipe.training
    weights = sample_weights(labels, len(findings), training.class_weights)
    # One copy in TensorFlow's memory; an epoch is an order in which its rows are gathered.
    data = (
        tf.constant((embeddings.reshape(-1, width) - mean) / scale),
        tf.constant(np.tile(labels, views)),
        tf.constant(np.tile(weights, views)),
    )

    def training_epoch(epoch: int) -> tf.data.Dataset:
        order = np.random.default_rng([training.seed, epoch]).permutation(views * images)
        return _gathered(data, order, training.batch_size)

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
    stopping_data = (
        tf.constant((stopping_embeddings - mean) / scale),
        tf.constant(stopping_labels),
        tf.constant(stopping_weights),
    )
    stopping = _gathered(stopping_data, np.arange(len(stopping_labels)), training.batch_size)
    history = fit_until_no_better(head, training_epoch, stopping, training, checkpoint, report=report)
    kernel, bias = head.get_layer("logits").get_weights()
    raw_kernel = kernel / scale[:, np.newaxis]
    return raw_kernel, bias - mean @ raw_kernel, history


def _standardisation(flat: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mean = flat.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = flat.std(axis=0, dtype=np.float64).astype(np.float32)
    # A feature that hardly ever varies keeps its place instead of being blown up by its one outlier. The floor is
    # relative, since the features of a random network vanish with its depth and are no less features.
    floor = 0.01 * float(np.median(spread))
    return mean, np.maximum(spread, floor if floor > 0 else 1.0).astype(np.float32)


def _gathered(data: tuple[tf.Tensor, ...], order: NDArray[np.int64], batch_size: int) -> tf.data.Dataset:
    batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
    return batches.map(lambda rows: tuple(tf.gather(values, rows) for values in data)).prefetch(2)
