"""What a report of a fault says, and what it does not."""

import getpass
import re
import socket
from pathlib import Path

import pytest

import carina


def test_versions_are_shown_without_paths_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    carina.show_versions()
    said = capsys.readouterr().out
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in said.splitlines())
    assert lines["carina"] == carina.__version__
    for name in ("python", "numpy", "onnxruntime", "polars", "system", "processor", "instructions"):
        assert lines[name]
    assert lines["engine onnxruntime"] == "f32"
    for private in (str(Path.home()), str(Path.cwd()), socket.gethostname()):
        assert private not in said
    assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", said)
    assert "/" not in said.replace("with", "")
