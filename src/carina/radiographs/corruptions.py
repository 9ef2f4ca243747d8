"""What goes wrong with a radiograph before anybody reads it, done on purpose: what the gate learns to refuse.

Each oddity takes a whole radiograph, uint8 ``(size, size)`` as `carina.radiographs.preprocess.resize_grey` gives it,
and makes of it one that must not be judged. `vary_harmless` makes one that must be judged all the same: a little
turned, mirrored left to right, brighter, framed, of low resolution, with a white lung. All that is drawn comes from the
generator that is handed in.
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.radiographs.lung_mask import Lungs

Grey = NDArray[np.uint8]

ODDITIES = (
    *("clockwise", "counterclockwise", "upside-down", "inverted", "cropped", "blank", "noise", "blurred", "several"),
    *("embedded", "sideways"),
)

# A crop is an oddity where less than this share of the lungs is left.
_MOST_LUNG_LEFT = 0.55


def make_odd(
    kind: str,
    whole: Grey,
    rng: np.random.Generator,
    *,
    lungs: Lungs | None = None,
    others: Sequence[Grey] = (),
    picture: Grey | None = None,
) -> Grey:
    """Return the radiograph with one of the `ODDITIES`.

    Parameters
    ----------
    kind, whole, rng
        One of `ODDITIES`, the radiograph (uint8 ``(size, size)``), and all that is drawn.
    lungs
        Where they are, if known, for "cropped".
    others
        More radiographs, for "several".
    picture
        No radiograph, for "embedded"; by default a plain wall.
    """
    if kind in _ALONE:
        return np.ascontiguousarray(_ALONE[kind](whole, rng))
    if kind == "cropped":
        return crop_away(whole, rng, lungs)
    if kind == "several":
        return put_together([whole, *others], rng)
    return put_into_picture(whole, np.full_like(whole, 200) if picture is None else picture, rng)


def mirror_sideways(whole: Grey) -> Grey:
    """Return the radiograph mirrored left to right. No oddity: such films exist, and only a marker would tell."""
    return np.ascontiguousarray(whole[:, ::-1])


def crop_away(whole: Grey, rng: np.random.Generator, lungs: Lungs | None = None) -> Grey:
    """Return a piece of the radiograph, a third to six tenths of its sides, filling the square.

    Where the lungs are known, it holds less than 55 % of them.
    """
    height, width = whole.shape
    for attempt in range(20):
        # Later tries take smaller pieces, so that one that leaves out enough is found.
        share = rng.uniform(0.28, 0.62 - 0.012 * attempt, size=2)
        top, left = rng.uniform(0, 1 - share)
        if _lung_left(lungs, (top, left, top + share[0], left + share[1])) < _MOST_LUNG_LEFT:
            break
    rows = slice(int(top * height), int((top + share[0]) * height))
    columns = slice(int(left * width), int((left + share[1]) * width))
    return np.asarray(cv2.resize(whole[rows, columns], (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _lung_left(lungs: Lungs | None, box: tuple[float, float, float, float]) -> float:
    if lungs is None:
        return 0.0
    size = lungs.mask.shape[0]
    top, left, bottom, right = (round(share * size) for share in box)
    return float(lungs.mask[top:bottom, left:right].sum() / lungs.mask.sum())


def fade_out(whole: Grey, rng: np.random.Generator) -> Grey:
    """Return the radiograph with next to no contrast left: under- or overexposed, or unexposed film with its noise."""
    left = rng.choice([0.0, rng.uniform(0.0, 0.04)])
    level = rng.choice([rng.uniform(0, 12), rng.uniform(243, 255), rng.uniform(0, 255)])
    values = level + left * (whole.astype(np.float32) - whole.mean()) + rng.normal(0, rng.uniform(0, 2), whole.shape)
    if rng.random() < 0.3:
        # A marker or a collimator's edge on an otherwise empty film.
        y, x = (int(rng.uniform(0.05, 0.9) * side) for side in whole.shape)
        values[y : y + int(rng.integers(3, 16)), x : x + int(rng.integers(3, 16))] = rng.uniform(0, 255)
    return _grey(values)


def drown_in_noise(whole: Grey, rng: np.random.Generator) -> Grey:
    """Return noise, white, coarse, striped or salt and pepper, in which next to nothing of the radiograph is left."""
    kind = rng.integers(4)
    if kind == 0:
        noise = rng.normal(0, 1, whole.shape)
    elif kind == 1:
        coarse = rng.normal(0, 1, (max(2, whole.shape[0] // int(rng.integers(2, 5))),) * 2).astype(np.float32)
        smooth = int(rng.choice([cv2.INTER_NEAREST, cv2.INTER_LINEAR]))
        noise = cv2.resize(coarse, whole.shape[::-1], interpolation=smooth)
    elif kind == 2:
        extreme = rng.uniform(0.25, 0.5)
        noise = rng.choice([-2.0, 0.0, 2.0], size=whole.shape, p=(extreme, 1 - 2 * extreme, extreme))
    else:
        noise = rng.normal(0, 1, (whole.shape[0], 1)) + 0.5 * rng.normal(0, 1, whole.shape)
        noise = noise.T if rng.random() < 0.5 else noise
    left = rng.uniform(0, 0.25)
    values = 128 + left * (whole.astype(np.float32) - 128) + rng.uniform(40, 90) * noise
    return _grey(values)


def blur_away(whole: Grey, rng: np.random.Generator) -> Grey:
    """Return the radiograph so blurred, or made of so few blocks, that nothing in the lungs can be seen."""
    height, width = whole.shape
    if rng.random() < 0.3:
        blocks = int(rng.integers(6, 15))
        small = cv2.resize(whole, (blocks, blocks), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    sigma = width * np.exp(rng.uniform(np.log(0.045), np.log(0.14)))
    along = rng.choice([1.0, 1.0, 0.1])
    return np.asarray(cv2.GaussianBlur(whole, (0, 0), sigmaX=sigma, sigmaY=sigma * along), np.uint8)


def put_together(wholes: Sequence[Grey], rng: np.random.Generator) -> Grey:
    """Return several radiographs on one sheet, two to four in a row or column, with or without gaps.

    At least one is needed, all of one size; they are used again where there are fewer than places.
    """
    height, width = wholes[0].shape
    rows, columns = ((2, 2), (2, 3), (3, 2), (3, 3), (4, 4), (1, 3), (3, 1))[rng.integers(7)]
    gap = int(rng.choice([0, 0.01, 0.04]) * width)
    sheet = np.full((height, width), rng.choice([0, 255]), np.uint8)
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        top, bottom = row * height // rows, (row + 1) * height // rows - gap
        left, right = column * width // columns, (column + 1) * width // columns - gap
        piece = wholes[int(rng.integers(len(wholes)))]
        sheet[top:bottom, left:right] = cv2.resize(piece, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return sheet


def put_into_picture(whole: Grey, picture: Grey, rng: np.random.Generator) -> Grey:
    """Return a picture (of the same size) of which the radiograph is a part: on a page, a screen, or photographed."""
    height, width = whole.shape
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    photographed = rng.random() < 0.5
    share = rng.uniform(0.3, 0.68) * np.exp(np.array([1, -1]) * rng.uniform(-0.15, 0.15))
    # Seen from the side: each corner is moved by itself.
    slant = rng.uniform(-0.08, 0.08, (4, 2)) if photographed else 0.0
    at = (rng.uniform(0, 1, 2) * (1 - share) + corners * share + slant) * (width, height)
    there = cv2.getPerspectiveTransform((corners * (width, height)).astype(np.float32), at.astype(np.float32))
    film = cv2.GaussianBlur(whole, (0, 0), 0.4 / float(share.min())).astype(np.float32)
    if photographed:
        film = rng.uniform(0.6, 1.0) * film + rng.uniform(0, 40) + _lamp(whole.shape, rng)
    where = cv2.warpPerspective(np.ones(whole.shape, np.float32), there, (width, height))
    film = cv2.warpPerspective(film, there, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return _grey(picture * (1 - where) + film * where)


def _lamp(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    # A soft bright spot somewhere.
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j].astype(np.float32)
    away = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1)) / rng.uniform(0.08, 0.3)
    return np.asarray(rng.choice([0, rng.uniform(20, 120)]) * np.exp(-0.5 * away**2), np.float32)


def fold_sideways(whole: Grey, rng: np.random.Generator) -> Grey:
    """Return what a side view looks like roughly: both halves over each other, the spine along one side."""
    height, width = whole.shape
    fold = int(rng.uniform(0.42, 0.58) * width)
    left, right = whole[:, :fold], whole[:, fold:][:, ::-1]
    size = (int(rng.uniform(0.6, 0.95) * width), height)
    first, second = (
        cv2.resize(half, size, interpolation=cv2.INTER_LINEAR).astype(np.float32) for half in (left, right)
    )
    second = np.roll(second, int(rng.uniform(-0.06, 0.06) * width), axis=1)
    # Rays that cross two lungs and more of the body's depth: overlaid, and brighter towards the spine.
    weight = rng.uniform(0.3, 0.7)
    folded = weight * first + (1 - weight) * second
    folded += rng.uniform(0, 60) * np.linspace(0, 1, size[0], dtype=np.float32) ** 3
    paper = np.full((height, width), rng.choice([0.0, float(np.median(whole[:, :4]))]), np.float32)
    start = int(rng.uniform(0, 1) * (width - size[0]))
    paper[:, start : start + size[0]] = folded
    return _grey(paper[:, ::-1] if rng.random() < 0.5 else paper)


def whiten_lung(whole: Grey, lungs: Lungs, rng: np.random.Generator) -> Grey:
    """Return the radiograph with the lower part, or all, of one lung white, as by an effusion: disease, no oddity."""
    height, width = whole.shape
    mask = cv2.resize(lungs.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    top, left, bottom, right = lungs.box
    half = (left + right) / 2 * width
    columns = np.arange(width) < half if rng.random() < 0.5 else np.arange(width) >= half
    level = (top + rng.uniform(0, 0.7) * (bottom - top)) * height
    where = mask * columns[np.newaxis] * (np.arange(height) > level)[:, np.newaxis]
    where = cv2.GaussianBlur(where.astype(np.float32), (0, 0), width * rng.uniform(0.01, 0.03))
    where *= rng.uniform(0.6, 0.95)
    return _grey(whole * (1 - where) + rng.uniform(150, 225) * where)


def vary_harmless(whole: Grey, lungs: Lungs | None, rng: np.random.Generator) -> Grey:
    """Return the radiograph as another room, detector or publisher might have shown it: still to be judged.

    Now and then mirrored left to right, turned by up to 12°, moved, scaled, squeezed; grey values bent; edges
    sharpened; a rim added, text or a marker written on it; resolution lost; a lung, where known, whitened as by an
    effusion.
    """
    if lungs is not None and rng.random() < 0.15:
        whole = whiten_lung(whole, lungs, rng)
    height, width = whole.shape
    turn = np.deg2rad(np.clip(rng.normal(0, 4), -12, 12))
    # One in eight is a small film on a large dark one, as portable machines and old scans give it.
    small = rng.random() < 1 / 8
    enlarged = rng.uniform(-0.4, -0.2) if small else rng.uniform(-0.2, 0.12)
    scale = np.exp(enlarged + np.array([1, -1]) * rng.uniform(-0.12, 0.12))
    scale[0] *= -1 if rng.random() < 0.5 else 1
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(scale)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = centre - linear @ centre + np.array([width, height]) * rng.uniform(-0.06, 0.06, size=2)
    rim = float(rng.choice([0.0, 0.0, 20.0] if small else [0.0, 0.0, 0.0, 20.0, 255.0]))
    matrix, size = np.column_stack([linear, shift]), (width, height)
    values = cv2.warpAffine(whole.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR, borderValue=(rim,))
    if rng.random() < 0.25:
        fewer = int(rng.uniform(0.3, 0.8) * width)
        values = cv2.resize(cv2.resize(values, (fewer, fewer), interpolation=cv2.INTER_AREA), (width, height))
    if rng.random() < 0.25:
        # Edges and local contrast raised, as many portable machines do.
        values += rng.uniform(0.3, 1.5) * (values - cv2.GaussianBlur(values, (0, 0), width * rng.uniform(0.005, 0.08)))
    unit = np.clip(values / 255.0, 0, 1) ** np.exp(rng.uniform(-0.4, 0.4))
    unit = (unit - 0.5) * np.exp(rng.uniform(-0.4, 0.2)) + 0.5 + rng.uniform(-0.08, 0.08)
    unit += rng.normal(0, 1, unit.shape) * rng.choice([0.0, rng.uniform(0, 0.04)])
    grey = _grey(255.0 * unit)
    if rng.random() < 0.3:
        _write_on(grey, rng)
    return grey


def _write_on(grey: Grey, rng: np.random.Generator) -> None:
    """Write a line or two near the rim, in white or black."""
    height, width = grey.shape
    words = ("L", "R", "AP", "PORTABLE", "SUPINE", "ERECT", "DAY 1", "12:45", "A", "B")
    for _ in range(int(rng.integers(1, 3))):
        x = int(rng.choice([rng.uniform(0.01, 0.1), rng.uniform(0.7, 0.9)]) * width)
        y = int(rng.choice([rng.uniform(0.06, 0.15), rng.uniform(0.88, 0.98)]) * height)
        size, grey_level = rng.uniform(0.3, 0.9) * width / 224, int(rng.choice([0, 255, 255]))
        cv2.putText(grey, str(rng.choice(words)), (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (grey_level,), 1, cv2.LINE_AA)


def _grey(values: NDArray[np.floating]) -> Grey:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


_ALONE: Mapping[str, Callable[[Grey, np.random.Generator], Grey]] = {
    "clockwise": lambda whole, _: np.rot90(whole, -1),
    "counterclockwise": lambda whole, _: np.rot90(whole),
    # Turned by 180°, or mirrored so that the head is below and left stays left.
    "upside-down": lambda whole, rng: whole[::-1, ::-1] if rng.random() < 0.5 else whole[::-1],
    # Bone black, air white.
    "inverted": lambda whole, _: 255 - whole,
    "blank": fade_out,
    "noise": drown_in_noise,
    "blurred": blur_away,
    "sideways": fold_sideways,
}
