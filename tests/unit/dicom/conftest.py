"""What the tests of answers share: a small model, and how it comes by the pixels of DICOM files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from carina.inference.predictor import Predictor
from unit.inference.small_model import write_small_run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("small") / "run")


@pytest.fixture(scope="session")
def predictor(small_run: Path) -> Predictor:
    return Predictor(small_run)


@pytest.fixture(scope="session")
def installed() -> Callable[[str, str], str]:
    """Return what gives the path of a program, and skips the test where it is not installed."""

    def path_of(program: str, package: str) -> str:
        path = shutil.which(program)
        if path is None:
            pytest.skip(f"{program} (Debian's {package}) is not installed")
        return path

    return path_of
