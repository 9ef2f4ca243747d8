"""TRIPOD+AI and CLAIM 2024: which items the software can answer from what it measured, and which the authors must.

The items are named in our own few words, in ``assets/``, an item a line: number, what it asks for, who answers, answer.
The checklists themselves are to be read at their sources.

Source: Collins et al. 2024, "TRIPOD+AI statement", doi:10.1136/bmj-2023-078378; Tejani et al. 2024, "Checklist for
Artificial Intelligence in Medical Imaging (CLAIM): 2024 update", doi:10.1148/ryai.240300.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal

Checklist = Literal["tripod_ai", "claim_2024"]
Who = Literal["software", "partly", "authors"]

TITLES: Final[dict[Checklist, str]] = {"tripod_ai": "TRIPOD+AI", "claim_2024": "CLAIM 2024"}
_WHO: Final[dict[str, Who]] = {"software": "software", "partly": "partly", "authors": "authors"}


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a checklist."""

    number: str  # as the checklist has it
    asks: str  # what it asks for
    who: Who  # whether the software answers it, answers part of it, or the authors must
    answer: str  # the answer, or what the authors are to write; with places for the facts of an evaluation


def read_checklist(name: Checklist) -> tuple[Item, ...]:
    """Return the items of a checklist, in its order."""
    text = files("carina.reports.html").joinpath("assets", f"{name}.txt").read_text(encoding="utf-8")
    rows = ([cell.strip() for cell in line.split("|")] for line in text.splitlines())
    return tuple(Item(number, asks, _WHO[who], answer) for number, asks, who, answer in rows)
