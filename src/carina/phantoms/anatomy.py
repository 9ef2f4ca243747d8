"""An invented patient and how that patient is positioned: the numbers behind a phantom.

Lengths are in thorax units: 1.0 is about 18.5 cm, the origin is the centre of the field, x runs to the
right of the image (the patient's left), y runs down. A `Patient` is drawn once and fixes the anatomy, a
`Pose` is drawn for each radiograph. Nothing here knows of findings.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

SOURCES = ("phantom-a", "phantom-b", "phantom-c")
SIDES = (-1.0, 1.0)  # the right lung is on the left of the image

# Where one branch of a vessel leaves its parent, and the points that a branch is drawn through.
_FORKS = np.array([0.38, 0.66, 0.95])
_ALONG = np.linspace(0.0, 1.0, 5)


@dataclass(frozen=True)
class Vessels:
    """The pulmonary vessels as tapering branches."""

    paths: Points  # float64 (n, 5, 2), thorax units at full inspiration, thinnest branches first
    radii: NDArray[np.float64]  # float64 (n,), thorax units, at the root of each branch


@dataclass(frozen=True)
class Patient:
    """An invented person: what stays the same from one radiograph to the next. Lengths in thorax units."""

    age: int
    sex: str
    source: str
    half_width: float
    height: float
    apex_y: float
    fat: float
    depth_cm: float
    cardiothoracic_ratio: float
    heart_roundness: float
    aortic_knob: float
    dome_right: float
    dome_left: float
    scoliosis: float
    shoulder_drop: float
    clavicle_rise: float
    rib_slope: float
    rib_density: float
    breast: float
    gas: tuple[float, float, float]
    texture: int
    vessels: Vessels


@dataclass(frozen=True)
class Pose:
    """How a patient stands before the detector for one radiograph.

    Angles are in radians, lengths in thorax units. `breath` is the chest's height as a share of its height
    at full inspiration; `vessel_gain`, `basal_haze` and `overlap` imitate findings.
    """

    view: str
    breath: float
    rotation: float
    tilt: float
    zoom: float
    shift: tuple[float, float]
    arms: tuple[float, float]
    scapula: float
    vessel_gain: float
    basal_haze: float
    overlap: float


def build_patient(rng: np.random.Generator) -> Patient:
    """Return an invented patient; every trait is independent of any finding."""
    female = bool(rng.random() < 0.47)
    age = int(np.clip(rng.normal(52, 17), 18, 92))
    half_width = float(rng.normal(0.735, 0.03))
    height = float(np.clip(rng.normal(1.32, 0.06), 1.18, 1.48))
    apex_y = float(rng.normal(-0.74, 0.03))
    fat = float(np.clip(rng.gamma(4.0, 0.022), 0.02, 0.24))
    return Patient(
        age=age,
        sex="F" if female else "M",
        source=SOURCES[int(rng.integers(len(SOURCES)))],
        half_width=half_width,
        height=height,
        apex_y=apex_y,
        fat=fat,
        depth_cm=float(np.clip(rng.normal(19.5, 1.6) + 18 * fat, 16, 27)),
        cardiothoracic_ratio=float(np.clip(rng.normal(0.445 + 0.0008 * (age - 50), 0.035), 0.36, 0.58)),
        heart_roundness=float(rng.uniform(0.0, 1.0)),
        aortic_knob=float(np.clip(rng.normal(0.072 + 0.0004 * (age - 50), 0.01), 0.045, 0.11)),
        dome_right=float(rng.normal(0.165, 0.022)),
        dome_left=float(rng.normal(0.140, 0.022)),
        scoliosis=float(rng.normal(0, 0.012)),
        shoulder_drop=float(rng.uniform(-0.05, 0.08)),
        clavicle_rise=float(rng.uniform(0.02, 0.15)),
        rib_slope=float(rng.uniform(0.75, 1.25)),
        rib_density=float(np.clip(rng.normal(1.05 - 0.003 * (age - 50), 0.15), 0.65, 1.4)),
        breast=float(np.clip(rng.normal(2.2, 0.9), 0.6, 4.2)) if female else 0.0,
        gas=(float(rng.uniform(0.22, 0.5)), float(rng.uniform(0.07, 0.17)), float(rng.uniform(0, 1))),
        texture=int(rng.integers(2**31)),
        vessels=_grow_vessels(rng, half_width, height, apex_y),
    )


def build_pose(rng: np.random.Generator, difficulty: float) -> Pose:
    """Return one positioning; what imitates a finding grows with difficulty, whatever the finding."""
    view = "AP" if rng.random() < 0.3 else "PA"
    supine = view == "AP"
    breath = float(np.clip(rng.normal(0.93 if supine else 0.985, 0.025 + 0.045 * difficulty), 0.72, 1.06))
    arm = rng.uniform(0.2, 0.75, 2) if supine else rng.uniform(0.35, 1.05, 2)
    return Pose(
        view=view,
        breath=breath,
        rotation=float(rng.normal(0, 0.35)),
        tilt=float(rng.normal(0, 0.022)),
        zoom=float(rng.uniform(0.94, 1.16)),
        shift=(float(rng.normal(0, 0.035)), float(rng.normal(0.08, 0.045))),
        arms=(float(arm[0]), float(arm[1])),
        scapula=float(rng.uniform(0.0, 0.13) + (0.07 if supine else 0.0)),
        vessel_gain=float(np.exp(rng.normal(0.0, 0.12 + 0.26 * difficulty))),
        basal_haze=float((0.02 + 0.16 * difficulty) * rng.beta(1.2, 2.2) + 0.5 * max(0.0, 0.95 - breath)),
        overlap=float((0.25 + 1.15 * difficulty) * rng.beta(1.3, 2.0)),
    )


def _grow_vessels(rng: np.random.Generator, half_width: float, height: float, apex_y: float) -> Vessels:
    """Return the branching vessels of both lungs: nine stems a side, then three and three from each."""
    paths, radii = [], []
    for side in SIDES:
        root = hilum(side, half_width, height, apex_y)
        # From nearly straight up (-) to nearly straight down (+); the lower lobe's are longer and bolder.
        angle = np.linspace(-1.35, 1.3, 9) + rng.normal(0, 0.1, 9)
        down = np.clip(angle, -0.5, 1.3)
        length = (0.40 + 0.07 * down) * rng.uniform(0.8, 1.15, 9)
        radius = (0.0150 + 0.0035 * down) * rng.uniform(0.8, 1.2, 9)
        start = np.repeat(root[None], 9, axis=0) + rng.normal(0, 0.018, (9, 2))
        for generation in range(3):
            bend = rng.normal(0, 0.35, len(angle))
            heading = angle[:, None] + bend[:, None] * (_ALONG - 0.3) + rng.normal(0, 0.07, (len(angle), 5))
            step = np.stack([side * np.cos(heading), np.sin(heading)], axis=2) * length[:, None, None] / 4
            path = start[:, None] + np.cumsum(step, axis=1) - step[:, :1]
            paths.append(path)
            radii.append(radius)
            if generation == 2:
                break
            fork = np.clip(_FORKS + rng.normal(0, 0.07, (len(angle), 3)), 0.1, 1.0)
            index = np.rint(fork * 4).astype(int)
            start = np.take_along_axis(path, index[:, :, None].repeat(2, axis=2), axis=1).reshape(-1, 2)
            turn = rng.uniform(0.3, 0.85, index.shape) * rng.choice([-1.0, 1.0], index.shape)
            angle = (np.take_along_axis(heading, index, axis=1) + turn).ravel()
            length = (length[:, None] * rng.uniform(0.42, 0.68, index.shape)).ravel()
            radius = (radius[:, None] * rng.uniform(0.50, 0.68, index.shape)).ravel()
    order = np.argsort(np.concatenate(radii), kind="stable")
    return Vessels(np.concatenate(paths)[order], np.concatenate(radii)[order])


def hilum(side: float, half_width: float, height: float, apex_y: float) -> Points:
    """Return x and y of a hilum; the left is a little higher than the right."""
    return np.array([side * 0.235 * half_width, apex_y + (0.47 if side < 0 else 0.445) * height])
