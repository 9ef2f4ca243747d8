"""A square of pixels to draw a phantom on: outlines in thorax units become layers with soft edges."""

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.phantoms.anatomy import Points, Pose

Map = NDArray[np.float32]
Layer = NDArray[np.uint8]


@dataclass(frozen=True)
class Canvas:
    """A square of pixels and the affine way from thorax units to it (float64 (2, 3), pixels)."""

    size: int
    matrix: Points

    @cached_property
    def pixels_per_unit(self) -> float:
        """Pixels that one thorax unit takes."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def coordinates(self) -> tuple[Map, Map]:
        """Return x and y of each pixel's centre, float32 (size, size), thorax units."""
        inverse = cv2.invertAffineTransform(self.matrix).astype(np.float32)
        steps = np.arange(self.size, dtype=np.float32)
        row, column = steps[:, None], steps[None, :]
        return (
            inverse[0, 0] * column + inverse[0, 1] * row + inverse[0, 2],
            inverse[1, 0] * column + inverse[1, 1] * row + inverse[1, 2],
        )

    def blank(self) -> Layer:
        """Return an empty layer, uint8 (size, size)."""
        return np.zeros((self.size, self.size), np.uint8)

    def fill(self, layer: Layer, outlines: Points, value: int | NDArray[np.int_] = 255) -> None:
        """Fill closed outlines on a uint8 (size, size) layer, the last on top.

        `outlines` is float (n, 2) or (m, n, 2), thorax units; `value` is one grey level or m of them.
        """
        # Four fractional bits: without them a rib jumps by whole pixels and its edge turns to stairs.
        pixels = np.rint((outlines @ self.matrix[:, :2].T + self.matrix[:, 2]) * 16).astype(np.int32)
        pixels = pixels.reshape(-1, 1, *pixels.shape[-2:])
        greys = [value] * len(pixels) if isinstance(value, int) else value.tolist()
        for polygon, grey in zip(pixels, greys, strict=True):
            cv2.fillPoly(layer, polygon, grey, cv2.LINE_AA, 4)

    def blur(self, layer: Layer | Map, radius: float) -> Map:
        """Return the layer as float32, blurred by a Gaussian whose deviation is `radius` thorax units."""
        sigma = max(radius * self.pixels_per_unit, 0.3)
        # A uint8 layer is blurred as uint8, in a third of the time; its steps are far below the noise.
        return np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma), np.float32)

    def rounded(self, outlines: Points, radius: float, softness: float = 0.008) -> Map:
        """Return solids' relative thickness, range [0, 1]: sphere-like edges, flat from `radius` inwards."""
        layer = self.blank()
        self.fill(layer, outlines)
        _, inside = cv2.threshold(layer, 127, 1, cv2.THRESH_BINARY)
        rest = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
        rest *= np.float32(-1 / (radius * self.pixels_per_unit))
        rest += 1
        np.maximum(rest, 0, out=rest)
        return self.blur(np.sqrt(1 - rest * rest), softness)


def smooth_curve(points: Points, *, closed: bool = False, steps: int = 8) -> Points:
    """Return a Catmull-Rom curve through float (n, 2) points, `steps` points to each span."""
    padded = (
        np.concatenate([points[-1:], points, points[:2]])
        if closed
        else np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    )
    spans = np.stack([padded[i : len(padded) - 3 + i] for i in range(4)], axis=1)
    curve: Points = (_catmull_rom(steps) @ spans).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


@cache
def _catmull_rom(steps: int) -> NDArray[np.float64]:
    """Return the weights of four neighbouring points at each step between the two inner ones, (steps, 4)."""
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    weights: NDArray[np.float64] = 0.5 * np.concatenate(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], axis=1
    )
    return weights


def band(centre: Points, half_width: NDArray[np.float64] | float) -> Points:
    """Return the closed outline of a band around a centre line, float (..., n, 2) to float (..., 2n, 2)."""
    along = np.empty_like(centre)
    along[..., 1:-1, :] = centre[..., 2:, :] - centre[..., :-2, :]
    along[..., 0, :] = centre[..., 1, :] - centre[..., 0, :]
    along[..., -1, :] = centre[..., -1, :] - centre[..., -2, :]
    scale = half_width / np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-9)
    offset = np.empty_like(centre)
    offset[..., 0] = -along[..., 1] * scale
    offset[..., 1] = along[..., 0] * scale
    return np.concatenate([centre + offset, (centre - offset)[..., ::-1, :]], axis=-2)


def build_canvas(pose: Pose, size: int) -> Canvas:
    """Return the canvas of `size` pixels a side that one positioning fills: its zoom, tilt and shift."""
    scale = pose.zoom * size / 2
    cosine, sine = scale * np.cos(pose.tilt), scale * np.sin(pose.tilt)
    centre = (size - 1) / 2
    across, down = centre + pose.shift[0] * scale, centre + pose.shift[1] * scale
    return Canvas(size, np.array([[cosine, -sine, across], [sine, cosine, down]]))
