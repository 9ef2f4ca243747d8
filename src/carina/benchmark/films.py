"""What a benchmark reads: synthetic radiographs as files of three kinds, small, medium and large."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.phantoms.phantom import MAX_SIZE, PHANTOM_FINDINGS, draw_phantom

Kind = Literal["224² JPEG", "1024² PNG", "3000² 16-bit PNG"]

SMALL: Kind = "224² JPEG"
MEDIUM: Kind = "1024² PNG"
LARGE: Kind = "3000² 16-bit PNG"
KINDS: tuple[Kind, ...] = (SMALL, MEDIUM, LARGE)

_JPEG_SETTINGS = [cv2.IMWRITE_JPEG_QUALITY, 90]
_LARGE_SIZE = 3000
# Detectors store 12 bits in 16. Their noise decides how long a PNG takes to decode: half of its bytes are noise.
_LARGE_WHITE, _LARGE_NOISE = 4095, 12.0


@dataclass(frozen=True, slots=True)
class Films:
    """Files of one kind."""

    kind: Kind  # size and format
    paths: tuple[Path, ...]  # the files; each is another radiograph

    def take(self, count: int) -> list[Path]:
        """Return so many paths, the same ones again and again where there are not as many files."""
        return [self.paths[number % len(self.paths)] for number in range(count)]


def write_films(folder: Path, counts: Mapping[Kind, int]) -> dict[Kind, Films]:
    """Write so many phantoms of each of these kinds to a folder that exists, and return them.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full.
    """
    paths: dict[Kind, list[Path]] = {kind: [] for kind in counts}
    for seed in range(max(counts.values())):
        finding = PHANTOM_FINDINGS[seed % len(PHANTOM_FINDINGS)]
        drawn: dict[int, NDArray[np.uint8]] = {}
        for kind in (kind for kind, count in counts.items() if seed < count):
            size, ending, settings = (MAX_SIZE, ".png", []) if kind != SMALL else (224, ".jpg", _JPEG_SETTINGS)
            if size not in drawn:
                drawn[size] = draw_phantom(finding, seed=seed, size=size).pixels
            pixels = _enlarged(drawn[size], seed) if kind == LARGE else drawn[size]
            path = folder / f"{KINDS.index(kind)}-{seed}{ending}"
            # Not cv2.imwrite, which says of a full disk no more than False.
            _, encoded = cv2.imencode(ending, pixels, settings)
            path.write_bytes(encoded.tobytes())
            paths[kind].append(path)
    return {kind: Films(kind, tuple(paths[kind])) for kind in counts}


def _enlarged(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint16]:
    size = (_LARGE_SIZE, _LARGE_SIZE)
    large = cv2.resize(pixels.astype(np.float32), size, interpolation=cv2.INTER_CUBIC) * (_LARGE_WHITE / 255)
    noise = np.random.default_rng(seed).standard_normal(size, np.float32) * np.float32(_LARGE_NOISE)
    return np.asarray(np.clip(large + noise, 0, _LARGE_WHITE), np.uint16)
