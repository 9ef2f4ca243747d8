"""Run the tests of what was changed since the last commit; if nothing was, those of the fastest room (`make check`).

A test file belongs to a source file by its name: `tests/unit/datasets/test_split.py` tests
`src/carina/datasets/split.py`. A file without such a test gets all test files of the nearest folder: so do templates,
scripts and style sheets. Whoever changed what everything rests on runs `make test`.
"""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAST_ROOMS = ("decisions",)
_DIFFERENT = ("diff", "--name-only", "--no-renames", "--diff-filter=d", "--relative", "-z", "HEAD")
_UNKNOWN = ("ls-files", "--others", "--exclude-standard", "-z")


def changed_files() -> list[Path]:
    """Return the files that differ from the last commit, and those that git does not know yet."""
    listed = [
        subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for command in (_DIFFERENT, _UNKNOWN)
    ]
    return [Path(name) for name in "".join(listed).split("\0") if name]


def tests_of(path: Path) -> list[Path]:
    """Return the test files of a changed file, relative to the repository; none for a page, or a file of the build."""
    if path.parts[0] == "tests" and path.name.startswith("test_"):
        return [path]
    if path.parts[:2] == ("src", "carina"):
        folder = Path("tests/unit", *path.parts[2:-1])
    elif path.parts[:2] == ("tests", "unit"):
        folder = path.parent
    else:
        return []
    name = path.parent.name if path.stem == "__init__" else path.stem
    named = [folder / f"test_{name}.py", folder / f"test_{name}_contract.py"] if path.suffix == ".py" else []
    return [found for found in named if (ROOT / found).exists()] or _nearest(folder)


def _nearest(folder: Path) -> list[Path]:
    """Return the test files of a folder, or of the first one above it that has some."""
    while folder != Path("tests"):
        if found := sorted((ROOT / folder).glob("test_*.py")):
            return [path.relative_to(ROOT) for path in found]
        folder = folder.parent
    return []


def describe(files: Iterable[Path]) -> str:
    """Return what is tested for changed files, and which of them have no test."""
    tests = {file: tests_of(file) for file in files}
    if not tests:
        return "nothing changed, the fast tests"
    total = len({test for found in tests.values() for test in found})
    untested = [file.as_posix() for file, found in tests.items() if not found]
    told = f"changed files: {len(tests)}, their test files: {total or 'none, so the fast tests'}"
    return f"{told}. Without a test: {', '.join(untested)}" if untested else told


def main() -> int:
    """Return pytest's exit code."""
    files = changed_files()
    tests = sorted({test for path in files for test in tests_of(path)})
    chosen = [str(test) for test in tests] or [f"tests/unit/{room}" for room in FAST_ROOMS]
    print(f"make check: {describe(files)}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--numprocesses", "logical", *chosen], cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
