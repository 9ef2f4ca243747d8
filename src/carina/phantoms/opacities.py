"""What a finding does to the lungs of a phantom: the share of air that fluid or tissue replaces."""

import cv2
import numpy as np

from carina.findings import COVID_19, VIRAL_PNEUMONIA
from carina.phantoms.anatomy import SIDES
from carina.phantoms.canvas import Layer, Map
from carina.phantoms.posed_patient import Scene
from carina.phantoms.thorax import Thorax

_GRID = 64  # opacities are smooth: they are made on this grid, so that every size shows the same ones


def draw_opacities(finding: str, thorax: Thorax, rng: np.random.Generator, difficulty: float) -> Map:
    """Return the share of the lung's air that a finding replaces, float32 (size, size), range [0, 0.9].

    It is zero outside the lungs, and zero everywhere for a normal radiograph.
    """
    severity = draw_severity(rng, difficulty)
    if finding == COVID_19:
        share = _peripheral_patches(thorax, rng, severity)
    elif finding == VIRAL_PNEUMONIA:
        share = _perihilar_network(thorax.scene, rng, severity)
    else:
        return np.zeros_like(thorax.air_cm)
    return np.clip(share * thorax.lung_mask, 0, 0.9).astype(np.float32)


def draw_severity(rng: np.random.Generator, difficulty: float) -> float:
    """Return how strong and how wide a finding is, range (0, 1]; with difficulty more are barely there."""
    least = 0.62 * (1 - difficulty)
    most = 1 - 0.40 * difficulty
    return float(least + (most - least) * rng.beta(1.6, 1.2 + difficulty))


def cloud(rng: np.random.Generator, size: int, cells: int) -> Map:
    """Return smooth noise with about unit variance, float32 (size, size), `cells` bumps across."""
    coarse = rng.standard_normal((cells + 3, cells + 3), np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32) * np.float32(1.25)


def magnify(layer: Map, size: int) -> Map:
    """Return a smooth map at (size, size), float32."""
    return np.asarray(cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _peripheral_patches(thorax: Thorax, rng: np.random.Generator, severity: float) -> Map:
    """Return bilateral ground-glass patches with denser cores, mostly in the outer lower zones."""
    scene = thorax.scene
    x, y, height = (_coarse(layer) for layer in (scene.x, scene.y, scene.height))
    lateral = np.abs(x) / scene.wall_x(height)
    lungs = _coarse(thorax.lung_mask.astype(np.float32)) > 0.5
    # Peripheral and lower, but not only: some patches are in the upper zones or nearer to the hilum.
    appeal = np.exp(3.2 * (np.clip(lateral, 0, 1) - 1) + 3.0 * (np.clip(height, 0, 0.9) - 0.9)) * lungs
    patches = np.zeros((_GRID, _GRID), np.float32)
    counts = rng.poisson(1.2 + 3.6 * severity, 2) + 1
    for side, count in zip(SIDES, counts, strict=True):
        weight = np.cumsum((appeal * (np.sign(x) == side)).ravel().astype(np.float64))
        for draw, strength, wide, tall in zip(
            rng.random(count),
            rng.uniform(0.45, 1.0, count),
            rng.uniform(0.05, 0.12, count) * (0.7 + 0.6 * severity),
            rng.uniform(0.07, 0.18, count) * (0.7 + 0.6 * severity),
            strict=True,
        ):
            if weight[-1] <= 0:
                continue
            row, column = divmod(int(np.searchsorted(weight, draw * weight[-1])), _GRID)
            square = ((x - x[row, column]) / wide) ** 2 + ((y - y[row, column]) / tall) ** 2
            patches += np.float32(strength) * np.exp(-0.5 * square)
    ragged = 1 + 0.45 * cloud(rng, _GRID, 14) + 0.25 * cloud(rng, _GRID, 6)
    patches = np.clip(patches, 0, 1.5) * np.clip(ragged, 0.1, 2.0)
    glass = np.tanh(1.1 * patches) * (0.10 + 0.50 * severity)
    core = np.clip(patches - 0.9, 0, 1) * rng.uniform(0.0, 0.45) * severity
    fine = 1 + 0.16 * cloud(rng, scene.canvas.size, 40)
    return magnify((glass + core).astype(np.float32), scene.canvas.size) * fine


def _perihilar_network(scene: Scene, rng: np.random.Generator, severity: float) -> Map:
    """Return thickened bronchial walls, streaks and a fine network that fan out from both hila."""
    streaks = scene.canvas.blank()
    near = np.zeros_like(scene.x)
    reach = 0.17 + 0.13 * severity
    for side in SIDES:
        centre = scene.hilum(side)
        square = (scene.x - centre[0]) ** 2 + (0.80 * (scene.y - centre[1])) ** 2
        near += np.exp(-0.5 * square / (reach * rng.uniform(0.85, 1.15)) ** 2) * rng.uniform(0.75, 1.0)
        _draw_streaks(streaks, scene, side, reach, rng)
    # The zero crossings of smooth noise form a net of thin lines, as thickened septa do.
    net = sum(np.exp(-((cloud(rng, scene.canvas.size, cells) / 0.28) ** 2)) for cells in (34, 52))
    haze = 0.5 + 0.5 * np.clip(1 + 0.5 * cloud(rng, scene.canvas.size, 9), 0, 2)
    lines = scene.canvas.blur(streaks, 0.006) / np.float32(255)
    share = near * (0.16 * haze + 0.22 * np.asarray(net) + 0.32 * lines)
    return np.asarray(share * (0.12 + 0.88 * severity), np.float32)


def _draw_streaks(layer: Layer, scene: Scene, side: float, reach: float, rng: np.random.Generator) -> None:
    """Draw paired lines (bronchial walls seen from the side), rings (seen end on) and single streaks."""
    centre, canvas = scene.hilum(side), scene.canvas
    count = 90
    angle = rng.uniform(-1.6, 1.6, count)
    heading = np.stack([side * np.cos(angle), np.sin(angle)], axis=1)
    start = centre + heading * np.abs(rng.normal(0.03, 1.35 * reach, (count, 1)))
    turn = angle + rng.normal(0, 0.6, count)
    along = np.stack([side * np.cos(turn), np.sin(turn)], axis=1)
    streak = np.stack([start, start + along * rng.uniform(0.02, 0.09, (count, 1))], axis=1)
    pairs = streak[::3] + (np.stack([-along[:, 1], along[:, 0]], axis=1) * 0.016)[::3, None]
    lines = scene.breathe(np.concatenate([streak, pairs])) @ canvas.matrix[:, :2].T + canvas.matrix[:, 2]
    greys = rng.uniform(70, 255, len(lines)).tolist()
    for (start_pixel, end_pixel), grey in zip(np.rint(lines * 16).astype(int).tolist(), greys, strict=True):
        cv2.line(layer, start_pixel, end_pixel, grey, 1, cv2.LINE_AA, 4)
    rings = scene.breathe(centre + rng.normal(0, 0.55 * reach, (5, 2)))
    for ring in np.rint((rings @ canvas.matrix[:, :2].T + canvas.matrix[:, 2]) * 16).astype(int).tolist():
        cv2.circle(layer, ring, round(0.016 * canvas.pixels_per_unit * 16), 200, 1, cv2.LINE_AA, 4)


def _coarse(layer: Map) -> Map:
    return np.asarray(cv2.resize(layer, (_GRID, _GRID), interpolation=cv2.INTER_AREA), np.float32)
