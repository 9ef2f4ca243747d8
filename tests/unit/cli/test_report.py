"""``carina report`` as typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from carina.cli import app
from unit.reports.evaluations import write_evaluated


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("report")
    return [write_evaluated(folder / name, n=150, seed=seed) for name, seed in (("one", 3), ("two", 5))]


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, words)])


@pytest.mark.long
def test_one_evaluation_gets_its_page_and_files(folders: list[Path], tmp_path: Path) -> None:
    done = run(folders[0], "--figures", tmp_path / "figures")
    assert done.exit_code == 0, done.output
    assert f"Wrote {folders[0] / 'report.html'}" in " ".join(done.stdout.split())
    assert (folders[0] / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert (tmp_path / "figures" / "roc.svg").is_file()


def test_two_evaluations_get_one_page(folders: list[Path], tmp_path: Path) -> None:
    done = run(*folders, "--out", tmp_path / "both.html")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "both.html").read_text("utf-8")
    assert "one, two" in page
