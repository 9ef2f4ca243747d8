"""Install the package as a user does, and measure: its size, the time to the first prediction, and both engines' speed.

    python benchmarks/installed_size.py OUT.json [ROUNDS]

A wheel is built from this folder and installed into a new environment without any extra. Sizes are those of the
installed files as their records name them, compiled Python left out. Beside the sum stand what judging an image imports
(measured by importing it). Then the extra `openvino` is installed, and both engines judge the same synthetic
radiographs by turns. It needs a package registry.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Run by the new environment's Python, with a radiograph's path.
SIZES = """
import json, re, sys
from importlib.metadata import distributions, packages_distributions
from pathlib import Path
import carina
carina.load_bundle().predict(sys.argv[1])
import carina.cli, carina.cli.predict
def normal(name): return re.sub(r"[-_.]+", "-", name).lower()
owners = packages_distributions()
used = {normal(owner) for module in {name.split(".")[0] for name in sys.modules} for owner in owners.get(module, [])}
def size(each):
    files = [Path(str(each.locate_file(file))) for file in each.files or [] if file.suffix != ".pyc"]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6
print(json.dumps({normal(each.name): [size(each), normal(each.name) in used] for each in distributions()}))
"""
SPEEDS = """
import json, sys, time
from pathlib import Path
import carina
backend, films = sys.argv[1], sorted(Path(sys.argv[2]).iterdir())
model = carina.load_bundle(backend=backend)
model.predict(films)
started = time.perf_counter()
model.predict(films * 5)
many = 5 * len(films) / (time.perf_counter() - started)
one = []
for film in films * 3:
    started = time.perf_counter()
    model.predict(film)
    one.append(1000 * (time.perf_counter() - started))
print(json.dumps([many, sorted(one)[len(one) // 2]]))
"""
DRAW = """
import sys
import carina
from PIL import Image
for seed in range(20):
    drawn = carina.draw_phantom("Normal" if seed % 2 else "COVID-19", seed=seed)
    Image.fromarray(drawn.pixels).resize((224, 224)).save(f"{sys.argv[1]}/{seed:02}.jpg", quality=92)
"""
ENGINES = ("onnxruntime", "openvino")


def run(*command: object) -> str:
    """Return what a command prints; nothing of this checkout is on its path."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False, env=clean)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def timed(*command: object) -> float:
    """Return how many seconds a command takes."""
    started = time.perf_counter()
    run(*command)
    return time.perf_counter() - started


def install(folder: Path) -> tuple[Path, Path, float]:
    """Return the Python of a new environment with the package in it, its wheel, and how long the installation took."""
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("carina_cxr-*.whl")
    venv.create(folder / "environment", with_pip=True)
    python = folder / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"
    return python, wheel, timed(python, "-m", "pip", "install", "--quiet", wheel)


def speeds(python: Path, films: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Return for each engine the medians of images per second and of milliseconds for one, measured by turns."""
    told: dict[str, list[list[float]]] = {name: [] for name in ENGINES}
    for _ in range(rounds):
        for name in ENGINES:
            told[name].append(json.loads(run(python, "-c", SPEEDS, name, films)))
    return {
        name: {
            "images per second": round(statistics.median(many for many, _ in rows), 1),
            "milliseconds for one": round(statistics.median(one for _, one in rows), 1),
        }
        for name, rows in told.items()
    }


def content_of(sizes: dict[str, list[Any]], seconds: dict[str, float], engines: dict[str, Any]) -> dict[str, Any]:
    """Return what is written: the sums, the seconds, the engines' speeds, and each package, the heaviest first."""
    packages = {name: row for name, row in sizes.items() if name not in ("carina-cxr", "pip", "setuptools")}
    one, other = (engines[name] for name in ENGINES)
    return {
        "megabytes": {
            "carina and its model": round(sizes["carina-cxr"][0], 1),
            "packages of the core": round(sum(size for size, _ in packages.values()), 1),
            "of these imported to judge an image": round(sum(size for size, used in packages.values() if used), 1),
        },
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "engines, 224 × 224 JPEG": engines,
        "openvino is times as fast": {
            "many": round(other["images per second"] / one["images per second"], 2),
            "one": round(one["milliseconds for one"] / other["milliseconds for one"], 2),
        },
        "packages": [
            {"package": name, "megabytes": round(size, 1), "imported to judge an image": used}
            for name, (size, used) in sorted(packages.items(), key=lambda item: -item[1][0])
        ],
    }


def main(out: str, rounds: str = "5") -> None:
    """Install, measure, print and write."""
    if out.startswith("-"):
        sys.exit(__doc__)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # Windows has none
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        python, wheel, installing = install(folder)
        films = folder / "films"
        films.mkdir()
        run(python, "-c", DRAW, films)
        film = next(films.iterdir())
        carina = python.with_name("carina")
        seconds = {"pip install": installing, "the first carina predict": timed(carina, "predict", film)}
        seconds["the second one"] = timed(carina, "predict", film)
        sizes = json.loads(run(python, "-c", SIZES, film))
        run(python, "-m", "pip", "install", "--quiet", f"{wheel}[openvino]")
        machine = run(python, "-c", "from carina.runtime.machine import describe_machine as d; print(d())").strip()
        content = content_of(sizes, seconds, speeds(python, films, int(rounds)))
    command = f"python benchmarks/installed_size.py {Path(out).name}"
    Path(out).write_text(
        json.dumps(
            {"command": command, "machine": machine, "programs that ran already": load, **content},
            indent=2,
            ensure_ascii=False,
        )
        + "\n",
        encoding="utf-8",
    )
    shown = {name: value for name, value in content.items() if name != "packages"}
    print(json.dumps(shown, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
