"""Run the tests of what was changed since the last commit; if nothing was, those of the fastest room (`make check`).

A test file belongs to a source file by its name: `tests/unit/datasets/test_split.py` tests
`src/carina/datasets/split.py`. Whoever changed what everything rests on runs `make test`.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAST_ROOMS = ("decisions",)


def changed_files() -> list[Path]:
    """Return the files that differ from the last commit, and those that git does not know yet."""
    listed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(entry[3:]) for entry in listed.stdout.split("\0") if entry[:2].strip() not in ("", "D", "R")]


def tests_of(path: Path) -> list[Path]:
    """Return the test files of a changed file, relative to the repository."""
    if path.parts[0] == "tests" and path.name.startswith("test_"):
        return [path]
    if path.parts[:2] != ("src", "carina") or path.suffix != ".py":
        return []
    folder = Path("tests/unit", *path.parts[2:-1])
    name = path.parent.name if path.stem == "__init__" else path.stem
    return [
        found for found in (folder / f"test_{name}.py", folder / f"test_{name}_contract.py") if (ROOT / found).exists()
    ]


def main() -> int:
    """Return pytest's exit code."""
    tests = sorted({test for path in changed_files() for test in tests_of(path)})
    chosen = [str(test) for test in tests] or [f"tests/unit/{room}" for room in FAST_ROOMS]
    print(
        f"make check: {len(tests)} test files of changed files"
        if tests
        else "make check: nothing changed, the fast tests"
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--numprocesses", "logical", *chosen], cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
