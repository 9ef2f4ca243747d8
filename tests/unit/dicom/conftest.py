"""What the tests of DICOM share: programs of others."""

import shutil
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def installed() -> Callable[[str, str], str]:
    """Return what gives the path of a program, and skips the test where it is not installed."""

    def path_of(program: str, package: str) -> str:
        path = shutil.which(program)
        if path is None:
            pytest.skip(f"{program} (Debian's {package}) is not installed")
        return path

    return path_of
