"""Settings of the documentation site: `make docs` builds it from the pages as they lie in the repository.

The pages are plain Markdown that also reads well outside of the site. `docs/README.md` is the one list of pages: the
site's menu is read from it.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

import carina

ROOT = Path(__file__).parents[1]

project = "Carina"
author = "The Carina authors"
copyright = "The Carina authors"  # noqa: A001  # the name that Sphinx asks for
version = release = carina.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/README"
include_patterns = ["docs/**.md", "CONTRIBUTING.md", "CHANGELOG.md", "models/**.md", "results/README.md"]
exclude_patterns = [".*", "src", "tests", "benchmarks", "site", "demo", "requirements"]

html_theme = "furo"
html_title = "Carina"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
# Anchors are those that GitHub gives to headings, which tests/contract/test_documentation.py checks.
myst_heading_anchors = 4
# A code block that shows an output has no language that Pygments could check.
highlight_language = "none"

autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_custom_sections = [("Source", "notes_style")]
# In a docstring, a name between single backticks is code.
default_role = "code"
python_display_short_literal_types = True


def menu_of(page: Path) -> str:
    """Return hidden tables of contents: one for each section of a page, of the pages that its lists name."""
    menus = []
    for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.M):
        links = re.findall(r"^(?:- |\*\*.*?\*\* )\[(.+?)\]\(([^)#]+\.md)\)", section, flags=re.M)
        # An entry's path begins at the page.
        entries = [f"{title.replace('`', '')} <{path.removesuffix('.md')}>" for title, path in links]
        if entries:
            first = section.splitlines()[0]
            caption = "Start" if first.startswith("# ") else first.partition(":")[0]
            menus += ["```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```", ""]
    return "\n".join(menus)


def reference_of_names() -> str:
    """Return what writes a chapter for each name that `import carina` offers."""
    offered = {name: getattr(carina, name) for name in dir(carina) if not name.startswith("_")}
    # Not what the package itself imports, and not its rooms.
    names = [name for name, value in offered.items() if getattr(value, "__module__", "").startswith("carina.")]
    lines = ["```{eval-rst}"]
    for name in names:
        kind = "class" if isinstance(getattr(carina, name), type) else "function"
        lines += [f".. auto{kind}:: carina.{name}", *(["   :members:"] if kind == "class" else []), ""]
    return "\n".join([*lines, "```", ""])


def complete(_: Sphinx, name: str, source: list[str]) -> None:
    """Add to a page what only the site needs."""
    if name == root_doc:
        source[0] += "\n" + menu_of(ROOT / f"{name}.md")
    if re.match(r"docs/decisions/\d", name):
        # Two hundred more lines in the menu of every page would make the site four times as large.
        source[0] = f"---\norphan: true\n---\n{source[0]}"
    if name == "docs/reference/python":
        source[0] += "\n" + reference_of_names()


def finish(app: Sphinx, error: Exception | None) -> None:
    """Lead from the site's address to its first page."""
    if error is None:
        to_first_page = (
            f'<!doctype html><meta http-equiv="refresh" content="0; url={root_doc}.html"><title>Carina</title>'
        )
        (Path(app.outdir) / "index.html").write_text(to_first_page, "utf-8")


def setup(app: Sphinx) -> None:
    """Connect the functions of this file."""
    app.connect("source-read", complete)
    app.connect("build-finished", finish)
