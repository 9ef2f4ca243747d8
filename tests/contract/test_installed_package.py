"""The package as it is published: wheel and sdist are alike, and the wheel predicts in a new environment, offline."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from carina.bundles.bundle import released_bundle
from carina.phantoms.phantom import draw_phantom
from make import write_image

ROOT = Path(__file__).parents[2]


def run(*command: object, folder: Path = ROOT) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, cwd=folder, env=clean, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_the_wheel_of_the_sdist_predicts_offline_in_a_new_environment(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path)
    (archive,) = tmp_path.glob("carina_cxr-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, folder=source)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed_wheel:
        names = set(packed_wheel.namelist())
    files = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "carina").rglob("*.*")}
    assert {name for name in files if "__pycache__" not in name} <= names
    assert {f"carina/models/carina-mobilenetv2/{path.name}" for path in released_bundle().iterdir()} <= names
    assert "carina/py.typed" in names

    venv.create(tmp_path / "environment", with_pip=True)
    python = tmp_path / "environment" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    film = write_image(tmp_path / "film.png", draw_phantom("Normal", seed=1).pixels)
    offline = ["unshare", "--map-root-user", "--net"] if shutil.which("unshare") else []
    said = run(*offline, python.with_name("carina"), "predict", "--json", film, folder=tmp_path)
    assert '"name":"carina-mobilenetv2"' in said.replace(" ", "")
    (bundle,) = (tmp_path / "environment").rglob("models/carina-mobilenetv2")
    said = run(*offline, python.with_name("carina"), "verify", bundle, folder=tmp_path)
    assert "ONNX Runtime" in said
