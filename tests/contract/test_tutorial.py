"""The first tutorial does what it shows: each command is typed, and what the page says comes out."""

import re
import shlex
from pathlib import Path

import pytest

from carina.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "tutorials" / "first-prediction.md").read_text("utf-8")


def typed(page: str) -> list[tuple[list[str], list[str]]]:
    """Return the commands of Carina in a page, each with the lines that are shown below it."""
    blocks = re.findall(r"```console\n(.*?)```", page, flags=re.S)
    prompts = [prompt for block in blocks for prompt in re.split(r"^\$ ", block, flags=re.M)[1:]]
    lines = [prompt.splitlines() for prompt in prompts if prompt.startswith("carina ")]
    return [(shlex.split(command.split(" > ")[0])[1:], shown) for command, *shown in lines]


def without_digits(text: str) -> str:
    """Return a text in which each number is a sign: engines differ in the last digits, and widths with them."""
    return re.sub(r"\s+", " ", re.sub(r"[<>]?\d+(?:\.\d+)?", "#", text)).strip()


def test_what_is_typed_gives_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = typed(PAGE)
    assert [words[0] for words, _ in commands] == ["data", "predict", "predict", "predict", "predict"]
    for words, shown in commands:
        monkeypatch.setattr("sys.argv", ["carina", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (0, None), words
        said = capsys.readouterr()
        lines = {without_digits(line) for line in (said.out + said.err).splitlines()}
        assert [line for line in shown if line not in ("", "…") and without_digits(line) not in lines] == []

    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    exec(program, {})  # noqa: S102  # the page's own
    assert re.search(r"Normal-1\.png [a-z-]+ [a-z-]+\n", capsys.readouterr().out)
