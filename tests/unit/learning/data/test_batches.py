"""tf.data gives every image once, in an order and with an augmentation that the seed and the epoch decide."""

import numpy as np
import pytest

from carina.datasets.manifest import Dataset
from carina.learning.data.batches import build_batches
from carina.learning.data.frames import Frames
from carina.learning.recipe import Recipe
from conftest import tiny_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_recipe(tmp_path_factory.mktemp("recipe"), method="end-to-end")


def gather(dataset: Dataset, recipe: Recipe, epoch: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frames = Frames(recipe.preprocessing, None, dataset.folder)
    batches = build_batches(dataset.rows("test"), recipe, dataset.description.findings, frames, training_epoch=epoch)
    tensors, labels, weights = zip(*((t.numpy(), y.numpy(), w.numpy()) for t, y, w in batches), strict=True)
    return np.concatenate(tensors), np.concatenate(labels), np.concatenate(weights)


def without_augmentation(recipe: Recipe) -> Recipe:
    off = recipe.augmentation.model_copy(update={"rotation_turns": 0.0, "shift": 0.0})
    return recipe.model_copy(update={"augmentation": off})


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own(phantom_dataset: Dataset, recipe: Recipe) -> None:
    plain = without_augmentation(recipe)
    in_order, labels, weights = gather(phantom_dataset, plain, None)
    shuffled, shuffled_labels, shuffled_weights = gather(phantom_dataset, plain, 0)
    # Each image is told by its sum; label and weight travel with it.
    order = [
        int(np.flatnonzero(np.isclose(in_order.sum(axis=(1, 2, 3)), total))[0])
        for total in shuffled.sum(axis=(1, 2, 3))
    ]
    assert sorted(order) == list(range(len(labels)))
    assert order != sorted(order)
    np.testing.assert_array_equal(labels[order], shuffled_labels)
    np.testing.assert_array_equal(weights[order], shuffled_weights)
    assert not np.array_equal(shuffled, gather(phantom_dataset, plain, 1)[0])


def test_the_same_epoch_is_the_same_again(phantom_dataset: Dataset, recipe: Recipe) -> None:
    once, again = gather(phantom_dataset, recipe, 3), gather(phantom_dataset, recipe, 3)
    np.testing.assert_array_equal(once[0], again[0])


def test_augmentation_moves_training_images_only(phantom_dataset: Dataset, recipe: Recipe) -> None:
    plain = without_augmentation(recipe)
    assert not np.allclose(gather(phantom_dataset, recipe, 0)[0], gather(phantom_dataset, plain, 0)[0], atol=0.05)
    np.testing.assert_array_equal(gather(phantom_dataset, recipe, None)[0], gather(phantom_dataset, plain, None)[0])


@pytest.mark.parametrize(("pixel_range", "low", "high"), [("zero-one", 0.0, 1.0), ("minus-one-one", -1.0, 1.0)])
def test_tensors_are_in_the_range_of_the_recipe(
    phantom_dataset: Dataset, recipe: Recipe, pixel_range: str, low: float, high: float
) -> None:
    preprocessing = recipe.preprocessing.model_copy(update={"pixel_range": pixel_range})
    tensors, _, _ = gather(phantom_dataset, recipe.model_copy(update={"preprocessing": preprocessing}), None)
    assert tensors.dtype == np.float32
    assert tensors.shape[1:] == (64, 64, 3)
    assert low <= tensors.min() < low + 0.2
    assert high - 0.3 < tensors.max() <= high
    np.testing.assert_array_equal(tensors[..., 0], tensors[..., 2])
