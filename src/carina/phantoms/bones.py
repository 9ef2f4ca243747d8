"""The bones of a phantom: spine, ribs, clavicles, shoulder blades and upper arms, in centimetres of bone."""

import numpy as np

from carina.phantoms.anatomy import SIDES, Points
from carina.phantoms.canvas import Map, band, smooth_curve
from carina.phantoms.posed_patient import CHEST_WALL, Scene, arm_axis

_MARROW = 155  # grey of a bone's inside where its cortex is 255
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 24)), np.sin(np.linspace(0, 2 * np.pi, 24))], axis=1)
# Parts of one vertebra, (parts, points, 2): x as a share of its half width, y as a share of its height.
_PLATES = band(np.array([[[-1, y], [0, y + 0.05], [1, y]] for y in (-0.12, 0.12)]), 0.05)
_PEDICLES = np.stack([_CIRCLE * [0.16, 0.13] + [x, 0.42] for x in (-0.62, 0.62)])
_PROCESS = (_CIRCLE * [0.15, 0.24] + [0.0, 0.58])[None]


def project_bones(scene: Scene) -> Map:
    """Return the centimetres of bone that the rays cross, float32 (size, size)."""
    density = np.float32(scene.patient.rib_density)
    return (_spine(scene) + _ribs(scene) + _shoulder_girdle(scene)) * density


def _spine(scene: Scene) -> Map:
    """Return the centimetres of bone in the vertebrae: bodies, end plates, pedicles, processes."""
    patient, canvas = scene.patient, scene.canvas
    rows = np.linspace(-0.5, 1.7, 45)
    axis = scene.breathe(scene.chest(np.stack([np.zeros(45), rows], axis=1)), -0.8)
    axis[:, 0] += patient.scoliosis * np.sin(3 * rows)
    levels = np.arange(-0.42, 1.6, 0.098)
    centres = np.stack([np.interp(levels, rows, axis[:, 0]), np.interp(levels, rows, axis[:, 1])], axis=1)
    half = np.interp(levels, [0.0, 1.2], [0.074, 0.100])
    scale = np.stack([half, np.full_like(half, 0.1 * patient.height)], axis=1)
    column = canvas.blank()
    canvas.fill(column, band(axis, np.interp(rows, [-0.5, 0.0, 1.2], [0.060, 0.072, 0.098])), 140)
    for shape, grey in ((_PLATES, 205), (_PEDICLES, 215), (_PROCESS, 235)):
        outlines = shape[None] * scale[:, None, None] + centres[:, None, None]
        canvas.fill(column, outlines.reshape(-1, *shape.shape[-2:]), grey)
    return canvas.blur(column, 0.011) * np.float32(1.7 / 255)


def _ribs(scene: Scene) -> Map:
    """Return the centimetres of bone in ten pairs of ribs, each a loop from the spine round to the front."""
    patient, canvas = scene.patient, scene.canvas
    angle = np.linspace(0.0, 0.80 * np.pi, 30)
    wall_at = 19  # from the chest wall on a rib runs in front of the lung
    turn = angle / np.pi
    number = np.arange(10.0)[:, None]
    drop = patient.rib_slope * np.interp(number, [0, 3, 9], [0.16, 0.40, 0.50])
    row = 0.097 * number - 0.065 - 0.035 * np.sin(np.pi * np.minimum(2.2 * turn, 1)) + drop * turn**1.35
    wall = np.interp(row, np.append(-0.06, CHEST_WALL[:, 1]), np.append(0.33, CHEST_WALL[:, 0]))
    reach = 0.09 * np.cos(angle / 2) ** 4 + (wall + 0.022) * np.sin(angle) ** 0.85
    shares = np.stack([reach, row], axis=2)
    half = 0.018 + 0.006 * turn
    behind, front = canvas.blank(), canvas.blank()
    sides = [scene.breathe(scene.chest(shares, side), -np.cos(angle)) for side in SIDES]
    back = np.concatenate([line[:, : wall_at + 1] for line in sides])
    canvas.fill(behind, band(back, half[: wall_at + 1]))
    canvas.fill(behind, band(back, half[: wall_at + 1] - 0.009), _MARROW)
    # Towards the breastbone a rib turns to cartilage, which the rays hardly see.
    for end, grey in ((28, 110), (25, 170), (22, 215)):
        cut = np.concatenate([line[:7, wall_at:end] for line in sides])
        canvas.fill(front, band(cut, half[wall_at:end] * 1.1), grey)
    behind_cm, front_cm = np.float32(0.68 / 255), np.float32(0.42 / 255)
    return canvas.blur(behind, 0.005) * behind_cm + canvas.blur(front, 0.008) * front_cm


def _shoulder_girdle(scene: Scene) -> Map:
    """Return the centimetres of bone in clavicles, shoulder blades and upper arms."""
    canvas = scene.canvas
    shafts, blades = canvas.blank(), canvas.blank()
    arms = [arm_axis(scene, side, spread) for side, spread in zip(SIDES, scene.pose.arms, strict=True)]
    axes = np.stack(arms)
    canvas.fill(shafts, band(axes, np.array([0.085, 0.055, 0.05, 0.05, 0.05, 0.05])))
    canvas.fill(shafts, axes[:, :1] + 0.09 * _CIRCLE)
    canvas.fill(shafts, band(axes[:, 1:], 0.030), _MARROW)
    clavicles = np.stack([_clavicle(scene, side) for side in SIDES])
    along = np.linspace(0, 1, clavicles.shape[1])
    width = np.interp(along, [0, 0.12, 0.5, 1], [0.038, 0.026, 0.021, 0.027])
    canvas.fill(shafts, band(clavicles, width), 205)
    canvas.fill(shafts, band(clavicles, width - 0.011), 140)
    outlines = np.stack([_shoulder_blade(scene, side) for side in SIDES])
    canvas.fill(blades, outlines, 110)
    canvas.fill(blades, band(outlines[:, 14:34], 0.011), 215)
    shaft_cm, blade_cm = np.float32(1.45 / 255), np.float32(0.90 / 255)
    return canvas.blur(shafts, 0.007) * shaft_cm + canvas.blur(blades, 0.009) * blade_cm


def _clavicle(scene: Scene, side: float) -> Points:
    """Return a clavicle's axis, from the breastbone to the shoulder."""
    patient = scene.patient
    inner, rise = patient.apex_y + 0.16, patient.clavicle_rise
    shoulder = patient.apex_y + patient.shoulder_drop + 0.03
    axis = [
        [0.075, inner],
        [0.24, inner - 0.35 * rise],
        [0.45, inner - 0.95 * rise],
        [0.66, inner - rise - 0.03],
        [0.82, shoulder],
    ]
    # The inner ends lie in front: a rotated patient shows one of them nearer to the spine.
    return smooth_curve(np.array(axis)) * [side, 1.0] + [0.07 * scene.pose.rotation, 0.0]


def _shoulder_blade(scene: Scene, side: float) -> Points:
    """Return a shoulder blade's outline; with the arms down it slides over the lung."""
    top = scene.patient.apex_y + scene.patient.shoulder_drop
    tip, slide = scene.patient.half_width * 0.98 - scene.pose.scapula, scene.pose.scapula
    outline = [
        [0.84, top + 0.10],
        [0.70, top + 0.03],
        [0.60 - slide, top + 0.09],
        [tip - 0.10, top + 0.34],
        [tip + 0.02, top + 0.66],
        [tip + 0.07, top + 0.62],
        [0.84, top + 0.25],
    ]
    return smooth_curve(np.array(outline), closed=True) * [side, 1.0]
