"""What a training learns from: what an added data set brings, and what is no training data."""

from pathlib import Path

import polars as pl
import pytest

from carina.datasets.importing import import_dataset
from carina.datasets.manifest import Dataset
from carina.errors import ConfigurationError, DataError
from carina.learning.data.training_data import find_unpaired, gather_training_data, require_training_images
from carina.learning.recipe import load_recipe
from make import make_grey, write_image


def test_an_added_set_brings_what_is_new_and_a_test_set_nothing(phantom_dataset: Dataset, tmp_path: Path) -> None:
    recipe = load_recipe("head")
    once = gather_training_data([phantom_dataset.folder], recipe)
    twice = gather_training_data([phantom_dataset.folder, phantom_dataset.folder], recipe)
    assert (once.near_duplicates, twice.near_duplicates) == (0, phantom_dataset.manifest.height)
    assert twice.train_rows.height == once.train_rows.height

    for number, finding in enumerate(("Normal", "COVID-19", "Normal", "COVID-19")):
        write_image(tmp_path / "other" / finding / f"{number}.png", make_grey(number, (96, 96)))
    other = import_dataset(tmp_path / "other", tmp_path / "test", test_only=True).dataset.folder
    with pytest.raises(DataError, match="test has no images to train on"):
        gather_training_data([other], recipe)
    with pytest.raises(DataError, match="test was imported with --test-only"):
        require_training_images(gather_training_data([phantom_dataset.folder, other], recipe), recipe)


def test_abnormal_images_without_a_normal_one_of_their_source_are_found() -> None:
    findings = ["Normal", "COVID-19", "COVID-19", "Normal", "Other opacity"]
    rows = pl.DataFrame({"set": [0, 0, 0, 1, 1], "finding": findings, "source": ["a", "a", "b", None, None]})
    assert find_unpaired(rows).tolist() == [False, False, True, False, False]
    # Sources of one name, or without a name, in two data sets are two.
    apart = rows.with_columns(set=pl.Series([0, 0, 0, 1, 2]))
    assert find_unpaired(apart).tolist() == [False, False, True, False, True]
    with pytest.raises(ConfigurationError, match="no source has normal and abnormal images"):
        find_unpaired(rows[2:4])
