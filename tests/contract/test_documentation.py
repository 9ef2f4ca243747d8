"""What the documentation says is what the program does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from carina.learning.recipe import shipped_recipes

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("script", ["docs/write_reference.py", "benchmarks/readme_table.py"])
def test_written_pages_are_current(script: str) -> None:
    done = subprocess.run([sys.executable, ROOT / script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_and_options_in_the_readme_exist() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    # The tables of results name a benchmark's own options.
    readme = re.sub(r"<!-- results.*<!-- end of results -->", "", (ROOT / "README.md").read_text("utf-8"), flags=re.S)
    commands = {" ".join(found.split()) for found in re.findall(r"`?(carina (?:data |lungs |dicom )?[a-z]+)", readme)}
    assert {"carina train", "carina data import", "carina predict"} <= commands
    for command in commands - {"carina data", "carina dicom"}:
        assert f"## {command}\n" in reference, command
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", readme)) - {"--strict"}:
        assert f"`{option}`" in reference, option


def test_pictures_and_pages_hold_no_radiograph_and_are_small() -> None:
    named = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert {"docs/pictures/report-summary.png", "docs/pictures/report-explorer.png"} <= set(named)
    for picture in (ROOT / "docs" / "pictures").glob("*.png"):
        assert picture.stat().st_size < 200_000, picture
    for page in (ROOT / "results").rglob("report.html"):
        text = page.read_text("utf-8")
        assert "<img" not in text, page
        assert "Images were left out of this report." in text
        assert 100_000 < len(text) < 3_000_000


def test_every_recipe_says_how_it_is_started() -> None:
    for name in shipped_recipes():
        text = (ROOT / "src" / "carina" / "recipes" / f"{name}.toml").read_text("utf-8")
        assert re.search(rf"carina (train DATASET --recipe {name}|demo)", text), name


def test_no_file_names_a_registry() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text("utf-8")
        assert "http" not in text, path
        assert "-url" not in text, path
        # Every requirement is pinned and hashed.
        assert all("==" in line for line in text.splitlines() if re.match(r"^[a-z0-9]", line)), path
        assert text.count("--hash=sha256:") > 100, path
