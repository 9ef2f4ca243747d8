"""What the tests of whole commands share: a command as typed, and an evaluation that none of them may change."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from carina.cli import main
from carina.datasets.manifest import Dataset


class Result(NamedTuple):
    """What a command left: its exit code, and what it printed to stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def carina(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["carina", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def evaluation(tiny_run: Path, phantom_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from carina.api.evaluation import evaluate

    out = tmp_path_factory.mktemp("evaluations") / "first"
    evaluate(tiny_run, phantom_dataset, out=out, prevalence=0.05, command="test")
    return out


@pytest.fixture
def empty_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pictures be empty files: to draw them takes most of an evaluation's time, and the test looks at none."""
    monkeypatch.setattr("carina.reports.drawing.png.to_png", lambda *_: b"")
