"""Answers read again, and names in several scripts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset

from carina.dicom.answers.answers import write_answers
from carina.dicom.answers.objects import KINDS
from carina.inference.predictor import Predictor

NAMES = {
    "latin": ("ISO_IR 100", "Müller^Zoë", None),
    "unicode": ("ISO_IR 192", "Wang^XiaoDong=王^小东", None),
    "cyrillic": ("ISO_IR 144", "Люкceмбypг^А", None),
    # PS3.5 H.3.1
    "japanese": (
        ["", "ISO 2022 IR 87"],
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
    ),
    # PS3.5 I.2
    "korean": (
        ["", "ISO 2022 IR 149"],
        "Hong^Gildong=洪^吉洞=홍^길동",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
    ),
}


def answered(path: Path, predictor: Predictor, out: Path, **settings: Any) -> dict[str, Dataset]:
    """Return the answers by kind, read again."""
    answers = write_answers(path, predictor, out, KINDS, **settings)
    return {answer.kind: dcmread(answer.path) for answer in answers.written}


def elements_of(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    """Every item of every sequence of a name."""
    for element in dataset.iterall():
        if element.keyword == keyword:
            yield from element.value
