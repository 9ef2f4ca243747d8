"""The list of what a model learned from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carina.bundles.training_images import TrainingImages, read_training_images, write_training_images
from carina.errors import BundleError
from carina.radiographs.fingerprint import DETAIL_LENGTH, detail_hash


def images(role: str, count: int = 3) -> TrainingImages:
    rng = np.random.default_rng(len(role))
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    details = rng.integers(-127, 128, (count, DETAIL_LENGTH), dtype=np.int8)
    return TrainingImages.of([f"{i + len(role):064x}" for i in range(count)], role, hashes, details)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = images("train") + images("stopping", 2) + images("calibration", 1)
    write_training_images(tmp_path / "list.txt", written)
    read = read_training_images(tmp_path / "list.txt")
    assert (read.sha256, read.role) == (written.sha256, written.role)
    np.testing.assert_array_equal(read.perceptual_hash, written.perceptual_hash)
    np.testing.assert_array_equal(read.detail_hash, written.detail_hash)
    assert read.detail_hash.shape == (6, 64)
    assert read.with_role("train").tolist() == [True] * 3 + [False] * 3
    line = (tmp_path / "list.txt").read_text().splitlines()[3]
    assert [len(field) for field in line.split(" ")] == [64, 8, 16, 128]


def test_details_become_hashes() -> None:
    details = np.random.default_rng(0).integers(-127, 128, (2, DETAIL_LENGTH), dtype=np.int8)
    found = TrainingImages.of(["0" * 64, "1" * 64], "train", np.zeros(2, np.uint64), details)
    np.testing.assert_array_equal(found.detail_hash, detail_hash(details))


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-2],
        lambda text: text.replace(" train ", " tested "),
        lambda text: text.replace(" train ", "  train "),
        lambda text: text + "\n",
        lambda text: text.upper(),
    ],
)
def test_a_damaged_list_is_refused(tmp_path: Path, damage: Callable[..., Any]) -> None:
    path = tmp_path / "list.txt"
    write_training_images(path, images("train"))
    path.write_text(damage(path.read_text()))
    with pytest.raises(BundleError, match=r"list\.txt, line \d is no training image: a leak could not be found"):
        read_training_images(path)


def test_a_missing_list_and_one_of_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with pytest.raises(BundleError, match=r"missing or damaged: a leak could not be found"):
        read_training_images(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match=r"missing or damaged"):
        read_training_images(path)
