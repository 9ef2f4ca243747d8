"""How training images are varied. Never mirrored: the heart has a side, and so do markers."""

import cv2
import keras
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from carina.learning.recipe import AugmentationSettings
from carina.radiographs.lung_mask import Lungs
from carina.radiographs.preprocess import Preprocessing, crop_matrix, stretch_table

# In units of grey values in [-1, 1] summed over an image: below it there is rounding alone.
_SMALLEST_AMPLITUDE = 1e-3
# Width of the rim left around the lungs, as a share of the image's side, and the greys that the rest may take.
_LUNG_RIM = (0.02, 0.12)
_DARKEST_TO_BRIGHTEST = 0.6


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


def vary(
    whole: NDArray[np.uint8],
    lungs: Lungs | None,
    preprocessing: Preprocessing,
    settings: AugmentationSettings,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return one varied copy of what the network is shown of an image: uint8 ``(size, size)``.

    Geometry and crop are one resampling of the whole image. Grey values are first stretched as they will be in
    prediction, and then varied.

    Parameters
    ----------
    whole
        uint8 ``(read_size, read_size)``.
    lungs
        Where the lungs are, as `carina.radiographs.preprocess.frame` takes it.
    preprocessing
        What the network is shown.
    settings
        Largest changes.
    rng
        All that is drawn; the same state gives the same copy.
    """
    size = preprocessing.size
    matrix = np.vstack([_base_matrix(lungs, preprocessing, settings, rng), [0, 0, 1]])
    matrix = (_random_move(size, settings, rng) @ matrix)[:2]
    border = cv2.BORDER_REFLECT if preprocessing.crop == "none" else cv2.BORDER_CONSTANT
    grey = np.asarray(cv2.warpAffine(whole, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border), np.uint8)
    table = np.arange(256) / 255.0
    if preprocessing.stretch is not None:
        table = stretch_table(grey, preprocessing.stretch)
    values = _vary_grey_levels(table, settings, rng).astype(np.float32)[grey]
    if settings.outside_erased and lungs is not None and rng.random() < settings.outside_erased:
        values = _with_lungs_alone(values, lungs, matrix, whole.shape[0], rng)
    if settings.blur and rng.random() < settings.blur:
        values = _with_lost_resolution(values, settings.smallest, rng)
    if settings.noise:
        noise = rng.standard_normal(values.shape, dtype=np.float32)
        values = values + np.float32(rng.uniform(0, settings.noise)) * noise
    return np.asarray(np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8))


def mix_amplitudes(greys: NDArray[np.uint8], share: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return images some of whose Fourier amplitudes are mixed with those of another image of the batch.

    Phases, which hold the shapes, stay. What a scanner or a post-processing leaves on all images of a source (contrast,
    sharpness, grain) is in the amplitudes, and so stops telling sources apart.

    Source: Xu et al., "A Fourier-based framework for domain generalization", CVPR 2021,
    doi:10.1109/CVPR46437.2021.01415.

    Parameters
    ----------
    greys
        uint8 ``(n, size, size)``.
    share
        Of images that are changed, 0 to 1.
    rng
        All that is drawn.
    """
    count = len(greys)
    partner = rng.permutation(count)
    changed = np.flatnonzero(rng.random(count) < share)
    weight = rng.uniform(0, 1, count).astype(np.float32)[changed, np.newaxis, np.newaxis]
    spectra = scipy.fft.rfft2(greys.astype(np.float32) / 127.5 - 1)
    own, other = np.abs(spectra[changed]), np.abs(spectra[partner[changed]])
    mixed = spectra[changed] * (1 - weight + weight * other / np.maximum(own, _SMALLEST_AMPLITUDE))
    result = greys.copy()
    values = scipy.fft.irfft2(mixed, s=greys.shape[1:])
    result[changed] = np.rint(127.5 * (np.clip(values, -1, 1) + 1)).astype(np.uint8)
    return result


def _with_lungs_alone(
    values: NDArray[np.float32],
    lungs: Lungs,
    matrix: NDArray[np.float64],
    whole_size: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Return a view in which everything beyond a soft rim around the lungs is one grey."""
    mask = cv2.resize(lungs.mask.astype(np.uint8) * 255, (whole_size, whole_size), interpolation=cv2.INTER_LINEAR)
    rim = int(rng.uniform(*_LUNG_RIM) * whole_size) | 1
    widened = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (rim, rim)))
    soft = cv2.GaussianBlur(widened, (0, 0), 2.0).astype(np.float32) / 255
    shown = cv2.warpAffine(soft, matrix, values.shape[::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(values * shown + np.float32(rng.uniform(0, _DARKEST_TO_BRIGHTEST)) * (1 - shown), np.float32)


def _base_matrix(
    lungs: Lungs | None, preprocessing: Preprocessing, settings: AugmentationSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return what carries the whole image to the crop, with new margins."""
    if preprocessing.crop == "none":
        return np.eye(2, 3)
    matrix = crop_matrix(lungs, preprocessing)
    near, far = rng.uniform(-settings.crop_margin, settings.crop_margin, size=(2, 2))
    scale = 1 / (1 + near + far)
    return np.asarray(scale[:, np.newaxis] * (matrix + np.column_stack([np.zeros((2, 2)), near * preprocessing.size])))


def _random_move(size: int, settings: AugmentationSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    turn = 2 * np.pi * rng.uniform(-settings.rotation_turns, settings.rotation_turns)
    scale = np.exp(
        rng.uniform(-settings.zoom, settings.zoom) + np.array([1, -1]) * rng.uniform(-1, 1) * settings.aspect
    )
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(scale)
    centre = np.full(2, (size - 1) / 2)
    shift = centre - linear @ centre + size * rng.uniform(-settings.shift, settings.shift, size=2)
    return np.vstack([np.column_stack([linear, shift]), [0, 0, 1]])


def _vary_grey_levels(
    table: NDArray[np.float64], settings: AugmentationSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    values = table ** np.exp(rng.uniform(-settings.gamma, settings.gamma))
    contrast = 1 + rng.uniform(-settings.contrast, settings.contrast)
    return np.asarray((values - 0.5) * contrast + 0.5 + rng.uniform(-settings.brightness, settings.brightness))


def _with_lost_resolution(
    values: NDArray[np.float32], smallest: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    size = values.shape[0]
    small = int(rng.integers(int(smallest * size), size))
    shrunk = cv2.resize(values, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
