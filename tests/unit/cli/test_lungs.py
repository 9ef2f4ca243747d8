"""``carina lungs train``: what it asks of the library, and that a failure leaves nothing."""

import sys
from pathlib import Path

import pytest

from carina.cli import main


def test_bad_data_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(
        sys, "argv", ["carina", "lungs", "train", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert "metadata.csv cannot be read as a table" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
