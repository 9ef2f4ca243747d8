"""The pinned requirements install on any machine: with old and new pip, and when newer releases have come out."""

import hashlib
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
# Python 3.11.0 came with this one; an environment of a later 3.11 starts with a later pip.
OLDEST_PIP = "pip==22.3"


def install_options() -> list[str]:
    """The options of pip with which the Makefile installs a file of requirements."""
    (options,) = re.findall(r"^INSTALL := (.+)$", (ROOT / "Makefile").read_text("utf-8"), flags=re.M)
    return options.split()


def new_environment(folder: Path, pip: str | None = None) -> Path:
    """Return the Python of a new environment, with its own pip or another one."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    if pip is not None:
        run(python, "-m", "pip", "install", "--quiet", "--upgrade", pip)
    return python


def run(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_wheel(folder: Path, name: str, version: str, *requires: str, extra: str | None = None) -> str:
    """Write a wheel without code and return its SHA-256."""
    head = f"{name}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Provides-Extra: {extra}"] * (extra is not None)
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{head}/METADATA", "\n".join(metadata) + "\n")
        wheel.writestr(f"{head}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{head}/RECORD", f"{head}/METADATA,,\n{head}/WHEEL,,\n{head}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def outdated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages in which the pins of its requirements.txt are no longer the newest releases.

    `needs` wants `has[more]`, as pytest-cov wanted coverage[toml]: pip 23.2.1 looked for the newest `has` then.
    """
    folder = tmp_path_factory.mktemp("outdated")
    pins = {
        "needs": write_wheel(folder, "needs", "1.0", "has[more]>=1"),
        "has": write_wheel(folder, "has", "1.0", 'adds; extra == "more"', extra="more"),
        "adds": write_wheel(folder, "adds", "1.0"),
    }
    write_wheel(folder, "has", "2.0", 'adds; extra == "more"', extra="more")
    write_wheel(folder, "adds", "1.1")
    lines = [f"{name}==1.0 --hash=sha256:{sha256}" for name, sha256 in pins.items()]
    (folder / "requirements.txt").write_text("\n".join(lines) + "\n")
    return folder


def expect_pins(python: Path, outdated: Path) -> None:
    index = ["--no-index", "--find-links", outdated]
    run(python, "-m", "pip", *install_options(), outdated / "requirements.txt", *index)
    installed = set(run(python, "-m", "pip", "freeze").split())
    assert {"needs==1.0", "has==1.0", "adds==1.0"} <= installed
    run(python, "-m", "pip", "check")


def test_pins_that_are_no_longer_the_newest_release_install(outdated: Path) -> None:
    options = [*install_options(), outdated / "requirements.txt", "--no-index", "--find-links", outdated]
    said = run(sys.executable, "-m", "pip", *options, "--dry-run", "--ignore-installed")
    assert "Would install adds-1.0 has-1.0 needs-1.0" in said


def test_what_is_installed_is_what_the_file_pins_and_nothing_is_missing() -> None:
    names = [set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", path.read_text("utf-8"), flags=re.M)) for path in FILES]
    assert [path.name for path in FILES] == ["dev.txt", "docs.txt", "train.txt"]
    development, documentation, training = names
    assert training < development
    # The site needs Carina and what it is written by; not what trains.
    assert {"sphinx", "furo", "myst-parser", "pydantic"} <= documentation
    assert not {"tensorflow", "tensorflow-cpu", "keras"} & documentation
    assert not {"pytest-cov", "coverage"} & development
    run(sys.executable, "-m", "pip", "check")


@pytest.mark.long
@pytest.mark.parametrize("pip", [OLDEST_PIP, "pip"], ids=["oldest-pip", "newest-pip"])
def test_outdated_pins_install_with_every_pip(pip: str, outdated: Path, tmp_path: Path) -> None:
    expect_pins(new_environment(tmp_path / "environment", pip), outdated)


@pytest.mark.long
@pytest.mark.parametrize("pip", [OLDEST_PIP, "pip"], ids=["oldest-pip", "newest-pip"])
@pytest.mark.parametrize("requirements", FILES, ids=lambda path: path.stem)
def test_every_file_installs_with_every_pip(requirements: Path, pip: str, tmp_path: Path) -> None:
    python = new_environment(tmp_path / "environment", pip)
    run(python, "-m", "pip", *install_options(), requirements, "--quiet")
    run(python, "-m", "pip", "check")
