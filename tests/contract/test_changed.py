"""`make check` finds tests for every file of the source, and says which changed files have none."""

from pathlib import Path

import changed


def test_every_file_of_the_source_has_tests() -> None:
    files = [path.relative_to(changed.ROOT) for path in (changed.ROOT / "src" / "carina").rglob("*") if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts]
    assert len(files) > 300
    assert [path for path in files if not changed.tests_of(path)] == []


def test_a_file_without_a_test_of_its_name_gets_those_of_the_nearest_folder() -> None:
    html = Path("tests/unit/reports/html")
    assert changed.tests_of(Path("src/carina/datasets/split.py")) == [Path("tests/unit/datasets/test_split.py")]
    for name in ("page.py", "assets/drawing.js", "assets/page.css", "templates/page.html"):
        assert html / "test_evaluation_report.py" in changed.tests_of(Path("src/carina/reports/html", name)), name
    assert html / "test_evaluation_report.py" in changed.tests_of(html / "support.py")


def test_a_changed_file_without_a_test_is_named() -> None:
    assert changed.describe([]) == "nothing changed, the fast tests"
    told = changed.describe([Path("Makefile"), Path("src/carina/datasets/split.py")])
    assert told == "changed files: 2, their test files: 1. Without a test: Makefile"
    assert "none, so the fast tests. Without a test: README.md" in changed.describe([Path("README.md")])
