"""The metadata of a data set are valid Croissant, fit the manifest, and hold nothing of a patient or of the site."""

import json
import logging
import shutil
import warnings
from pathlib import Path

import pytest

from carina.datasets.croissant import croissant_of, write_croissant
from carina.datasets.manifest import MANIFEST_SCHEMA, Dataset, open_dataset
from carina.storage.seal import file_sha256


@pytest.fixture
def dataset(phantom_dataset: Dataset, tmp_path: Path) -> Dataset:
    return open_dataset(shutil.copytree(phantom_dataset.folder, tmp_path / "mine"))


def test_it_says_what_the_manifest_holds_and_nothing_of_the_site(dataset: Dataset) -> None:
    write_croissant(dataset)
    text = (dataset.folder / "croissant.json").read_text()
    told = json.loads(text)
    assert told == croissant_of(dataset)
    assert told["name"] == "mine"
    assert f"{dataset.manifest.height} chest radiographs" in told["description"]
    assert told["distribution"][0]["sha256"] == file_sha256(dataset.folder / "manifest.parquet")
    names = [field["name"] for field in told["recordSet"][0]["field"]]
    assert set(MANIFEST_SCHEMA) - set(names) == {"path", "mask", "patient"}
    for column in ("path", "patient"):
        assert not [value for value in dataset.manifest[column].drop_nulls() if value in text]
    # It is no part of what is sealed, and the data set still opens.
    assert open_dataset(dataset.folder).description == dataset.description


def test_the_library_of_croissant_finds_no_error(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    mlc = pytest.importorskip("mlcroissant")
    write_croissant(dataset)
    with caplog.at_level(logging.WARNING), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # between the library's own parts
        read = mlc.Dataset(str(dataset.folder / "croissant.json"))
    assert "context" not in caplog.text
    assert read.metadata.issues.errors == set()
    (images,) = read.metadata.record_sets
    assert {field.id for field in images.fields} == {f"images/{name}" for name in MANIFEST_SCHEMA} - {
        f"images/{name}" for name in ("path", "mask", "patient")
    }
