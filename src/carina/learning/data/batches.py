"""A split of a data set becomes batches of tensors (tf.data)."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import tensorflow as tf
from numpy.typing import NDArray

from carina.datasets.manifest import labels_of
from carina.errors import CarinaError
from carina.learning.data.augment import build_augmentation
from carina.learning.data.frames import Frames
from carina.learning.recipe import Recipe
from carina.radiographs.preprocess import scale_and_offset


def sample_weights(labels: NDArray[np.int64], findings: int, class_weights: str) -> NDArray[np.float32]:
    """Return the weight of each image: float32 ``(n,)``, mean 1.

    ``balanced`` makes every finding weigh the same in all; ``none`` every image.
    """
    if class_weights == "none":
        return np.ones(len(labels), dtype=np.float32)
    counts = np.bincount(labels, minlength=findings)
    return np.asarray(len(labels) / (np.count_nonzero(counts) * counts[labels]), dtype=np.float32)


def build_batches(
    rows: pl.DataFrame,
    recipe: Recipe,
    findings: Sequence[str],
    frames: Frames,
    *,
    training_epoch: int | None = None,
    failures: list[CarinaError] | None = None,
) -> tf.data.Dataset:
    """Return batches of (tensor, label, weight) of the rows.

    Parameters
    ----------
    rows
        With the columns path, sha256, finding.
    frames
        What the network is shown; lungs were found for these rows.
    training_epoch
        For training: shuffled and augmented by the seed and this number, so that a resumed training goes on as it
        would have. Without it, in the order of the rows and as they are.
    failures
        Takes the error of an image that cannot be read: TensorFlow hands on only its text.
    """
    labels = labels_of(rows, findings)
    weights = sample_weights(labels, len(findings), recipe.training.class_weights)
    order = np.arange(rows.height)
    if training_epoch is not None:
        order = np.random.default_rng([recipe.training.seed, training_epoch]).permutation(order)
    size = recipe.preprocessing.size

    def read(path: bytes, sha256: bytes) -> NDArray[np.uint8]:
        try:
            return frames.grey(path.decode(), sha256.decode())
        except CarinaError as error:
            if failures is not None:
                failures.append(error)
            raise

    def load(path: tf.Tensor, sha256: tf.Tensor, label: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, ...]:
        grey = tf.numpy_function(read, [path, sha256], tf.uint8)
        grey.set_shape((size, size))
        return tf.cast(grey[..., tf.newaxis], tf.float32), label, weight

    paths, hashes = rows["path"].to_numpy()[order], rows["sha256"].to_numpy()[order]
    batches = (
        tf.data.Dataset.from_tensor_slices((paths.astype(str), hashes.astype(str), labels[order], weights[order]))
        .map(load, num_parallel_calls=2)
        .batch(recipe.training.batch_size)
    )
    if training_epoch is not None:
        seed = int(np.random.default_rng([recipe.training.seed, training_epoch, 1]).integers(2**31 - 3))
        augmentation = build_augmentation(recipe.augmentation, seed=seed)
        if augmentation is not None:
            # One at a time: the layers draw from one random state, whose order a parallel map would not keep.
            batches = batches.map(lambda grey, label, weight: (augmentation(grey, training=True), label, weight))
    scale, offset = scale_and_offset(recipe.preprocessing.pixel_range)

    def to_tensor(grey: tf.Tensor, label: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tf.repeat(grey * np.float32(scale) + np.float32(offset), 3, axis=-1), label, weight

    return batches.map(to_tensor).prefetch(2)
