"""Embeddings are made once, found again by what could change them, and survive damage."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from carina.datasets.images import read_whole
from carina.datasets.manifest import Dataset
from carina.errors import DataError
from carina.learning import embeddings as module
from carina.learning.backbone import build_backbone
from carina.learning.data.batches import build_batches
from carina.learning.data.frames import Frames
from carina.learning.embeddings import embed_rows
from carina.learning.export.onnx_export import export_backbone
from carina.learning.recipe import Recipe
from conftest import tiny_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return tiny_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def backbone(recipe: Recipe) -> keras.Model:
    # The network of `tiny_run`, which is exported once for all tests (tests/quick_training.py).
    keras.utils.set_random_seed(recipe.training.seed)
    return build_backbone(recipe.backbone, recipe.preprocessing.size).model


@pytest.fixture(scope="module")
def graph(backbone: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "backbone.onnx"
    export_backbone(backbone, path)
    return path


def frames_of(recipe: Recipe) -> Frames:
    return Frames(recipe.preprocessing, None, Path())


def count_embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    embedded: list[int] = []
    real = module._embed

    def counting(wanted: Any, *rest: Any) -> Any:
        embedded.append(len(wanted))
        return real(wanted, *rest)

    monkeypatch.setattr(module, "_embed", counting)
    return embedded


@pytest.mark.long
def test_embeddings_are_those_of_keras_on_the_pixels_of_tf_data(
    phantom_dataset: Dataset, recipe: Recipe, backbone: keras.Model, graph: Path, tmp_path: Path
) -> None:
    rows = phantom_dataset.rows("test")
    made = embed_rows(rows, recipe, graph, frames_of(recipe), tmp_path)
    expected = np.concatenate(
        [
            np.asarray(backbone(tensor))
            for tensor, _, _ in build_batches(rows, recipe, phantom_dataset.description.findings, frames_of(recipe))
        ]
    )
    assert made.shape == (1, rows.height, expected.shape[1])
    np.testing.assert_allclose(made[0], expected, atol=1e-4 * np.abs(expected).max())


def test_nothing_is_embedded_twice_and_a_killed_run_loses_one_shard(
    phantom_dataset: Dataset, recipe: Recipe, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD", 10)
    rows = phantom_dataset.rows("test")
    unique = rows["sha256"].n_unique()
    embedded = count_embedded(monkeypatch)

    class KilledError(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done >= 12:  # in the second shard
            raise KilledError

    with pytest.raises(KilledError):
        embed_rows(rows, recipe, graph, frames_of(recipe), tmp_path, progress=kill)
    assert sum(embedded) == 20
    first = embed_rows(rows, recipe, graph, frames_of(recipe), tmp_path)
    # The first shard was kept, the second made again.
    assert sum(embedded) == 20 + unique - 10
    again = embed_rows(rows.reverse(), recipe, graph, frames_of(recipe), tmp_path)
    assert sum(embedded) == 20 + unique - 10
    np.testing.assert_array_equal(again[0], first[0][::-1])


def test_a_damaged_shard_is_made_again(phantom_dataset: Dataset, recipe: Recipe, graph: Path, tmp_path: Path) -> None:
    rows = phantom_dataset.rows("test").head(5)
    first = embed_rows(rows, recipe, graph, frames_of(recipe), tmp_path)
    (shard,) = tmp_path.rglob("shard-*.npz")
    shard.write_bytes(shard.read_bytes()[:100])
    np.testing.assert_array_equal(embed_rows(rows, recipe, graph, frames_of(recipe), tmp_path), first)


def test_other_pixels_ask_for_other_embeddings(
    phantom_dataset: Dataset, recipe: Recipe, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = phantom_dataset.rows("test").head(4)
    embedded = count_embedded(monkeypatch)
    embed_rows(rows, recipe, graph, frames_of(recipe), tmp_path)
    zero_one = recipe.preprocessing.model_copy(update={"pixel_range": "zero-one"})
    other = recipe.model_copy(update={"preprocessing": zero_one})
    embed_rows(rows, other, graph, frames_of(other), tmp_path)
    assert sum(embedded) == 8


def test_views_differ_from_the_image_and_are_the_same_every_time(
    phantom_dataset: Dataset, recipe: Recipe, graph: Path, tmp_path: Path
) -> None:
    rows = phantom_dataset.rows("test").head(3)
    made = embed_rows(rows, recipe, graph, frames_of(recipe), tmp_path / "a", views=2)
    assert made.shape[:2] == (3, 3)
    # Features of a random network are tiny: they are compared by their own size.
    largest = np.abs(made).max()
    assert np.abs(made[0] - made[1]).max() > 0.02 * largest
    assert np.abs(made[1] - made[2]).max() > 0.02 * largest
    np.testing.assert_allclose(
        embed_rows(rows, recipe, graph, frames_of(recipe), tmp_path / "b", views=2), made, atol=1e-5 * largest
    )


def test_a_changed_image_is_refused(phantom_dataset: Dataset, recipe: Recipe, graph: Path, tmp_path: Path) -> None:
    rows = phantom_dataset.rows("test").head(2)
    swapped = rows.with_columns(path=rows["path"].reverse())
    with pytest.raises(DataError, match=r"is not the image that was imported. Put it back"):
        embed_rows(swapped, recipe, graph, frames_of(recipe), tmp_path)
    with pytest.raises(DataError, match=r"there is no such file"):
        read_whole(str(tmp_path / "gone.png"), "0", 64)
