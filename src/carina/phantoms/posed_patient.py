"""A patient in a pose on a canvas: where breath and rotation put each part of the chest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carina.phantoms.anatomy import Patient, Points, Pose, hilum
from carina.phantoms.canvas import Canvas, Map, smooth_curve

# The chest wall from the apex to the costophrenic angle: share of the half width, share of the height.
CHEST_WALL = smooth_curve(
    np.array([[0.36, 0.0], [0.55, 0.05], [0.71, 0.15], [0.83, 0.31], [0.91, 0.52], [0.96, 0.76], [0.985, 0.97]])
)


@dataclass(frozen=True)
class Scene:
    """A patient in a pose on a canvas, with the place of every pixel in the chest."""

    # patient, pose, canvas: who is drawn, how positioned, and on which pixels
    patient: Patient
    pose: Pose
    canvas: Canvas
    # x, y: float32 (size, size), thorax units at full inspiration, the midline at x = 0
    x: Map
    y: Map
    height: Map  # float32 (size, size), 0 at the apex of the lungs and 1 at their base

    def chest(self, shares: Points, side: float = 1.0) -> Points:
        """Return points given as shares of the chest's half width and height, in thorax units."""
        patient = self.patient
        return shares * [side * patient.half_width, patient.height] + [0.0, patient.apex_y]

    def breathe(self, points: Points, depth: NDArray[np.float64] | float = 0.0) -> Points:
        """Return points where this breath and rotation put them; `depth` runs from -1 (back) to 1 (front)."""
        apex = self.patient.apex_y
        moved = np.empty_like(points)
        moved[..., 0] = points[..., 0] + 0.07 * self.pose.rotation * depth
        moved[..., 1] = apex + (points[..., 1] - apex) * self.pose.breath
        return moved

    def wall_x(self, height: Map) -> Map:
        """Return the chest wall's distance from the midline at each height, thorax units, > 0."""
        shares = np.interp(height, CHEST_WALL[:, 1], CHEST_WALL[:, 0])
        return (self.patient.half_width * shares).astype(np.float32)

    def hilum(self, side: float) -> Points:
        """Return x and y of a hilum, at full breath."""
        return hilum(side, self.patient.half_width, self.patient.height, self.patient.apex_y)

    def nearness(self, centre: Points, radii: tuple[float, float]) -> Map:
        """Return 1 at a point, falling with the square of the distance to 0 on an ellipse around it."""
        # Python's floats: NumPy's would turn the whole map to float64.
        column, row = (float(value) for value in centre)
        across, down = (self.x - column) * (1 / radii[0]), (self.y - row) * (1 / radii[1])
        near: Map = np.maximum(1 - across * across - down * down, 0)
        return near


def build_scene(patient: Patient, pose: Pose, canvas: Canvas) -> Scene:
    """Return the scene, with the place in the chest that each pixel shows."""
    x, y = canvas.coordinates()
    apex = np.float32(patient.apex_y)
    # Inspiration stretches the chest from its apex down, so every point of it is kept at full breath.
    y = apex + (y - apex) / np.float32(pose.breath)
    height = (y - apex) / np.float32(patient.height)
    return Scene(patient, pose, canvas, x, y, height)


def arm_axis(scene: Scene, side: float, spread: float) -> Points:
    """Return the axis of an upper arm, `spread` radians away from the trunk."""
    steps = np.linspace(0, 1.5, 6)
    top = scene.patient.apex_y + scene.patient.shoulder_drop + 0.15
    return np.stack([side * (0.86 + steps * np.sin(spread)), top + steps * np.cos(spread)], axis=1)
