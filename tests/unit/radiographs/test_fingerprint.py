"""Copies are recognised, strangers are not."""

import hashlib
import itertools

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from carina.datasets.duplicates import MAX_HAMMING_DISTANCE, MIN_CORRELATION, find_duplicates
from carina.findings import COVID_19, NORMAL, VIRAL_PNEUMONIA
from carina.phantoms.phantom import draw_phantom
from carina.radiographs.fingerprint import DETAIL_LENGTH, Fingerprint, detail_correlation, fingerprint, pixel_sha256
from carina.radiographs.radiograph import Radiograph, build_radiograph
from carina.radiographs.raster import decode_raster
from make import encode, make_grey, make_sheet


def of(pixels: np.ndarray) -> Fingerprint:
    return fingerprint(build_radiograph(pixels))


def are_copies(one: Fingerprint, other: Fingerprint) -> bool:
    hashes = np.array([one.perceptual_hash, other.perceptual_hash], np.uint64)
    return len(find_duplicates(hashes, np.stack([one.detail, other.detail]))) == 1


def test_sha256_is_of_depth_size_and_little_endian_values() -> None:
    deep = make_grey(depth=12)
    wanted = hashlib.sha256(b"uint16 60 50\n" + deep.astype("<u2").tobytes()).hexdigest()
    assert pixel_sha256(build_radiograph(deep)) == wanted
    assert pixel_sha256(build_radiograph(deep.astype(">u2"))) == wanted
    assert pixel_sha256(build_radiograph(deep.astype(np.int32))) == wanted


def test_sha256_tells_one_pixel_the_shape_and_the_depth_apart() -> None:
    grey = make_grey()
    other = grey.copy()
    other[3, 4] ^= 1
    images = (grey, other, grey.reshape(50, 60), grey.T, grey.astype(np.uint16), grey.astype(np.float32))
    assert len({pixel_sha256(build_radiograph(image)) for image in images}) == len(images)
    assert pixel_sha256(Radiograph(grey, 255.0)) == pixel_sha256(build_radiograph(grey.copy()))


def test_shape_of_a_fingerprint() -> None:
    found = of(make_grey())
    assert found.detail.shape == (DETAIL_LENGTH,) == (1764,)
    assert found.detail.dtype == np.int8
    assert 0 <= found.perceptual_hash < 2**64
    assert found.perceptual_hash.bit_count() in range(24, 41)


def jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    return decode_raster(encode(pixels, "JPEG", quality=quality), "JPEG").pixels


CHANGES = {
    "other container": lambda p: decode_raster(encode(p, "WEBP"), "WebP").pixels,
    "half size": lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "twice the size": lambda p: cv2.resize(p, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
    "stretched": lambda p: cv2.resize(p, (256, 200), interpolation=cv2.INTER_AREA),
    "JPEG 90": lambda p: jpeg(p, 90),
    "JPEG 40": lambda p: jpeg(p, 40),
    "brighter": lambda p: np.clip(p.astype(int) + 25, 0, 255).astype(np.uint8),
    "darker": lambda p: (p * 0.7).astype(np.uint8),
    "gamma": lambda p: np.rint(255 * (p / 255) ** 0.75).astype(np.uint8),
    "16 bit": lambda p: p.astype(np.uint16) * 257,
    "noisy": lambda p: np.clip(p + np.random.default_rng(0).normal(0, 4, p.shape), 0, 255).astype(np.uint8),
    "small, compressed and gamma": lambda p: jpeg(
        np.rint(255 * (cv2.resize(p, (150, 150), interpolation=cv2.INTER_AREA) / 255) ** 1.2).astype(np.uint8), 60
    ),
}
PHANTOMS = [
    draw_phantom(finding, seed=seed, size=256).pixels
    for seed in range(4)
    for finding in (COVID_19, NORMAL, VIRAL_PNEUMONIA)
    if seed or finding == NORMAL
]


@pytest.mark.parametrize("name", CHANGES)
def test_changed_copies_of_phantoms_are_recognised(name: str) -> None:
    for pixels in PHANTOMS[:4]:
        one, other = of(pixels), of(CHANGES[name](pixels))
        assert are_copies(one, other)
        assert (one.sha256 == other.sha256) == (name == "other container")


def test_different_patients_are_not_copies() -> None:
    findings = itertools.cycle((COVID_19, NORMAL, VIRAL_PNEUMONIA))
    prints = [of(draw_phantom(next(findings), seed=seed, size=256).pixels) for seed in range(100, 124)]
    for one, other in itertools.combinations(prints, 2):
        assert not are_copies(one, other)


def test_two_radiographs_of_one_patient_are_not_copies() -> None:
    for patient in range(6):
        visits = [of(draw_phantom(NORMAL, seed=(patient, v), patient_seed=patient).pixels) for v in range(2)]
        assert not are_copies(*visits)


def test_correlation_by_hand() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(-127, 128, (5, DETAIL_LENGTH)).astype(np.int8)
    second = rng.integers(-127, 128, (5, DETAIL_LENGTH)).astype(np.int8)
    second[0], second[1] = first[0], -first[1]
    wanted = [
        float(a @ b / np.sqrt((a @ a) * (b @ b)))
        for a, b in zip(first.astype(float), second.astype(float), strict=True)
    ]
    np.testing.assert_allclose(detail_correlation(first, second), wanted, atol=1e-5)
    assert wanted[:2] == pytest.approx([1, -1])


def test_no_structure_correlates_with_nothing() -> None:
    empty = np.zeros((1, DETAIL_LENGTH), np.int8)
    assert detail_correlation(empty, empty) == [0]


def test_the_perceptual_hash_sees_structure_not_level() -> None:
    sheet = make_sheet(1)
    one = of(sheet).perceptual_hash
    assert (one ^ of(sheet // 2).perceptual_hash).bit_count() <= 4
    assert (one ^ of(make_sheet(2)).perceptual_hash).bit_count() > MAX_HAMMING_DISTANCE
    assert 0 < MIN_CORRELATION < 1
