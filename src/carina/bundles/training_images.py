"""What a model learned from, so that evaluation can refuse a leak: hashes, from which no image can be seen.

``training_images.txt`` has one line an image: SHA-256 of its pixels, role, perceptual hash, detail hash. Roles are
``train``; ``stopping``, which ended the training and chose thresholds; and ``calibration``, on which thresholds were
chosen again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from carina.errors import BundleError
from carina.radiographs.fingerprint import detail_hash
from carina.storage.atomic import write_text

ROLES = ("train", "stopping", "calibration")
_LINE = re.compile(rf"([0-9a-f]{{64}}) ({'|'.join(ROLES)}) ([0-9a-f]{{16}}) ([0-9a-f]{{128}})")

_AGAIN = "Train or export the model again."


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """A place in every list is an image.

    Attributes
    ----------
    sha256, role
        Of the decoded pixels, hexadecimal; and one of `ROLES`.
    perceptual_hash, detail_hash
        uint64 ``(n,)`` and uint8 ``(n, 64)``.
    """

    sha256: tuple[str, ...]
    role: tuple[str, ...]
    perceptual_hash: NDArray[np.uint64]
    detail_hash: NDArray[np.uint8]

    @classmethod
    def of(
        cls, sha256: Sequence[str], role: str, perceptual_hash: NDArray[np.uint64], details: NDArray[np.int8]
    ) -> Self:
        """Return images of one role; `details` are int8 ``(n, 1764)``, as a data set holds them."""
        return cls(tuple(sha256), (role,) * len(sha256), perceptual_hash, detail_hash(details))

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.sha256 + other.sha256,
            self.role + other.role,
            np.concatenate([self.perceptual_hash, other.perceptual_hash]),
            np.concatenate([self.detail_hash, other.detail_hash]),
        )

    def __len__(self) -> int:
        return len(self.sha256)

    def with_role(self, role: str) -> NDArray[np.bool_]:
        """Return which images have a role: bool ``(n,)``."""
        return np.array([each == role for each in self.role], dtype=np.bool_)

    @property
    def learned(self) -> frozenset[str]:
        """Return the SHA-256 of the images that were trained on, without those of the other roles."""
        return frozenset(sha256 for sha256, role in zip(self.sha256, self.role, strict=True) if role == "train")


def write_training_images(path: Path, images: TrainingImages) -> None:
    """Write the list, whole or not at all."""
    rows = zip(images.sha256, images.role, images.perceptual_hash.tolist(), images.detail_hash, strict=True)
    lines = (f"{sha256} {role} {near:016x} {detail.tobytes().hex()}\n" for sha256, role, near, detail in rows)
    write_text(path, "".join(lines))


def read_training_images(path: Path) -> TrainingImages:
    """Return what a model learned from.

    Raises
    ------
    BundleError
        If the list is missing or damaged: a leak could not be found.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        msg = f"{path} is missing or damaged: a leak could not be found. {_AGAIN}"
        raise BundleError(msg) from None
    fields = [_LINE.fullmatch(line) for line in lines]
    if not lines or None in fields:
        damaged = fields.index(None) + 1 if lines else 1
        msg = f"{path}, line {damaged} is no training image: a leak could not be found. {_AGAIN}"
        raise BundleError(msg)
    sha256, roles, perceptual, details = zip(*(field.groups() for field in fields if field), strict=True)
    return TrainingImages(
        sha256,
        roles,
        np.array([int(each, 16) for each in perceptual], dtype=np.uint64),
        np.frombuffer(bytes.fromhex("".join(details)), np.uint8).reshape(-1, 64),
    )
