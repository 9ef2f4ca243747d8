"""The page: sections under one head, style and script inlined, and a policy that lets nothing else in or out."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from carina.reports.html.markup import Html, element, join
from carina.reports.html.section import Section

STYLE_FILES = ("page.css",)
# One module in this order: the script is inlined as one, because inlined modules cannot import each other.
SCRIPT_FILES = (
    *("data.js", "statistics.js", "drawing.js", "explorer.js", "gallery.js"),
    *("simulation.js", "reading_room.js", "page.js"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report.

    Attributes
    ----------
    title, subtitle
        What it is about.
    description
        The headline in a sentence.
    sections
        In the order of reading.
    data
        What the script needs, JSON-safe.
    """

    title: str
    subtitle: str
    description: str
    sections: Sequence[Section]
    data: Mapping[str, Any]

    def to_html(self) -> str:
        """Return the page as one file."""
        style, script = (_assets(names) for names in (STYLE_FILES, SCRIPT_FILES))
        # Nothing may be loaded, sent or run but what is in this file, by its hash.
        policy = (
            f"default-src 'none'; script-src '{_hash_of(script)}'; style-src '{_hash_of(style)}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=policy),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("meta", name="description", content=self.description),
            element("meta", name="generator", content="Carina"),
            element("title", self.title),
            element("style", Html(style)),
        )
        body = element(
            "body",
            element("a", "Skip to the report", href="#main", class_="skip"),
            _banner(self),
            element(
                "main",
                *(section.to_html(number) for number, section in enumerate(self.sections, start=1)),
                id="main",
                tabindex=-1,
            ),
            _footer(),
            element("script", embed_json(self.data), type="application/json", id="data"),
            element("script", Html(script), type="module"),
        )
        return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def embed_json(data: Mapping[str, Any]) -> Html:
    """Return JSON that can stand in a script element: no character of it can end the element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(text)


def read_asset(name: str) -> str:
    """Return a style sheet or script of the page."""
    return files("carina.reports.html").joinpath("assets", name).read_text(encoding="utf-8")


def _assets(names: Sequence[str]) -> str:
    return "\n" + "\n".join(read_asset(name).strip() for name in names) + "\n"


def _hash_of(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _banner(page: Page) -> Html:
    links = (
        element(
            "li",
            element("a", element("span", str(number), class_="number"), f" {section.short}", href=f"#{section.key}"),
        )
        for number, section in enumerate(page.sections, start=1)
    )
    theme = element("button", "Light or dark", type="button", id="theme", aria_pressed="false")
    return join(
        element(
            "header",
            element(
                "div",
                element("p", "Carina · evaluation report", class_="brand"),
                element("h1", page.title),
                element("p", page.subtitle, class_="subtitle"),
            ),
            theme,
            class_="top",
        ),
        element("nav", element("ol", *links), aria_label="Sections", class_="contents"),
    )


def _footer() -> Html:
    words = (
        "Written by Carina. For research: it supports a reader's judgement and never replaces it. This file loads "
        "nothing and sends nothing."
    )
    return element("footer", element("p", words))
