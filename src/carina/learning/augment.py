"""How training images are varied. Never mirrored: the heart has a side, and so do markers."""

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from carina.learning.recipe import AugmentationSettings


def build_augmentation(settings: AugmentationSettings, *, seed: int) -> keras.Sequential | None:
    """Return the published baseline's layers (rotation, translation, zoom; reflected at the rim), or none.

    They take and give float32 ``(n, height, width, channels)`` of any range.
    """
    layers: list[keras.layers.Layer] = []
    if settings.rotation_turns:
        layers.append(keras.layers.RandomRotation(settings.rotation_turns, seed=seed))
    if settings.shift:
        layers.append(keras.layers.RandomTranslation(settings.shift, settings.shift, seed=seed + 1))
    if settings.zoom:
        layers.append(keras.layers.RandomZoom(settings.zoom, seed=seed + 2))
    return keras.Sequential(layers, name="augmentation") if layers else None


def augmented_view(
    grey: NDArray[np.uint8], settings: AugmentationSettings, *, sha256: str, view: int, seed: int
) -> NDArray[np.uint8]:
    """Return one varied copy of an image: uint8 ``(size, size)``; the same arguments give the same copy.

    Parameters
    ----------
    grey
        uint8 ``(size, size)``.
    settings
        Largest changes.
    sha256
        Of the image: with `view` and `seed` it seeds the draw, so that order and batch do not matter.
    view
        Number of the copy; 0 is the image itself.
    seed
        The recipe's.
    """
    if view == 0:
        return grey
    rng = np.random.default_rng([seed, view, int(sha256[:16], 16)])
    size = grey.shape[0]
    degrees = 360.0 * rng.uniform(-settings.rotation_turns, settings.rotation_turns)
    scale = 1.0 + rng.uniform(-settings.zoom, settings.zoom)
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), degrees, scale)
    matrix[:, 2] += rng.uniform(-settings.shift, settings.shift, size=2) * size
    moved = cv2.warpAffine(grey, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    exponent = np.exp(rng.uniform(-settings.gamma, settings.gamma))
    table = np.rint(255.0 * (np.arange(256) / 255.0) ** exponent).astype(np.uint8)
    return np.asarray(table[moved], dtype=np.uint8)
