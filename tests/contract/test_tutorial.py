"""The tutorials and how-to pages do what they show: each command is typed, and what the page says comes out."""

import re
import shlex
from pathlib import Path

import pytest

from carina.cli import main

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "tutorials" / "first-prediction.md").read_text("utf-8")


def typed(page: str) -> list[tuple[list[str], list[str]]]:
    """Return the commands of Carina in a page, each with the lines that are shown below it."""
    blocks = re.findall(r"```console\n(.*?)```", page, flags=re.S)
    prompts = [prompt for block in blocks for prompt in re.split(r"^\$ ", block, flags=re.M)[1:]]
    lines = [prompt.splitlines() for prompt in prompts if prompt.startswith("carina ")]
    return [(shlex.split(command.split(" > ")[0])[1:], shown) for command, *shown in lines]


def without_digits(text: str) -> str:
    """Return a text in which each number is a sign: engines differ in the last digits, and widths with them."""
    signs = re.sub(r"\b[0-9a-f]{64}\b|[<>]?\d[\d,]*(?:\.\d+)?", "#", text)
    # Which priorities there are depends on these digits, too.
    return re.sub(r"\s+", " ", re.sub(r"\(# [a-z-]+(?:, # [a-z-]+)*\)", "(counts)", signs)).strip()


def type_command(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what a command says. A check that finds something ends with 1, and so does an error with its sentence."""
    monkeypatch.setattr("sys.argv", ["carina", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code in (0, 1, None), words
    return said.out + said.err


def not_said(shown: list[str], said: str) -> list[str]:
    """Return the lines of a page that a command did not say, numbers aside."""
    lines = {without_digits(line) for line in said.splitlines()}
    return [line for line in shown if line not in ("", "…") and without_digits(line) not in lines]


def test_what_is_typed_gives_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # As on a processor with 8-bit instructions; the answers are the same in every bit where there are none.
    monkeypatch.setattr("carina.runtime.engine.has_byte_products", lambda: True)
    commands = typed(PAGE)
    assert [words[0] for words, _ in commands] == ["data", "predict", "predict", "predict", "predict"]
    for words, shown in commands:
        assert not_said(shown, type_command(words, monkeypatch, capsys)) == []

    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    exec(program, {})  # noqa: S102  # the page's own
    assert re.search(r"Normal-1\.png [a-z-]+ [a-z-]+\n", capsys.readouterr().out)


@pytest.mark.long
@pytest.mark.graphs
def test_own_findings_are_learned_and_tried_in_silence_as_the_pages_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pages = [(DOCS / "tutorials" / name).read_text("utf-8") for name in ("own-findings.md", "silent-test.md")]
    missing = []
    for words, shown in (command for page in pages for command in typed(page)):
        missing += not_said(shown, type_command(words, monkeypatch, capsys))
    assert missing == []


@pytest.mark.long
@pytest.mark.graphs
def test_a_source_is_left_out_as_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, hospital in enumerate(("north", "south")):
        drawn = f"data phantom --out my-radiographs/{hospital} --count 150 --seed {seed} --size 96"
        type_command(drawn.split(), monkeypatch, capsys)
    type_command(["data", "import", "my-radiographs", "--out", "datasets/mine"], monkeypatch, capsys)
    commands = typed((DOCS / "how-to" / "leave-a-source-out.md").read_text("utf-8"))
    assert [words[0] for words, _ in commands] == ["train", "data", "evaluate"]
    # The page takes the weights that Keras downloads. Drawn hospitals look so much alike that some images are copies.
    more = {"train": ["--weights", "carina"], "data": [], "evaluate": ["--drop-leaks"]}
    for words, _ in commands:
        said = type_command([*words, *more[words[0]]], monkeypatch, capsys)
    assert re.search(r"^Leak check: \d+ of 150 images", said, flags=re.M)
