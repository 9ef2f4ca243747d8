"""The lung segmenter: a small U-Net on MobileNetV2's lower blocks, learned from radiographs with lung masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from carina.learning.export.onnx_export import attach_features, export_network
from carina.learning.finetune.memory import keep_freed_memory
from carina.progress import Progress, no_progress
from carina.radiographs.lungs import LUNG_NET_SIZE
from carina.radiographs.preprocess import to_tensor

_ENCODER_END = "block_12_add"
_SKIPS = ("block_6_expand_relu", "block_3_expand_relu")
_DECODER_WIDTHS = (64, 32)
# A quarter of the pixels a side is as fine as the decoder goes: the edge of a lung is smooth.
_LAST_ENLARGED = 4
# Keras' 0.999 would need thousands of steps to forget ImageNet's statistics.
_BATCH_NORM_MOMENTUM = 0.95


@dataclass(frozen=True, slots=True)
class LungTraining:
    """How the segmenter is learned.

    Attributes
    ----------
    passes
        Over all training images, varied each time.
    batch_size, learning_rate
        Of Adam; the rate rises over the first twentieth and then falls to zero along a cosine.
    seed
        Of weights, order and variation.
    """

    passes: int = 90
    batch_size: int = 16
    learning_rate: float = 2e-3
    seed: int = 1234


def build_lung_net(network: keras.Model) -> keras.Model:
    """Return the segmenter: float32 ``(n, 96, 96, 3)`` in [-1, 1] to the probability of lung ``(n, 96, 96, 1)``.

    Parameters
    ----------
    network
        MobileNetV2 without top for that size, with the weights to start from; its lower blocks become the encoder.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _BATCH_NORM_MOMENTUM
    encoder = keras.Model(network.input, [network.get_layer(name).output for name in (_ENCODER_END, *_SKIPS)])
    deepest, *skips = encoder.outputs
    features = deepest
    for i, (width, skip) in enumerate(zip(_DECODER_WIDTHS, skips, strict=True)):
        features = keras.layers.UpSampling2D(interpolation="bilinear", name=f"up_{i}")(features)
        narrowed = _pointwise(skip, width // 2, f"skip_{i}")
        features = keras.layers.Concatenate(name=f"join_{i}")([features, narrowed])
        features = _separable(features, width, f"decode_{i}")
    logits = keras.layers.Conv2D(1, 1, name="lung_logit")(features)
    full_size = keras.layers.UpSampling2D(_LAST_ENLARGED, interpolation="bilinear", name="full_size")(logits)
    probability = keras.layers.Activation("sigmoid", name="lung")(full_size)
    return keras.Model(encoder.input, probability, name="lung_net")


def export_lung_net(model: keras.Model, path: Path) -> None:
    """Write the segmenter as ONNX: outputs ``lung``, and ``features``, which tell what kind of image it is shown.

    ``features`` is float32 ``(n, 3792)``: of the deepest map of the encoder 96 channels x 6 x 6 places, then averages
    over the image of 192 and 144 channels of two earlier maps. They cost nothing, since the search for lungs has them.
    """
    export_network(model, path, output="lung")
    attach_features(path, kept=_ENCODER_END, averaged=_SKIPS)


def features_of(model: keras.Model) -> keras.Model:
    """Return the network from tensor to what ``features`` is in the exported graph."""
    deepest = model.get_layer(_ENCODER_END).output
    parts = [keras.layers.Flatten()(keras.layers.Permute((3, 1, 2))(deepest))]
    parts += [keras.layers.GlobalAveragePooling2D()(model.get_layer(name).output) for name in _SKIPS]
    return keras.Model(model.input, keras.layers.Concatenate()(parts))


def _pointwise(features: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    features = keras.layers.Conv2D(width, 1, padding="same", use_bias=False, name=name)(features)
    features = keras.layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM, name=f"{name}_norm")(features)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(features)


def _separable(features: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    features = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depth")(features)
    features = keras.layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM, name=f"{name}_depth_norm")(features)
    return _pointwise(keras.layers.ReLU(6.0, name=f"{name}_depth_relu")(features), width, name)


def fit_lung_net(
    model: keras.Model,
    greys: Sequence[NDArray[np.uint8]],
    masks: Sequence[NDArray[np.uint8]],
    training: LungTraining,
    *,
    progress: Progress = no_progress,
) -> None:
    """Train the segmenter in place.

    Parameters
    ----------
    greys
        uint8 ``(height, width)`` each, of any size, range [0, 255].
    masks
        uint8 of the same sizes: over 127 where there is lung, hidden behind the heart or not.
    progress
        Told how many batches are done.
    """
    batches = -(-len(greys) // training.batch_size)
    total = batches * training.passes
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, total - total // 20, warmup_target=training.learning_rate, warmup_steps=total // 20
    )
    model.compile(optimizer=keras.optimizers.Adam(schedule), loss=_cross_entropy_and_dice)

    def varied() -> "tf.data.Dataset":
        for i in range(training.passes):
            rng = np.random.default_rng([training.seed, i])
            # Batches of one size, some images twice: TensorFlow would trace the network again for a smaller last one.
            order = np.resize(rng.permutation(len(greys)), batches * training.batch_size)
            for start in range(0, len(order), training.batch_size):
                pairs = [vary(greys[j], masks[j], rng) for j in order[start : start + training.batch_size]]
                lungs = np.stack([mask for _, mask in pairs]).astype(np.float32)[..., np.newaxis]
                yield to_tensor(np.stack([grey for grey, _ in pairs]), "minus-one-one"), lungs

    size = LUNG_NET_SIZE
    data = tf.data.Dataset.from_generator(
        varied,
        output_signature=(
            tf.TensorSpec((None, size, size, 3), tf.float32),
            tf.TensorSpec((None, size, size, 1), tf.float32),
        ),
    ).prefetch(4)
    for done, (tensors, lungs) in enumerate(data, start=1):
        # Every tf.data generator tells the C library otherwise when it is made.
        keep_freed_memory()
        model.train_on_batch(tensors, lungs)
        progress(done, total)


def _cross_entropy_and_dice(truth: tf.Tensor, probability: tf.Tensor) -> tf.Tensor:
    cross_entropy = tf.reduce_mean(keras.losses.binary_crossentropy(truth, probability), axis=(1, 2))
    overlap = tf.reduce_sum(truth * probability, axis=(1, 2, 3))
    both = tf.reduce_sum(truth, axis=(1, 2, 3)) + tf.reduce_sum(probability, axis=(1, 2, 3))
    return cross_entropy + 1.0 - (2.0 * overlap + 1.0) / (both + 1.0)


def vary(
    grey: NDArray[np.uint8], mask: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return one varied copy at the segmenter's size: grey values, and where there is lung.

    Turned, moved, scaled, squeezed and mirrored (a mask has no side, and mirrored films exist); grey values bent; now
    and then a lung is whitened, as by an effusion, while its mask stays, or a rim of another brightness is added.
    """
    size = LUNG_NET_SIZE
    height, width = grey.shape
    scale = size * np.exp(rng.uniform(-0.35, 0.25, size=2) * 0.4 + rng.uniform(-0.35, 0.2))
    turn = np.deg2rad(rng.normal(0, 8) if rng.random() < 0.9 else rng.uniform(-45, 45))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    linear = rotation @ np.diag([mirror * scale[0] / width, scale[1] / height])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = np.full(2, (size - 1) / 2) + rng.uniform(-0.12, 0.12, size=2) * size - linear @ centre
    matrix = np.column_stack([linear, shift])
    rim = float(rng.choice([0.0, 0.0, 0.0, 40.0, 128.0, 255.0]))
    moved = cv2.warpAffine(
        _without_alias(grey, scale), matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=(rim,)
    ).astype(np.float32)
    lung = cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_LINEAR) > 127
    if rng.random() < 0.2:
        moved = _whitened(moved, lung, rng)
    unit = np.clip(moved / 255.0, 0, 1) ** np.exp(rng.uniform(-0.7, 0.7))
    unit = (unit - 0.5) * np.exp(rng.uniform(-0.5, 0.4)) + 0.5 + rng.uniform(-0.2, 0.2)
    unit += rng.normal(0, rng.uniform(0, 0.04), size=unit.shape)
    if rng.random() < 0.3:
        small = int(rng.integers(3 * size // 8, size))
        unit = cv2.resize(cv2.resize(unit, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    return np.clip(np.rint(255.0 * unit), 0, 255).astype(np.uint8), lung


def _without_alias(grey: NDArray[np.uint8], scale: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the image blurred as far as it is about to shrink."""
    shrink = max(grey.shape) / float(scale.mean())
    return grey if shrink <= 1.2 else np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.4 * shrink), dtype=np.uint8)


def _whitened(moved: NDArray[np.float32], lung: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    places = np.argwhere(lung)
    if not len(places):
        return moved
    y, x = places[rng.integers(len(places))]
    size = moved.shape[0]
    cloud = np.zeros_like(moved)
    axes = (int(size * rng.uniform(0.08, 0.25)), int(size * rng.uniform(0.12, 0.4)))
    cv2.ellipse(cloud, (int(x), int(y)), axes, float(rng.uniform(-20, 20)), 0, 360, (1.0,), -1)
    cloud = cv2.GaussianBlur(cloud, (0, 0), float(size * rng.uniform(0.0125, 0.05))) * rng.uniform(0.5, 1.0)
    return np.asarray(moved * (1 - cloud) + rng.uniform(170, 245) * cloud, dtype=np.float32)


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return twice the overlap over the sum of both areas, 0 to 1; 1 where both are empty.

    Source: Dice, "Measures of the amount of ecologic association between species", Ecology 26, 1945.
    """
    both = int(found.sum()) + int(truth.sum())
    return 2.0 * int((found & truth).sum()) / both if both else 1.0
