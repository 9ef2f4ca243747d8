"""What an image is recognised by: exactly (SHA-256 of its pixels) and nearly (perceptual hash, detail)."""

import hashlib
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from carina.radiographs.preprocess import resize_grey
from carina.radiographs.radiograph import Radiograph

_HASH_SIZE = 32
_THUMBNAIL_SIZE = 48
_RIM = 3
DETAIL_LENGTH = (_THUMBNAIL_SIZE - 2 * _RIM) ** 2
DETAIL_HASH_BITS = 512
# Another word gives other hashes: every bundle's list of training images would be worthless.
_PROJECTION_SEED = b"carina detail hash 1"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What one image is recognised by.

    Attributes
    ----------
    sha256
        Hexadecimal SHA-256 of the decoded pixels with their size and depth. The file format, its
        metadata and equal colour channels do not matter to it.
    perceptual_hash
        64 bits that stay nearly the same when the image is scaled, compressed or made lighter.
    detail
        int8 ``(1764,)``: the fine structure of a thumbnail, to confirm by `detail_correlation` what the
        hash proposes.
    """

    sha256: str
    perceptual_hash: int
    detail: NDArray[np.int8]


def fingerprint(radiograph: Radiograph) -> Fingerprint:
    """Return what a radiograph is recognised by."""
    return Fingerprint(
        pixel_sha256(radiograph),
        _perceptual_hash(resize_grey(radiograph, _HASH_SIZE)),
        _detail(resize_grey(radiograph, _THUMBNAIL_SIZE)),
    )


def pixel_sha256(radiograph: Radiograph) -> str:
    """Return the hexadecimal SHA-256 of the decoded pixels, their size and their depth."""
    pixels = radiograph.pixels
    digest = hashlib.sha256(f"{pixels.dtype.name} {radiograph.height} {radiograph.width}\n".encode())
    # Little endian by name, so that the hash is the same on every machine.
    little_endian = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    digest.update(little_endian.view(np.uint8).data)
    return digest.hexdigest()


def detail_correlation(first: NDArray[np.int8], second: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return how far the details (int8 ``(n, 1764)``) of pairs of images agree: float32 ``(n,)``, range [-1, 1]."""
    one, other = first.astype(np.float32), second.astype(np.float32)
    products = np.einsum("ij,ij->i", one, other)
    norms = np.sqrt(np.einsum("ij,ij->i", one, one) * np.einsum("ij,ij->i", other, other))
    return np.asarray(products / np.maximum(norms, 1.0), dtype=np.float32)


def detail_hash(details: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Return 512 bits for each image, uint8 ``(n, 64)``: near details have near hashes, and no hash shows an image.

    A bit is the side of a random hyperplane on which the detail lies; two details at an angle differ in a share
    angle / pi of their bits. Signs by SHAKE-256 and whole-number sums make the bits the same on every machine.
    `details` are int8 ``(n, 1764)``: the `Fingerprint.detail` of each image.

    Source: Charikar 2002, "Similarity estimation techniques from rounding algorithms", doi:10.1145/509907.509965.
    """
    bits = [np.zeros((0, DETAIL_HASH_BITS // 8), np.uint8)]
    for start in range(0, len(details), 4096):
        # Sums stay under 2^24, up to which float32 holds every whole number, in whatever order they are added.
        sums = np.asarray(details[start : start + 4096], np.float32) @ _projections()
        bits.append(np.packbits(sums > 0, axis=1))
    return np.concatenate(bits)


def detail_hash_correlation(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return about `detail_correlation`, by the hashes (uint8 ``(n, 64)``) of pairs: float64 ``(n,)``, range [-1, 1].

    Within about 0.04 either way at a correlation of 0.7, and 0.013 at 0.95 (one standard deviation).
    """
    differing = np.bitwise_count(first ^ second).sum(axis=1, dtype=np.int64)
    return np.asarray(np.cos(np.pi * differing / DETAIL_HASH_BITS))


@cache
def _projections() -> NDArray[np.float32]:
    signs = hashlib.shake_256(_PROJECTION_SEED).digest(DETAIL_LENGTH * DETAIL_HASH_BITS // 8)
    bits = np.unpackbits(np.frombuffer(signs, np.uint8)).reshape(DETAIL_LENGTH, DETAIL_HASH_BITS)
    return np.asarray(bits, np.float32) * 2 - 1


def _perceptual_hash(image: NDArray[np.uint8]) -> int:
    """Return 64 bits: which of 64 low frequencies (without the mean) lie above their median.

    Source: pHash, Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010.
    """
    frequencies = cv2.dct(image.astype(np.float32))[:9, :9].flatten()[1:65]
    bits = frequencies > np.median(frequencies)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _detail(thumbnail: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return the fine structure at equal local contrast, in steps of 1/32 standard deviation.

    By it strangers stay under 0.65 and copies above 0.75; see docs/decisions/0003-near-duplicates.md.
    """
    image = thumbnail.astype(np.float32)
    fine = image - cv2.GaussianBlur(image, (0, 0), 1.2)
    local_contrast = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 3.0))
    equalised = (fine / (local_contrast + 0.3 * fine.std() + 1e-3))[_RIM:-_RIM, _RIM:-_RIM].ravel()
    centred = equalised - equalised.mean()
    standardised = centred / (centred.std() + 1e-6)
    return np.asarray(np.clip(np.rint(standardised * 32.0), -127, 127), np.int8)
