"""``carina demo``: the whole way in one command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carina.bundles.run_folder import open_run
from carina.datasets.manifest import open_dataset
from carina.learning.recipe import load_recipe
from conftest import tiny_recipe


@pytest.fixture
def demo(carina: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    monkeypatch.setenv("CARINA_CACHE", str(tmp_path / "cache"))

    def run() -> str:
        result = carina("demo", "--out", tmp_path / "demo", "--count", 60)
        assert result.code == 0, result.err
        return str(result.out)

    return run


@pytest.mark.graphs
@pytest.mark.long
def test_the_demo_goes_the_whole_way(demo: Callable[[], str], tmp_path: Path) -> None:
    out = demo()
    assert "Weights: " in out
    assert "report.html" in out
    assert open_dataset(tmp_path / "demo" / "dataset").manifest.height == 60


@pytest.mark.long
@pytest.mark.usefixtures("empty_pictures")
def test_the_demo_can_be_repeated(demo: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, tiny = load_recipe("demo"), tiny_recipe(tmp_path)
    small = {"backbone": tiny.backbone, "preprocessing": tiny.preprocessing, "gate": None}
    for epochs in (3, 2):
        training = whole.training.model_copy(update={"epochs": epochs})
        short = whole.model_copy(update={"training": training, **small})
        monkeypatch.setattr("carina.api.training_run.load_recipe", lambda _, short=short: short)
        assert "report.html" in demo()
        # What was there is replaced.
        assert open_run(tmp_path / "demo" / "run").epochs == epochs


def test_the_demo_replaces_no_folder_but_its_own(carina: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    assert carina("demo", "--out", tmp_path).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
