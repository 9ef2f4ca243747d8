"""Downloads: found in the client's folder, or a message that says how to go on without network."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from carina.datasets.download import PUBLIC_DATASETS, download_public_dataset
from carina.errors import ConfigurationError, DataError

NAME = "covid19-radiography"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what replaces the official client's download by a function."""
    return lambda download: monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=download))


def test_the_findings_folder_inside_the_download(serve: Any, tmp_path: Path) -> None:
    asked = []
    (tmp_path / "COVID-19_Radiography_Dataset" / "COVID").mkdir(parents=True)
    serve(lambda handle: asked.append(handle) or str(tmp_path))
    assert download_public_dataset(NAME) == tmp_path / "COVID-19_Radiography_Dataset"
    assert asked == ["tawsifurrahman/covid19-radiography-database"]


def test_another_layout_is_left_to_the_import(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "COVID").mkdir()
    serve(lambda handle: str(tmp_path))
    assert download_public_dataset(NAME) == tmp_path


def test_no_folder(serve: Any, tmp_path: Path) -> None:
    serve(lambda handle: str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"left no folder at .*none. Delete the client's cache and try again"):
        download_public_dataset(NAME)


@pytest.mark.parametrize("error", [ConnectionError("secret-token"), ValueError(), KeyError("x")])
def test_without_network_the_message_says_what_to_do(
    serve: Any, error: ConnectionError | KeyError | ValueError
) -> None:
    def fail(handle: Any) -> None:
        raise error

    serve(fail)
    with pytest.raises(DataError) as caught:
        download_public_dataset(NAME)
    message = str(caught.value)
    assert f"could not be downloaded ({type(error).__name__})" in message
    assert "kaggle.com/datasets/tawsifurrahman/covid19-radiography-database" in message
    assert "carina data import FOLDER --out DATASET" in message
    assert "secret-token" not in message
    assert "\n" not in message


def test_ctrl_c_is_not_a_failed_download(serve: Any) -> None:
    def stop(handle: Any) -> None:
        raise KeyboardInterrupt

    serve(stop)
    with pytest.raises(KeyboardInterrupt):
        download_public_dataset(NAME)


def test_unknown_name(serve: Any) -> None:
    serve(lambda handle: pytest.fail("it downloaded"))
    with pytest.raises(ConfigurationError, match=r"Unknown public data set 'chexpert'. Known: covid19-radiography"):
        download_public_dataset("chexpert")


def test_every_public_data_set_says_its_licence_and_what_to_cite() -> None:
    for public in PUBLIC_DATASETS.values():
        assert public.licence
        assert "doi:" in public.cite
