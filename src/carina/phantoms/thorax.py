"""What the rays cross: a patient in a pose becomes centimetres of soft tissue, bone and aerated lung."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carina.phantoms.anatomy import SIDES, Patient, Points, Pose
from carina.phantoms.bones import project_bones
from carina.phantoms.canvas import Canvas, Map, band, smooth_curve
from carina.phantoms.posed_patient import CHEST_WALL, Scene, arm_axis, build_scene

CM_PER_UNIT = 18.5

# Windpipe and main bronchi, as shares of the chest, with their radius in thorax units.
_CARINA = [0.015, 0.375]
_AIRWAYS = tuple(
    (smooth_curve(np.array(path)), radius)
    for path, radius in (
        ([[0.0, -0.5], [0.0, 0.0], [0.012, 0.22], _CARINA], 0.030),
        ([_CARINA, [-0.09, 0.425], [-0.20, 0.475]], 0.021),
        ([_CARINA, [0.12, 0.425], [0.25, 0.455]], 0.018),
    )
)


@dataclass(frozen=True)
class Thorax:
    """What the rays cross on their way to each pixel, without any finding."""

    # soft_cm, bone_cm, air_cm: float32 (size, size), centimetres of soft tissue, of bone, and of aerated lung,
    # range >= 0. Soft tissue already lacks what the lung displaces.
    soft_cm: Map
    bone_cm: Map
    air_cm: Map
    lung_mask: NDArray[np.bool_]  # bool (size, size), True where a lung is seen beside heart, mediastinum and diaphragm
    scene: Scene  # who was projected, how and onto which pixels


def project_thorax(patient: Patient, pose: Pose, canvas: Canvas) -> Thorax:
    """Return what the rays cross in a patient without any finding."""
    scene = build_scene(patient, pose, canvas)
    pleura = np.stack([_pleura(scene, side) for side in SIDES])
    lungs = canvas.blank()
    canvas.fill(lungs, pleura)
    air = canvas.rounded(pleura, 0.26)
    heart, vessels = _heart(scene), _great_vessels(scene)
    air *= np.float32(0.68 * patient.depth_cm) * (0.86 + 0.14 * np.clip(scene.height, 0, 1))
    air *= 1 - np.minimum(0.80 * heart + 0.85 * vessels, 1)
    # Below the dome the heart lies in tissue as dense as itself and has no edge.
    above_dome = np.clip((0.97 - scene.height) * 6, 0, 1)
    body = _body(scene) + _breasts(scene) + (2.4 * heart + 1.2 * vessels) * above_dome
    # Aerated lung still holds about a quarter of its volume in tissue and blood.
    soft = body - 0.75 * air - _trachea(scene) - _bowel_gas(scene)
    soft += (_lung_vessels(scene) + _hila(scene)) * np.minimum(air / 8, 1)
    return Thorax(
        soft_cm=np.maximum(soft, 0).astype(np.float32),
        bone_cm=project_bones(scene),
        air_cm=air.astype(np.float32),
        lung_mask=(lungs > 127) & (heart < 0.6) & (vessels < 0.6),
        scene=scene,
    )


def _pleura(scene: Scene, side: float) -> Points:
    """Return the outline of one lung, from the apex down the chest wall, over the dome, up the midline."""
    dome = scene.patient.dome_right if side < 0 else scene.patient.dome_left
    shares = scene.chest(np.concatenate([CHEST_WALL, _dome(dome, side)]), side)
    return scene.breathe(shares)


def _dome(rise: float, side: float) -> Points:
    """Return the hemidiaphragm from the costophrenic angle to the midline and the pleura back to the apex."""
    foot = 0.0 if side < 0 else 0.012
    dome = [
        [0.975, 0.985 + foot],
        [0.89, 0.965 + foot - 0.36 * rise],
        [0.74, 0.965 + foot - 0.76 * rise],
        [0.52, 0.965 + foot - rise],
        [0.30, 0.97 + foot - 0.88 * rise],
        [0.10, 0.98 + foot - 0.40 * rise],
    ]
    midline = [[0.06, 0.80], [0.05, 0.40], [0.10, 0.14], [0.17, 0.035], [0.25, -0.012], [0.33, -0.008]]
    return np.concatenate([smooth_curve(np.array(dome)), smooth_curve(np.array(midline))])


def _heart(scene: Scene) -> Map:
    """Return the heart's relative thickness, range [0, 1]: two thirds of it to the patient's left."""
    patient, pose = scene.patient, scene.pose
    # A crowded chest and an anteroposterior beam both widen the heart's shadow.
    ratio = patient.cardiothoracic_ratio * (1 + 0.45 * (1 - pose.breath)) * (1.10 if pose.view == "AP" else 1.0)
    right, left = 0.70 * ratio, 1.30 * ratio
    waist = 0.48 + 0.20 * patient.heart_roundness
    outline = [
        [-0.14, 0.40],
        [-0.62 * right, 0.53],
        [-0.96 * right, 0.66],
        [-0.98 * right, 0.77],
        [-0.80 * right, 0.88],
        [-0.10, 0.99],
        [0.55 * left, 0.985],
        [0.88 * left, 0.925],
        [0.99 * left, 0.855],
        [0.93 * left, 0.765],
        [waist * left + 0.06, 0.61],
        [0.5 * waist * left + 0.12, 0.49],
        [0.16, 0.42],
        [0.10, 0.36],
        [-0.06, 0.35],
    ]
    curve = smooth_curve(scene.chest(np.array(outline)), closed=True, steps=6)
    return scene.canvas.rounded(scene.breathe(curve, 0.45), 0.13, 0.010)


def _great_vessels(scene: Scene) -> Map:
    """Return the relative thickness of the upper mediastinum with the aortic knob, range [0, 1]."""
    patient = scene.patient
    knob = patient.aortic_knob / patient.half_width
    outline = [
        [-0.17, -0.22],
        [-0.16, 0.0],
        [-0.155, 0.16],
        [-0.165, 0.34],
        [-0.19, 0.52],
        [-0.10, 0.90],
        [0.12, 0.93],
        [0.155, 0.56],
        [0.15, 0.41],
        [0.13 + 0.60 * knob, 0.355],
        [0.135 + knob, 0.31],
        [0.12 + 0.75 * knob, 0.265],
        [0.13, 0.20],
        [0.145, 0.05],
        [0.17, -0.22],
    ]
    curve = smooth_curve(scene.chest(np.array(outline)), closed=True, steps=6)
    return scene.canvas.rounded(scene.breathe(curve, 0.1), 0.10, 0.012)


def _body(scene: Scene) -> Map:
    """Return the body's thickness in centimetres: trunk, neck and the stumps of the arms."""
    patient, pose, canvas = scene.patient, scene.pose, scene.canvas
    wide = patient.half_width + 0.045 + 0.55 * patient.fat
    top = patient.apex_y + patient.shoulder_drop
    belly = wide * (0.97 + 0.5 * patient.fat)
    half = [
        [0.21 + 0.2 * patient.fat, -1.7],
        [0.20 + 0.2 * patient.fat, top - 0.30],
        [0.27 + 0.2 * patient.fat, top - 0.155],
        [0.52, top - 0.075],
        [0.80, top + 0.01],
        [0.93, top + 0.13],
        [0.90 + 0.3 * patient.fat, top + 0.34],
        [max(wide, 0.84), top + 0.58],
        [wide + 0.005, 0.12],
        [wide, 0.45],
        [belly, 0.85],
        [belly, 1.9],
    ]
    curve = smooth_curve(np.array(half), steps=6)
    trunk = canvas.rounded(np.concatenate([curve, curve[::-1] * [-1, 1]]), 0.27)
    # Shoulders and neck are thinner from front to back than the chest and the abdomen.
    slope = 0.76 + 0.24 * np.clip((scene.y - (top - 0.2)) * 1.6, 0, 1) + 0.20 * np.clip(scene.y * 2, 0, 1)
    axes = [arm_axis(scene, side, spread) for side, spread in zip(SIDES, pose.arms, strict=True)]
    arms = canvas.rounded(band(np.stack(axes), 0.15 + 0.45 * patient.fat), 0.15)
    body: Map = np.maximum(trunk * slope * patient.depth_cm, arms * (8.5 + 14 * patient.fat))
    return body


def _breasts(scene: Scene) -> Map:
    """Return the breasts' thickness in centimetres; their lower edge crosses the lung bases."""
    shadow = np.zeros_like(scene.x)
    volume = scene.patient.breast
    if volume > 0:
        size = 0.24 + 0.02 * volume
        for side in SIDES:
            centre = scene.chest(np.array([[0.60, 0.78 + 0.03 * volume]]), side)[0]
            # They hang: thick at the lower edge, without an edge above.
            droop = np.clip((scene.y - float(centre[1])) * (0.5 / size) + 0.5, 0, 1)
            shadow += scene.nearness(centre, (size * 1.05, size)) * droop
    return shadow * (1.25 * volume)


def _trachea(scene: Scene) -> Map:
    """Return the centimetres of air in the windpipe and the main bronchi; they part at the carina."""
    layer = scene.canvas.blank()
    for path, radius in _AIRWAYS:
        tube = scene.chest(path) + np.array([scene.patient.scoliosis, 0.0])
        scene.canvas.fill(layer, band(scene.breathe(tube), np.linspace(radius, 0.8 * radius, len(path))))
    fade = 1 - np.clip((scene.height - 0.35) * 4, 0, 0.55)
    air: Map = scene.canvas.blur(layer, 0.012) * fade * np.float32(1.9 / 255)
    return air


def _bowel_gas(scene: Scene) -> Map:
    """Return the centimetres of gas in the stomach, under the left hemidiaphragm, and in the bowel."""
    across, size, amount = scene.patient.gas
    bubble = scene.chest(np.array([[across, 1.02 - scene.patient.dome_left + 0.45 * size]]))[0]
    gas = scene.nearness(bubble, (1.15 * size, 0.6 * size)) * (6.5 * amount)
    colon = scene.chest(np.array([[across + 0.25, 1.16], [-0.35 - across, 1.25]]))
    for centre, stretch in zip(colon, (0.8, 1.2), strict=True):
        gas += scene.nearness(centre, (size * stretch, 0.5 * size)) * (3.5 * (1 - amount))
    return gas


def _lung_vessels(scene: Scene) -> Map:
    """Return the centimetres of blood in the branching vessels."""
    layer = scene.canvas.blank()
    vessels = scene.patient.vessels
    thickest = float(vessels.radii[-1])
    # An antialiased polygon is at least a pixel wide; a thinner vessel is drawn as much fainter.
    drawn = np.maximum(vessels.radii, 0.5 / scene.canvas.pixels_per_unit)
    grey = np.rint(255 * vessels.radii**2 / (drawn * thickest)).astype(np.int_)
    taper = np.linspace(1.0, 0.55, vessels.paths.shape[1])
    scene.canvas.fill(layer, band(scene.breathe(vessels.paths), drawn[:, None] * taper), grey)
    blood_cm = 2 * thickest * CM_PER_UNIT * 1.9 * scene.pose.vessel_gain
    return scene.canvas.blur(layer, 0.005) * np.float32(blood_cm / 255)


def _hila(scene: Scene) -> Map:
    """Return the centimetres of vessels and bronchial walls that crowd at the two hila."""
    crowd = np.zeros_like(scene.x)
    for side in SIDES:
        crowd += scene.nearness(scene.hilum(side), (0.19, 0.31)) ** 2
    return crowd * np.float32(1.7 * scene.pose.vessel_gain)
