"""Add up what an installation without the training extra weighs, package by package.

    python benchmarks/installed_size.py OUT.json

The packages are those that `carina-cxr` needs on this system, and what they need, without any extra; sizes are those of
the installed files as their records name them, compiled Python left out. Beside the sum stand what `carina predict` of
an image file imports (measured by importing it), and what each package that it does not import would save.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from carina.runtime.machine import describe_machine

NAME = "carina-cxr"
IMPORTED = """
import sys
from pathlib import Path
from carina.bundles.bundle import released_bundle
from carina.inference.inputs import image_inputs
from carina.inference.predictor import Predictor
import carina.cli, carina.cli.predict, carina.inference.results
list(Predictor(released_bundle()).predict([Path(sys.argv[1])]))
print("\\n".join({name.split(".")[0] for name in sys.modules}))
"""


def normal(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed_by(name: str, extras: frozenset[str] = frozenset()) -> dict[str, Distribution]:
    """Return the packages that one needs here, itself among them, by name."""
    found: dict[str, Distribution] = {}
    waiting = [(name, extras)]
    seen = set()
    while waiting:
        current, wanted = waiting.pop()
        if (normal(current), wanted) in seen:
            continue
        seen.add((normal(current), wanted))
        try:
            installed = distribution(current)
        except PackageNotFoundError:
            continue
        found[normal(current)] = installed
        for line in installed.requires or []:
            requirement = Requirement(line)
            contexts = [{"extra": extra} for extra in wanted] or [{"extra": ""}]
            if requirement.marker is None or any(requirement.marker.evaluate(context) for context in contexts):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return found


def megabytes(installed: Distribution) -> float:
    """Return the size of a package's files in MB (10^6 bytes)."""
    files = [Path(str(installed.locate_file(file))) for file in installed.files or [] if file.suffix != ".pyc"]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def imported_packages(image: Path) -> set[str]:
    """Return which packages are imported when an image is judged in a process of its own."""
    done = subprocess.run([sys.executable, "-c", IMPORTED, str(image)], capture_output=True, text=True, check=True)
    owners = packages_distributions()
    return {normal(owner) for module in done.stdout.split() for owner in owners.get(module, [])}


def main(out: str) -> None:
    """Measure, print and write."""
    root = Path(__file__).resolve().parents[1]
    image = root / "docs" / "images" / "phantoms.png"
    sizes = {name: megabytes(installed) for name, installed in needed_by(NAME).items() if name != NAME}
    used = imported_packages(image)
    own = sum(path.stat().st_size for path in (root / "src").rglob("*") if path.is_file() and path.suffix != ".pyc")
    bundle = sum(path.stat().st_size for path in (root / "models").rglob("*") if path.is_file())
    with_training = {name: megabytes(each) for name, each in needed_by(NAME, frozenset({"train"})).items()}
    content: dict[str, Any] = {
        "command": "python benchmarks/installed_size.py " + Path(out).name,
        "machine": describe_machine(),
        "megabytes": {
            "carina": round(own / 1e6, 1),
            "its model": round(bundle / 1e6, 1),
            "packages of the core": round(sum(sizes.values()), 1),
            "of these imported to judge an image": round(sum(sizes[name] for name in sizes if name in used), 1),
            "packages with the training extra": round(sum(with_training.values()) - with_training.get(NAME, 0.0), 1),
        },
        "packages": [
            {"package": name, "megabytes": round(size, 1), "imported to judge an image": name in used}
            for name, size in sorted(sizes.items(), key=lambda item: -item[1])
        ],
    }
    Path(out).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(content["megabytes"], indent=2))
    for row in content["packages"]:
        print(
            f"{row['megabytes']:8.1f} MB  {'used ' if row['imported to judge an image'] else '     '}{row['package']}"
        )


if __name__ == "__main__":
    main(sys.argv[1])
