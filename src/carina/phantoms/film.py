"""What the detector makes of a phantom: Beer's law, scatter, noise, grey levels, borders, side marker."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.phantoms.anatomy import SOURCES
from carina.phantoms.canvas import Map
from carina.phantoms.opacities import cloud, magnify
from carina.phantoms.thorax import Thorax

# Effective attenuation per centimetre behind a typical grid and filter; bone comes on top of the tissue
# that it displaces.
_SOFT_PER_CM = 0.155
_BONE_PER_CM = 0.42


@dataclass(frozen=True)
class _Detector:
    """How one source's equipment renders: dose, scatter, unsharpness, equalisation and grey-level curve."""

    photons: float
    scatter: float
    blur: float
    equalisation: float
    edge: float
    latitude: float


_DETECTORS = {
    SOURCES[0]: _Detector(photons=30000, scatter=0.35, blur=0.50, equalisation=0.25, edge=0.35, latitude=1.00),
    SOURCES[1]: _Detector(photons=16000, scatter=0.50, blur=0.65, equalisation=0.10, edge=0.15, latitude=1.12),
    SOURCES[2]: _Detector(photons=50000, scatter=0.28, blur=0.45, equalisation=0.38, edge=0.50, latitude=0.95),
}


def expose_film(
    thorax: Thorax, share: Map, rng: np.random.Generator, difficulty: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the developed radiograph and the field that the collimator left open."""
    scene = thorax.scene
    size, detector = scene.canvas.size, _DETECTORS[scene.patient.source]
    clear = _SOFT_PER_CM * (thorax.soft_cm + _background_cm(thorax, rng)) + _BONE_PER_CM * thorax.bone_cm
    # Scatter, equalisation and window are taken from the chest without its finding: taken from the film,
    # they would carry the finding to every pixel outside the lungs, a shortcut for whatever learns from it.
    scatter = _wide_blur(np.exp(-clear), 0.10) * np.float32(detector.scatter * rng.uniform(0.7, 1.3))
    primary = np.exp(-(clear + _SOFT_PER_CM * 0.75 * thorax.air_cm * share))
    blur = detector.blur * size / 256 * (1 + difficulty * rng.beta(1.2, 3.0) * 1.6)
    signal = cv2.GaussianBlur(primary, (0, 0), max(blur, 0.3)) + scatter
    photons = detector.photons * np.exp(rng.normal(0, 0.45))
    signal += _noise(signal, photons, rng)
    density = -np.log(np.maximum(signal, 1e-4))
    reference = -np.log(np.exp(-clear) + scatter)
    density -= np.float32(detector.equalisation * rng.uniform(0.6, 1.4)) * _wide_blur(reference, 0.16)
    reference -= np.float32(detector.equalisation) * _wide_blur(reference, 0.16)
    density += np.float32(detector.edge) * (density - cv2.GaussianBlur(density, (0, 0), 1.6 * size / 256))
    grey = _develop(density, reference, thorax, detector, rng)
    grey, field = _collimate(grey, rng)
    _stamp_side(grey, rng)
    return np.rint(np.clip(grey, 0, 255)).astype(np.uint8), field


def _background_cm(thorax: Thorax, rng: np.random.Generator) -> Map:
    """Return the tissue that belongs to no organ: lung texture, crowded bases, uneven layers of fat."""
    scene = thorax.scene
    size = scene.canvas.size
    texture = 0.20 * cloud(rng, size, 60) + magnify(0.22 * cloud(rng, 64, 30) + 0.30 * cloud(rng, 64, 16), size)
    crowded = scene.pose.basal_haze * np.clip((scene.height - 0.45) / 0.5, 0, 1) * 0.75 * thorax.air_cm
    uneven = magnify((0.35 + scene.pose.overlap) * cloud(rng, 64, 7) + 0.45 * cloud(rng, 64, 4), size)
    inside = np.minimum(thorax.soft_cm / 4, 1)
    return np.asarray(texture * np.minimum(thorax.air_cm / 6, 1) + crowded + uneven * inside, np.float32)


def _noise(signal: Map, photons: float, rng: np.random.Generator) -> Map:
    """Return quantum and electronic noise; quantum noise is the normal limit of Poisson's law.

    A Poisson draw takes as many random numbers as its mean asks for, so an opacity would shift the noise
    of all pixels after it.
    """
    variance = signal / np.float32(photons) + np.float32(0.0005**2)
    return np.asarray(rng.standard_normal(signal.shape, np.float32) * np.sqrt(variance), np.float32)


def _develop(density: Map, reference: Map, thorax: Thorax, detector: _Detector, rng: np.random.Generator) -> Map:
    """Return grey levels, float32, range [0, 255]: a sigmoid between lung and mediastinum, then gamma.

    Source: DICOM PS3.3 C.11.2.1.3.1 (the SIGMOID VOI LUT function).
    """
    coarse, mask = reference[::4, ::4], thorax.lung_mask[::4, ::4]
    lung = float(np.median(coarse[mask])) if mask.any() else float(np.median(coarse))
    dense = float(np.percentile(coarse, 88))
    span = max(dense - lung, 0.5)
    centre = lung + span * rng.normal(0.28, 0.07)
    width = span * detector.latitude * float(np.exp(rng.normal(0.38, 0.16)))
    grey = 1 / (1 + np.exp(-4 * (density - np.float32(centre)) / np.float32(width)))
    grey = grey ** np.float32(np.exp(rng.normal(0.0, 0.13)))
    black, white = rng.uniform(-6, 14), rng.uniform(232, 256)
    return np.asarray(black + (white - black) * grey, np.float32)


def _collimate(grey: Map, rng: np.random.Generator) -> tuple[Map, NDArray[np.bool_]]:
    """Return the radiograph with the collimator's unexposed borders, if it has any, and the open field."""
    size = grey.shape[0]
    present = rng.random(4) < 0.22
    margins = np.rint(present * rng.uniform(0.008, 0.055, 4) * size).astype(int)
    level = rng.uniform(0, 22) if rng.random() < 0.75 else rng.uniform(225, 255)
    field = np.zeros((size, size), np.bool_)
    field[margins[0] : size - margins[1], margins[2] : size - margins[3]] = True
    edge = cv2.GaussianBlur(field.astype(np.float32), (0, 0), max(0.5 * size / 256, 0.3))
    return grey * edge + np.float32(level) * (1 - edge), field


def _stamp_side(grey: Map, rng: np.random.Generator) -> None:
    """Put a lead letter into the matching upper corner of about two radiographs in three."""
    kind, across, down, scale, level = rng.random(5)
    if kind > 0.65:
        return
    size = grey.shape[0]
    letter = "L" if kind < 0.45 else "R"
    share = 0.86 + 0.07 * across if letter == "L" else 0.03 + 0.07 * across
    corner = (round(size * share), round(size * (0.08 + 0.10 * down)))
    shadow = np.zeros(grey.shape, np.uint8)
    font_scale = (0.45 + 0.25 * scale) * size / 256
    thickness = max(1, round(1.4 * size / 256))
    cv2.putText(shadow, letter, corner, cv2.FONT_HERSHEY_SIMPLEX, font_scale, 255, thickness, cv2.LINE_AA)
    cover = shadow.astype(np.float32) / 255
    grey += cover * (np.float32(195 + 55 * level) - grey)


def _wide_blur(layer: Map, share: float) -> Map:
    """Return the layer blurred by `share` of its side, on a small copy because nothing fine remains."""
    small = cv2.resize(layer, (64, 64), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), 64 * share, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(soft, layer.shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
