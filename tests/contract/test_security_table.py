"""The table of OWASP ASVS 5.0: each requirement once, with one of three words, and every test that it names exists."""

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "asvs.md").read_text("utf-8")
# How many requirements of levels 1 and 2 each section has. Source: OWASP ASVS 5.0.0, chapters V5, V7, V8, V13 and V16.
SECTIONS = {
    "5.1": 1,
    "5.2": 3,
    "5.3": 2,
    "5.4": 3,
    "7.1": 3,
    "7.2": 4,
    "7.3": 2,
    "7.4": 5,
    "7.5": 2,
    "7.6": 2,
    "8.1": 2,
    "8.2": 3,
    "8.3": 1,
    "8.4": 1,
    "13.1": 1,
    "13.2": 5,
    "13.3": 2,
    "13.4": 5,
    "16.1": 1,
    "16.2": 5,
    "16.3": 4,
    "16.4": 3,
    "16.5": 3,
}


def rows() -> list[tuple[str, str]]:
    """Return the number and the last cell of each row."""
    return re.findall(r"^\| (\d+\.\d+\.\d+) \|[^|]+\| (.+) \|$", PAGE, re.MULTILINE)


def test_every_requirement_is_there_once_with_one_of_three_words() -> None:
    numbers = [number for number, _ in rows()]
    assert len(numbers) == len(set(numbers))
    assert Counter(number.rpartition(".")[0] for number in numbers) == SECTIONS
    for number, said in rows():
        assert said.split(":")[0] in ("met", "not met", "not applicable"), number
        assert len(said) > 20, number


def test_what_is_met_names_a_test_or_a_document_and_all_of_them_exist() -> None:
    for number, said in rows():
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", said)
        documents = re.findall(r"\]\(([^)#]+)(?:#([\w-]+))?\)", said)
        assert not said.startswith("met") or named or documents, number
        for file, test in named:
            tree = ast.parse((ROOT / file).read_text("utf-8"))
            assert test in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}, (number, file, test)
        for document, place in documents:
            path = (ROOT / "docs" / "how-to" / document).resolve()
            assert path.is_file(), (number, document)
            heads = {
                head.lower().replace(" ", "-")
                for head in re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
            }
            assert not place or place in heads, (number, place)
