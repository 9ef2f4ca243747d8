"""What the verbs' tests share: a command as typed, and the bundle that all tests share."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from carina.bundles.verification import Verification
from carina.cli import main

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def carina(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Return what runs ``carina`` with some words and tells its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["carina", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def bundle(tiny_bundle: tuple[Path, Verification]) -> Path:
    """Return the bundle, not to be altered."""
    return tiny_bundle[0]
