"""What the documentation says is what the program does."""

import json
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


# The commands of DICOM's pages are held by test_dicom_documentation.py, the page of commands is written from them.
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMING = [page for page in PAGES if page.parent.name != "dicom" and page.name not in ("reference.md", "decisions.md")]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", NAMING, ids=name_of)
def test_commands_and_options_exist(page: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    # The tables of results name a benchmark's own options.
    text = re.sub(r"<!-- results.*<!-- end of results -->", "", page.read_text("utf-8"), flags=re.S)
    # What follows a `$` or stands in backticks is typed; a comment is not.
    typed = re.findall(r"(?:^\$ .*?|`)(carina (?:(?:data|lungs|dicom) )?[a-z]+)([^`#\n]*)", text, flags=re.M)
    for command, words in typed:
        parts = reference.split(f"## {command}\n")
        assert len(parts) == 2 or f"## {command} " in reference, command
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", words):
            assert f"`{option}`" in parts[1].split("\n## ")[0], (command, option)
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)) - {"--strict"}
    assert [option for option in options if f"`{option}`" not in reference] == []


def test_the_readme_shows_the_way_and_is_short() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 110
    for shown in ("make demo", "make test", "carina predict", "carina data import", "carina train", "load_bundle("):
        assert shown in readme


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "decisions.md"], ids=name_of)
def test_pages_are_written_in_plain_words(page: Path) -> None:
    old = r"\banew\b|\bst(?:and|ands|ood)\b|\bto be had\b|\bcomes to\b"
    assert re.findall(rf".*(?:{old}).*", page.read_text("utf-8"), flags=re.I) == []


def links_of(page: Path) -> list[tuple[Path, str]]:
    """Return the relative links of a page: the file that each leads to, and the heading in it."""
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    parts = [link.partition("#") for link in links if not re.match(r"[a-z]+:", link)]
    return [((page.parent / path).resolve() if path else page, heading) for path, _, heading in parts]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for path, heading in links_of(page):
        assert path.exists(), path
        assert not heading or heading in anchors_of(path), (path, heading)


def test_the_first_page_of_the_documentation_names_every_page() -> None:
    first = ROOT / "docs" / "README.md"
    text = first.read_text("utf-8")
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - {first}
    assert pages == {path for path, _ in links_of(first)}
    # Each in a line of its own, with a sentence.
    for page in pages - {ROOT / "docs" / "faq.md"}:
        link = re.escape(page.relative_to(ROOT / "docs").as_posix())
        assert re.search(rf"^- \[[^\]]+\]\({link}\): [^\n]+\.$", text, flags=re.M), page


def test_numbers_in_the_text_are_those_of_the_results() -> None:
    results = ROOT / "results"
    audit, whole = (results / name / "audit.json" for name in ("carina-mobilenetv2/audit", "whole-image-light"))
    (kept, head), (kept_whole, _) = (
        re.findall(r"\d+ % \(\d+–\d+\)", json.loads(file.read_text("utf-8"))["sentence"]) for file in (audit, whole)
    )
    left_out = json.loads((results / "leave_one_source_out.json").read_text("utf-8"))["sources"]
    worst = f"{100 * min(row['sensitivity']['value'] for row in left_out):.0f} % of its"
    readme, page = ((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/reference/results.md"))
    for number in (kept, head, worst):
        assert number in readme
        assert number in page
    assert kept_whole in page


def test_pictures_and_pages_hold_no_radiograph_and_are_small() -> None:
    shown = {path for page in PAGES for path, _ in links_of(page)}
    assert shown >= {*(ROOT / "docs" / "pictures").glob("*.png"), *(ROOT / "docs" / "images").glob("*.png")}
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
