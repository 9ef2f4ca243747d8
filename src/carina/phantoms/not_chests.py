"""Images that are no chest radiographs, drawn: pages, charts, scenery, shapes, other body parts, slices.

They are crude on purpose. The gate learns from them which way is out, not what a hand looks like; how well that carries
over to real photographs and slices is measured by ``benchmarks/gate.py``.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Grey = NDArray[np.uint8]
Drawing = Callable[[np.random.Generator, int], Map]

_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;-()%"))


def draw_not_chest(rng: np.random.Generator, size: int) -> Grey:
    """Return an image that shows no chest: uint8 ``(size, size)``, range [0, 255].

    One of pages of text, charts, scenery, shapes, gradients, hands, skulls, knees, spines, slices of a trunk or a head,
    fans of ultrasound; now and then in negative, turned, noisy, or of low contrast. The same state of `rng` gives the
    same image.
    """
    return _finished(_DRAWINGS[rng.integers(len(_DRAWINGS))], rng, size)


def draw_surroundings(rng: np.random.Generator, size: int) -> Grey:
    """Return what a radiograph may lie on in a picture: as `draw_not_chest`, but a page, a chart, scenery or shapes.

    Not what is mostly black, since many radiographs are small films on a large black one, and must be judged.
    """
    return _finished(_SURROUNDINGS[rng.integers(len(_SURROUNDINGS))], rng, size)


def _finished(draw: Drawing, rng: np.random.Generator, size: int) -> Grey:
    """Return a drawing placed somehow, now and then in negative, turned, noisy or of low contrast."""
    unit = _placed(draw(rng, size), rng)
    if rng.random() < 0.25:
        unit = 1 - unit
    if rng.random() < 0.3:
        unit = np.rot90(unit, int(rng.integers(1, 4)))
    low, high = rng.choice([0.0, rng.uniform(0, 0.25)]), rng.uniform(0.7, 1.0)
    values = 255 * (low + (high - low) * np.clip(unit, 0, 1) ** np.exp(rng.uniform(-0.4, 0.4)))
    values = values + rng.normal(0, 1, values.shape) * rng.choice([0.0, rng.uniform(0, 8)])
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _placed(unit: Map, rng: np.random.Generator) -> Map:
    """Return the drawing nearer or further away, turned a little, and moved."""
    size = unit.shape[0]
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), rng.normal(0, 8), np.exp(rng.uniform(-0.3, 0.5)))
    matrix[:, 2] += rng.uniform(-0.12, 0.12, 2) * size
    moved = cv2.warpAffine(unit, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def _text(rng: np.random.Generator, size: int) -> Map:
    paper = np.full((size, size), int(rng.integers(215, 256)), np.uint8)
    ink, height = int(rng.integers(0, 80)), int(rng.uniform(0.02, 0.09) * size) + 3
    margin = int(rng.uniform(0.02, 0.15) * size)
    for y in range(margin + height, size - margin, int(height * rng.uniform(1.3, 2.2))):
        if rng.random() < 0.1:
            continue
        words = "".join(rng.choice(_LETTERS, int(rng.uniform(0.2, 1.0) * 2.2 * size / height)))
        spaced = " ".join(words[i : i + int(rng.integers(3, 9))] for i in range(0, len(words), 6))
        fits = spaced[: max(1, int((size - 2 * margin) / (0.75 * height)))]
        cv2.putText(paper, fits, (margin, y), cv2.FONT_HERSHEY_SIMPLEX, height / 26, (ink,), 1, cv2.LINE_AA)
    return np.asarray(paper / 255, np.float32)


def _chart(rng: np.random.Generator, size: int) -> Map:
    paper = np.ones((size, size), np.float32)
    left, bottom = int(0.12 * size), int(0.88 * size)
    cv2.line(paper, (left, bottom), (int(0.95 * size), bottom), (0.0,), 1)
    cv2.line(paper, (left, bottom), (left, int(0.05 * size)), (0.0,), 1)
    count = int(rng.integers(4, 40))
    xs = np.linspace(left + 2, 0.93 * size, count)
    for _ in range(int(rng.integers(1, 4))):
        heights = np.cumsum(rng.normal(0, 1, count)) if rng.random() < 0.5 else rng.random(count)
        ys = bottom - 2 - 0.75 * size * (heights - heights.min()) / (np.ptp(heights) + 1e-6)
        grey = float(rng.uniform(0, 0.7))
        if rng.random() < 0.5:
            cv2.polylines(paper, [np.column_stack([xs, ys]).astype(np.int32)], False, (grey,), 1, cv2.LINE_AA)
        else:
            wide = max(1, int(0.35 * size / count))
            for x, y in zip(xs.astype(int), ys.astype(int), strict=True):
                cv2.rectangle(paper, (int(x), int(y)), (int(x) + wide, bottom), (grey,), cv2.FILLED)
    return paper


def _scenery(rng: np.random.Generator, size: int) -> Map:
    """Return 1/f noise with edges in it, whose spectrum is that of photographs.

    Source: Field 1987, doi:10.1364/JOSAA.4.002379.
    """
    layers = [_one_over_f(rng, size) for _ in range(int(rng.integers(1, 5)))]
    image = layers[0]
    for layer in layers[1:]:
        # Objects in front of each other: each hides what lies behind it, and ends in an edge.
        hidden = _one_over_f(rng, size, power=1.6) > rng.uniform(0.4, 0.6)
        image = np.where(hidden, np.clip(layer + rng.uniform(-0.4, 0.4), 0, 1), image)
    return np.asarray(image, np.float32)


def _one_over_f(rng: np.random.Generator, size: int, power: float | None = None) -> Map:
    power = rng.uniform(0.8, 1.5) if power is None else power
    frequency = np.hypot(np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size)[np.newaxis])
    frequency[0, 0] = 1.0
    phases = np.exp(2j * np.pi * rng.random(frequency.shape))
    field = np.fft.irfft2(phases / frequency**power, s=(size, size))
    low, high = np.percentile(field, (1, 99))
    return np.asarray(np.clip((field - low) / (high - low), 0, 1), np.float32)


def _shapes(rng: np.random.Generator, size: int) -> Map:
    paper = np.full((size, size), rng.random(), np.float32)
    for _ in range(int(rng.integers(1, 25))):
        grey, wide = float(rng.random()), int(rng.choice([cv2.FILLED, cv2.FILLED, 1, 4]))
        points = (rng.random((int(rng.integers(3, 6)), 2)) * size).astype(np.int32)
        if rng.random() < 0.5:
            axes = tuple(int(side) for side in rng.uniform(0.02, 0.4, 2) * size)
            turn = float(rng.uniform(0, 180))
            cv2.ellipse(paper, tuple(points[0].tolist()), axes, turn, 0, 360, (grey,), wide, cv2.LINE_AA)
        elif wide == cv2.FILLED:
            cv2.fillPoly(paper, [points], (grey,), cv2.LINE_AA)
        else:
            cv2.polylines(paper, [points], True, (grey,), wide, cv2.LINE_AA)
    return _soften(paper, rng.choice([0.0, rng.uniform(0, 0.03)]))


def _gradient(rng: np.random.Generator, size: int) -> Map:
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    straight = np.cos(turn) * x + np.sin(turn) * y
    away = np.hypot(x - rng.uniform(-0.7, 0.7), y - rng.uniform(-0.7, 0.7))
    field = straight if rng.random() < 0.5 else away
    if rng.random() < 0.5:
        field = np.sin(field * rng.uniform(2, 40) + rng.uniform(0, 6))
    return np.asarray((field - field.min()) / np.ptp(field), np.float32)


def _hand(rng: np.random.Generator, size: int) -> Map:
    flesh, bone = _layers(size)
    wrist = np.array([0.5 + rng.uniform(-0.08, 0.08), 0.78])
    _limb(flesh, wrist, wrist + np.array([0, 0.3]), 0.2)
    _limb(flesh, wrist, wrist - np.array([0, 0.22]), 0.34)
    for i, angle in enumerate(np.deg2rad([-48, -18, -4, 9, 24]) * rng.uniform(0.7, 1.3)):
        way = np.array([np.sin(angle), -np.cos(angle)])
        at, long = wrist + 0.06 * way, (0.13, 0.2, 0.22, 0.2, 0.17)[i] * rng.uniform(0.9, 1.1)
        for shrink in (1.0, 0.62, 0.42, 0.32)[: 3 if i == 0 else 4]:
            _limb(flesh, at, at + way * long * shrink, 0.085)
            _bone(bone, at, at + way * (long * shrink - 0.012), 0.028 * (0.6 + 0.4 * shrink))
            at = at + way * long * shrink
    for side in (-0.045, 0.05):
        _bone(bone, wrist + np.array([side, 0.05]), wrist + np.array([side * 1.1, 0.3]), 0.05)
    return _exposed(flesh, bone, rng)


def _knee(rng: np.random.Generator, size: int) -> Map:
    flesh, bone = _layers(size)
    middle = 0.5 + rng.uniform(-0.1, 0.1)
    wide = rng.uniform(0.3, 0.5)
    _limb(flesh, np.array([middle, -0.1]), np.array([middle, 1.1]), wide)
    for start, end, knob in (((middle, -0.1), (middle, 0.4), 0.45), ((middle, 1.1), (middle, 0.6), 0.56)):
        _bone(bone, np.array(start), np.array(end), 0.13)
        _oval(bone, (middle, knob), (0.15, 0.07), 0.8)
    _bone(bone, np.array([middle + 0.16, 0.62]), np.array([middle + 0.16, 1.1]), 0.04)
    return _exposed(flesh, bone, rng)


def _skull(rng: np.random.Generator, size: int) -> Map:
    flesh, bone = _layers(size)
    x, y = 0.5 + rng.uniform(-0.05, 0.05), 0.42
    wide = rng.uniform(0.28, 0.4)
    _oval(flesh, (x, y), (wide + 0.03, 0.4), 0.5)
    _oval(bone, (x, y), (wide, 0.37), 0.9)
    _oval(bone, (x, y), (wide - 0.035, 0.335), 0.35)
    for side in (-0.12, 0.12):
        _oval(bone, (x + side, y + 0.06), (0.08, 0.065), 0.15)
    _oval(bone, (x, y + 0.15), (0.04, 0.07), 0.1)
    _limb(flesh, np.array([x, 0.7]), np.array([x, 1.1]), 0.4)
    _bone(bone, np.array([x, 0.72]), np.array([x, 1.1]), 0.14)
    return _exposed(flesh, bone, rng)


def _spine(rng: np.random.Generator, size: int) -> Map:
    """Return an abdomen: a spine, a pelvis and gas, and no lungs."""
    flesh, bone = _layers(size)
    _limb(flesh, np.array([0.5, -0.2]), np.array([0.5, 1.2]), rng.uniform(0.8, 1.1))
    for y in np.arange(0.02, 0.7, 0.115):
        _bone(bone, np.array([0.5, y]), np.array([0.5, y + 0.07]), 0.12)
        _bone(bone, np.array([0.36, y + 0.03]), np.array([0.64, y + 0.03]), 0.025)
    if rng.random() < 0.7:
        for side in (-1, 1):
            _oval(bone, (0.5 + side * 0.22, 0.78), (0.17, 0.2), 0.55)
            _oval(bone, (0.5 + side * 0.12, 0.98), (0.07, 0.09), 0.1)
    for _ in range(int(rng.integers(0, 9))):
        centre, axes = rng.uniform(0.2, 0.8, 2), rng.uniform(0.02, 0.08, 2)
        _oval(flesh, (float(centre[0]), float(centre[1])), (float(axes[0]), float(axes[1])), 0.2)
    return _exposed(flesh, bone, rng)


def _trunk_slice(rng: np.random.Generator, size: int) -> Map:
    """Return a round slice as computed tomography gives it, through a chest or a belly."""
    flesh, bone = _layers(size)
    wide, high = rng.uniform(0.36, 0.48), rng.uniform(0.26, 0.38)
    _oval(flesh, (0.5, 0.5), (wide, high), 0.6)
    if rng.random() < 0.6:
        for side in (-1, 1):
            _oval(flesh, (0.5 + side * wide * 0.45, 0.48), (wide * 0.36, high * 0.66), rng.uniform(0, 0.15))
        _oval(flesh, (0.5 + rng.uniform(0, 0.06), 0.42), (wide * 0.25, high * 0.35), 0.65)
    else:
        for _ in range(int(rng.integers(3, 10))):
            centre = rng.uniform(-0.6, 0.6, 2) * (wide, high) + 0.5
            _oval(flesh, (float(centre[0]), float(centre[1])), (0.09, 0.07), float(rng.uniform(0.3, 0.8)))
    _oval(bone, (0.5, 0.5 + high * 0.6), (0.055, 0.05), 0.9)
    for angle in np.linspace(0.2, 2 * np.pi, int(rng.integers(6, 16))):
        _oval(bone, (0.5 + 0.88 * wide * np.cos(angle), 0.5 + 0.88 * high * np.sin(angle)), (0.025, 0.012), 0.8)
    return np.asarray(np.clip(_soften(flesh, 0.004) + _soften(bone, 0.003), 0, 1), np.float32)


def _head_slice(rng: np.random.Generator, size: int) -> Map:
    flesh, _ = _layers(size)
    wide, high = rng.uniform(0.28, 0.38), rng.uniform(0.34, 0.44)
    for shrink, grey in ((1.0, 0.5), (0.96, 0.95), (0.88, rng.uniform(0.1, 0.5)), (0.85, 0.45)):
        _oval(flesh, (0.5, 0.5), (wide * shrink, high * shrink), grey)
    texture = _one_over_f(rng, size, power=1.1)
    inside = flesh == np.float32(0.45)
    flesh[inside] = 0.3 + 0.35 * texture[inside]
    for side in (-1, 1):
        _oval(flesh, (0.5 + side * 0.05, 0.48), (0.025, 0.1), 0.1)
    return _soften(flesh, 0.004)


def _fan(rng: np.random.Generator, size: int) -> Map:
    """Return a fan of speckle as ultrasound gives it."""
    y, x = np.mgrid[0 : 1 : size * 1j, -0.5 : 0.5 : size * 1j]
    radius, angle = np.hypot(x, y + 0.1), np.arctan2(x, y + 0.1)
    inside = (np.abs(angle) < rng.uniform(0.4, 0.8)) & (radius > 0.15) & (radius < rng.uniform(0.8, 1.05))
    speckle = _soften(rng.rayleigh(0.3, (size, size)).astype(np.float32), 0.005)
    return np.asarray(np.where(inside, np.clip(speckle * 2 * _one_over_f(rng, size, power=1.3), 0, 1), 0), np.float32)


def _layers(size: int) -> tuple[Map, Map]:
    return np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)


def _limb(layer: Map, start: NDArray[np.floating], end: NDArray[np.floating], wide: float, grey: float = 0.45) -> None:
    size = layer.shape[0]
    first, last = (tuple(np.rint(point * size).astype(int).tolist()) for point in (start, end))
    cv2.line(layer, first, last, (grey,), max(1, int(wide * size)), cv2.LINE_AA)


def _bone(layer: Map, start: NDArray[np.floating], end: NDArray[np.floating], wide: float) -> None:
    """Draw a shaft: a bright rind around a darker marrow."""
    _limb(layer, start, end, wide, grey=0.85)
    _limb(layer, start, end, 0.55 * wide, grey=0.55)


def _oval(layer: Map, centre: tuple[float, float], axes: tuple[float, float], grey: float) -> None:
    size = layer.shape[0]
    middle = (round(centre[0] * size), round(centre[1] * size))
    cv2.ellipse(layer, middle, (round(axes[0] * size), round(axes[1] * size)), 0, 0, 360, (grey,), cv2.FILLED)


def _exposed(flesh: Map, bone: Map, rng: np.random.Generator) -> Map:
    flesh, bone = _soften(flesh, rng.uniform(0.005, 0.03)), _soften(bone, rng.uniform(0.002, 0.008))
    image = 0.8 * flesh + rng.uniform(0.3, 0.7) * bone
    return np.asarray(image * (0.85 + 0.3 * _one_over_f(rng, image.shape[0])), np.float32)


def _soften(layer: Map, radius: float) -> Map:
    sigma = radius * layer.shape[0]
    return layer if sigma < 0.2 else np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma), np.float32)


_SURROUNDINGS: tuple[Drawing, ...] = (_text, _chart, _scenery, _scenery, _shapes)
_PARTS: tuple[Drawing, ...] = (_hand, _knee, _skull, _spine, _trunk_slice, _head_slice, _fan)
_DRAWINGS: tuple[Drawing, ...] = (_text, _chart, _scenery, _scenery, _scenery, _shapes, _gradient, *_PARTS)
