"""Copies of training images are found by their hashes alone; strangers of the same data set are not called copies."""

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from carina.bundles.run_folder import TRAINING_IMAGES_FILE
from carina.bundles.training_images import TrainingImages, write_training_images
from carina.datasets.manifest import Dataset
from carina.errors import BundleError
from carina.evaluation.leaks import MIN_HASH_CORRELATION, LeakCheck, check_leaks, find_near
from carina.radiographs.fingerprint import DETAIL_LENGTH, detail_correlation, detail_hash, detail_hash_correlation


def details_of(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.clip(np.rint(rng.normal(0, 32, (count, DETAIL_LENGTH))), -127, 127).astype(np.int8)


def mixed(rng: np.random.Generator, details: np.ndarray, correlation: float) -> np.ndarray:
    other = details_of(rng, len(details)).astype(float)
    mixture = correlation * details + np.sqrt(1 - correlation**2) * other
    return np.clip(np.rint(mixture), -127, 127).astype(np.int8)


class OnlyRows(Dataset):
    """A data set of a manifest and details, without a folder."""

    def __init__(self, sha256: list[str], details: np.ndarray) -> None:
        super().__init__(Path("nowhere"), None, pl.DataFrame({"sha256": sha256}))  # type: ignore[arg-type]
        self.__dict__["details"] = details


def learned(folder: Path, *parts: TrainingImages) -> Path:
    images = parts[0]
    for part in parts[1:]:
        images = images + part
    write_training_images(folder / TRAINING_IMAGES_FILE, images)
    return folder


def rows_of(sha256: list[str], perceptual: np.ndarray) -> pl.DataFrame:
    columns = {"row": np.arange(len(sha256), dtype=np.uint32), "sha256": sha256, "perceptual_hash": perceptual}
    return pl.DataFrame(columns)


def test_the_hash_says_what_the_details_say() -> None:
    rng = np.random.default_rng(1)
    for correlation in (0.0, 0.5, 0.7, 0.95):
        first = details_of(rng, 200)
        second = mixed(rng, first, correlation)
        exact = detail_correlation(first, second)
        estimate = detail_hash_correlation(detail_hash(first), detail_hash(second))
        assert abs((estimate - exact).mean()) < 0.02
        assert np.std(estimate - exact) < {0.0: 0.085, 0.5: 0.07, 0.7: 0.055, 0.95: 0.025}[correlation]


def test_the_hash_is_the_same_on_every_machine() -> None:
    details = (np.arange(9 * DETAIL_LENGTH, dtype=np.int64) * 7919 % 251 - 125).reshape(9, -1)
    details = details * np.arange(1, DETAIL_LENGTH + 1) % 201 - 100
    found = detail_hash(details.astype(np.int8))
    # By whole numbers from start to end.
    signs = np.frombuffer(hashlib.shake_256(b"carina detail hash 1").digest(DETAIL_LENGTH * 64), np.uint8)
    planes = np.unpackbits(signs).reshape(DETAIL_LENGTH, 512).astype(np.int64) * 2 - 1
    np.testing.assert_array_equal(found, np.packbits(details @ planes > 0, axis=1))
    # Bundles hold such hashes: they may never change.
    assert hashlib.sha256(found.tobytes()).hexdigest() == (
        "d174e24af273542e202aa7149f88b0a944f8c7df3a629ce07ba232ec9fcaf372"
    )


def test_near_needs_both_hashes() -> None:
    rng = np.random.default_rng(2)
    details = details_of(rng, 4)
    seen = TrainingImages.of(["a" * 64] * 4, "train", np.zeros(4, np.uint64), details)
    copies = mixed(rng, details, 0.9)
    strangers = details_of(rng, 4)
    far = np.full(4, 0b11111111111, np.uint64)  # 11 bits
    near = np.full(4, 0b1111111111, np.uint64)  # 10 bits
    diagonal = [[i, i] for i in range(4)]
    for hashes, tested, expected in ((near, copies, diagonal), (far, copies, []), (near, strangers, [])):
        pairs = find_near(TrainingImages.of(["b" * 64] * 4, "train", hashes, tested), seen)
        assert pairs.tolist() == expected
    assert pytest.approx(0.60) == MIN_HASH_CORRELATION


def test_copies_pixels_and_stopping_images_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    details = details_of(rng, 4)
    hashes = np.array([0, 2**64 - 1, 0xFF, 0xFF00FF00FF], np.uint64)
    sha = [f"{i:064x}" for i in range(4)]
    model = learned(
        tmp_path,
        TrainingImages.of(sha[:2], "train", hashes[:2], details[:2]),
        TrainingImages.of(sha[2:3], "stopping", hashes[2:3], details[2:3]),
        TrainingImages.of(sha[3:], "calibration", hashes[3:], details[3:]),
    )
    # To the pixel, nearly, nearly one that stopped, the very one that calibrated, a stranger.
    tested = np.concatenate([details[:1], mixed(rng, details[1:3], 0.9), details[3:], details_of(rng, 1)])
    names = [sha[0], "b" * 64, "c" * 64, sha[3], "d" * 64]
    found = check_leaks(
        model, OnlyRows(names, tested), rows_of(names, np.append(hashes, np.uint64(0)).astype(np.uint64))
    )
    assert found.learned.rows() == [(sha[0], "same pixels"), ("b" * 64, "near-duplicate")]
    assert (found.same_pixels, found.near_duplicates, found.stopped_on) == (1, 1, 2)
    assert (found.images, found.training_images) == (5, 2)


def test_details_decide_where_they_are_at_hand(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    trained = details_of(rng, 30)
    # As strangers in the same position are: their hashes would often pass for near.
    strangers = mixed(rng, trained, 0.64)
    hashes = np.zeros(30, np.uint64)
    sha = [f"{i:064x}" for i in range(60)]
    model = learned(tmp_path, TrainingImages.of(sha[:30], "train", hashes, trained))
    rows = rows_of(sha[30:], hashes)
    elsewhere = check_leaks(model, OnlyRows(sha[30:], strangers), rows)
    assert elsewhere.near_duplicates > 10
    together = OnlyRows(sha, np.concatenate([trained, strangers]))
    same_set = check_leaks(model, together, rows.with_columns(row=pl.col("row") + 30))
    assert same_set.near_duplicates == 0


def test_a_model_that_does_not_say_what_it_learned_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="a leak could not be found"):
        check_leaks(tmp_path, OnlyRows(["a"], details_of(np.random.default_rng(0), 1)), rows_of(["a"], np.zeros(1)))


def test_what_was_found_is_told_in_one_sentence() -> None:
    kinds = ["same pixels", "near-duplicate"]
    found = pl.DataFrame({"sha256": ["a", "b"], "kind": kinds})
    assert LeakCheck(found, 0, 30, 100).in_words(Path("data"), "test") == (
        "2 of the 30 images in data (test) were trained on: 1 to the pixel, 1 as a near-duplicate."
    )
    assert LeakCheck(found.head(1), 0, 1, 100).in_words(Path("data"), "test") == (
        "1 of the 1 image in data (test) was trained on: 1 to the pixel, 0 as near-duplicates."
    )
