"""A command that was broken off says how to go on, with the folder that was typed."""

import pytest

from carina.cli import _what_is_left


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["train", "data", "--out", "my run"], "carina train --resume 'my run'"),
        (["train", "data", "--out=runs/head"], "carina train --resume runs/head"),
        (["train", "--resume", "runs/head"], "carina train --resume runs/head"),
        (["predict", "films"], "With --resume FILE the same command would go on"),
        (["predict", "films", "--resume", "out.csv"], "the same command goes on with the rest"),
        (["evaluate", "bundle", "data", "--out", "x"], "Nothing that looks whole was left."),
        ([], "Nothing that looks whole was left."),
    ],
)
def test_how_to_go_on(typed: list[str], says: str) -> None:
    assert says in _what_is_left(typed)
    assert "RUN" not in _what_is_left(typed)
