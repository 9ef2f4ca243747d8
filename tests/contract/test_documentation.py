"""What the documentation says is what the program does."""

import inspect
import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

import carina
import carina.errors
from carina.bundles.bundle import CARD_FILE, FORMAT, BundleDescription
from carina.learning.recipe import shipped_recipes

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("script", ["docs/write_reference.py", "benchmarks/readme_table.py"])
def test_written_pages_are_current(script: str) -> None:
    done = subprocess.run([sys.executable, ROOT / script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# The commands of DICOM's pages are held by test_dicom_documentation.py, the page of commands is written from them.
DOCS = sorted((ROOT / "docs").rglob("*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "models/CHANGELOG.md")), *DOCS]
# The decisions are many and small: one test reads them all.
GROUPS = [[page] for page in PAGES if page not in DECISIONS] + [DECISIONS]
# A decision and a changelog may name an option that is gone.
NAMING = [
    page
    for page in PAGES
    if page.parent.name not in ("dicom", "decisions") and page.name not in ("reference.md", "CHANGELOG.md")
]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def name_of_group(pages: list[Path]) -> str:
    return name_of(pages[0] if len(pages) == 1 else pages[0].parent)


@pytest.mark.parametrize("page", NAMING, ids=name_of)
def test_commands_and_options_exist(page: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    # The tables of results name a benchmark's own options.
    text = re.sub(r"<!-- results.*<!-- end of results -->", "", page.read_text("utf-8"), flags=re.S)
    # What follows a `$` or is in backticks is typed; a comment is not.
    groups = r"data |lungs |dicom |serve account |serve audit |serve (?=backup|restore)"
    typed = re.findall(rf"(?:^\$ .*?|`)(carina (?:{groups})?[a-z]+)([^`#\n]*)", text, flags=re.M)
    for command, words in typed:
        parts = reference.split(f"## {command}\n")
        assert len(parts) == 2 or f"## {command} " in reference, command
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", words):
            assert f"`{option}`" in parts[1].split("\n## ")[0], (command, option)
    # Those of other programs: mypy, the scripts of this repository, hatchling, pip, podman, docker, gh and others.
    others = {
        "--strict",
        "--check",
        "--target",
        "--no-index",
        "--find-links",
        "--dest",
        "--repo",
        "--public",
        "--logdir",
        "--build",
        "--detach",
        *("--head", "--port", "--num-cpus", "--include-dashboard", "--address", "--page"),
    }
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)) - others - {"--file", "--tag", "--help"}
    assert [option for option in options if f"`{option}`" not in reference] == []


def test_the_readme_shows_the_way_and_is_short() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 110
    for shown in ("make demo", "make test", "carina predict", "carina data import", "carina train", "load_bundle("):
        assert shown in readme


# Words that the house no longer uses; `codespell` looks for misspelt ones (`make lint`).
OLD_WORDS = (
    *(
        r"\banew\b",
        r"\bst(?:and|ands|ood)\b",
        r"\bto be had\b",
        r"\bcomes to\b",
        r"\bin words\b(?! that)",
        r"\bof a kind\b",
    ),
    *(r"\ba folder a\b", r"\ba row an?\b", r"\ba line an?\b"),
)


@pytest.mark.parametrize("pages", GROUPS, ids=name_of_group)
def test_pages_are_written_in_plain_words(pages: list[Path]) -> None:
    old = "|".join(OLD_WORDS)
    for page in pages:
        assert re.findall(rf".*(?:{old}).*", page.read_text("utf-8"), flags=re.I) == [], page


def links_of(page: Path) -> list[tuple[Path, str]]:
    """Return the relative links of a page: the file that each leads to, and the heading in it."""
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    parts = [link.partition("#") for link in links if not re.match(r"[a-z]+:", link)]
    return [((page.parent / path).resolve() if path else page, heading) for path, _, heading in parts]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("pages", GROUPS, ids=name_of_group)
def test_relative_links_lead_somewhere(pages: list[Path]) -> None:
    for page in pages:
        for path, heading in links_of(page):
            assert path.exists(), (page, path)
            assert not heading or heading in anchors_of(path), (page, path, heading)


def test_the_first_page_of_the_documentation_names_every_page() -> None:
    first = ROOT / "docs" / "README.md"
    text = first.read_text("utf-8")
    # Decisions have a list of their own; the rest of the pages around the documentation is named, too.
    around = {ROOT / name for name in ("models/carina-mobilenetv2/README.md", "results/README.md")}
    pages = (set(PAGES) | around) - {first, ROOT / "README.md", *DECISIONS}
    assert pages == {path for path, _ in links_of(first)}
    # Each in a line of its own, with a sentence: the site's menu is made from these lines.
    for page in pages - {ROOT / "docs" / "faq.md"}:
        link = re.escape(link_from_docs(page))
        assert re.search(rf"^- \[[^\]]+\]\({link}\): [^\n]+[.?]$", text, flags=re.M), page


def link_from_docs(page: Path) -> str:
    """Return how a page in docs/ links to another page."""
    inside = page.is_relative_to(ROOT / "docs")
    return page.relative_to(ROOT / "docs").as_posix() if inside else f"../{name_of(page)}"


def test_each_decision_has_its_date_and_is_listed() -> None:
    index = (ROOT / "docs" / "decisions.md").read_text("utf-8")
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for page in DECISIONS:
        title, _, facts = page.read_text("utf-8").partition("\n\n")
        (day,) = re.findall(r"^- Date: (\S+)$", facts, flags=re.M)
        assert date.fromisoformat(day) <= date.today()
        area, anchor = re.findall(r"^- Context: \[([^\]]+)\]\(\.\./decisions\.md#([a-z-]+)\)", facts, flags=re.M)[0]
        assert anchor in anchors_of(ROOT / "docs" / "decisions.md")
        listed = index.split(f"## {area}\n")[1].split("\n## ")[0]
        assert f"- {day}: [{title.removeprefix('# ')}](decisions/{page.name})" in listed, page


def first_column(page: str, header: str) -> set[str]:
    """Return the names between backticks in the first columns of a page's tables with such a header."""
    tables = re.findall(rf"^\| {header} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page, flags=re.M)
    rows = [row.split("|")[1] for table in tables for row in table.splitlines()]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_the_page_of_the_bundle_names_its_files_and_fields() -> None:
    page = (ROOT / "docs" / "reference" / "bundle.md").read_text("utf-8")
    assert f"`{FORMAT}`" in page
    assert first_column(page, "field") == set(BundleDescription.model_fields)
    released = {path.name for path in (ROOT / "models" / "carina-mobilenetv2").iterdir()}
    assert CARD_FILE in released
    assert first_column(page, "file") == released | {"model.int8.onnx"}


def test_the_page_of_python_names_every_error() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    errors = inspect.getmembers(carina.errors, lambda found: inspect.isclass(found) and issubclass(found, Exception))
    assert first_column(page, "error") == {name for name, _ in errors} - {"CarinaError"}


def test_the_map_of_the_source_names_every_folder() -> None:
    page = (ROOT / "docs" / "explanation" / "way-of-a-radiograph.md").read_text("utf-8")
    source = ROOT / "src" / "carina"
    there = {
        f"{path.name}/"
        for path in source.iterdir()
        if path.is_dir() and path.name != "__pycache__" and any(path.iterdir())
    }
    assert {name for name in first_column(page, "folder") if name.endswith("/")} == there - {"models/"}


def test_files_that_pages_name_exist() -> None:
    for page in PAGES:
        named = re.findall(r"`((?:[\w*-]+/)+[\w*-]+\.(?:py|js|toml|txt|json))`", page.read_text("utf-8"))
        for name in named:
            assert any(list(place.glob(name)) for place in (ROOT, ROOT / "src" / "carina")), (page, name)


def test_each_explanation_has_a_picture() -> None:
    for page in (ROOT / "docs" / "explanation").glob("*.md"):
        assert re.search(r"^!\[[^\]]{40,}\]\([^)]+\.png\)$", page.read_text("utf-8"), flags=re.M), page


def test_the_versions_are_those_that_the_changelogs_name() -> None:
    package = carina.__version__
    model = json.loads((ROOT / "models" / "carina-mobilenetv2" / "bundle.json").read_text("utf-8"))["version"]
    page = (ROOT / "models" / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## (\S+)", page, flags=re.M)[0] == model
    assert f"The *package* ({package})" in page
    assert f"The *model* ({model})" in page
    parts = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.M)
    assert parts[:2] == ["Unreleased", package]


def test_numbers_in_the_text_are_those_of_the_results() -> None:
    results = ROOT / "results"
    audit, whole = (results / name / "audit.json" for name in ("carina-mobilenetv2/audit", "whole-image-light"))
    (kept, head), whole_numbers = (
        re.findall(r"\d+ % \(\d+–\d+\)", json.loads(file.read_text("utf-8"))["sentence"]) for file in (audit, whole)
    )
    left_out = json.loads((results / "leave_one_source_out.json").read_text("utf-8"))["sources"]
    worst = f"{100 * min(row['sensitivity']['value'] for row in left_out):.0f} % of its"
    readme, page = ((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/reference/results.md"))
    for number in (kept, head, worst):
        assert number in readme
        assert number in page
    assert " and ".join(whole_numbers) in page


def test_pictures_and_pages_hold_no_radiograph_and_are_small() -> None:
    shown = {path for page in PAGES for path, _ in links_of(page)}
    assert shown >= set((ROOT / "docs" / "pictures").glob("*.png"))
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
        assert not re.search(r"https?:", text), path
        assert "-url" not in text, path
        # Every requirement is pinned and hashed.
        assert all("==" in line for line in text.splitlines() if re.match(r"^[a-z0-9]", line)), path
        assert text.count("--hash=sha256:") > 100, path
