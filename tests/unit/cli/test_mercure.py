"""``carina mercure``, as mercure starts it."""

import json
from pathlib import Path

import pytest

from unit.cli.conftest import Typed
from unit.dicom.sources import write_source
from unit.inference.small_model import write_small_run


def test_the_command_takes_its_folders_from_mercure(
    carina: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, given, out = write_small_run(tmp_path / "run"), tmp_path / "in", tmp_path / "out"
    given.mkdir()
    out.mkdir()
    (given / "task.json").write_text("{}")
    image = write_source(given / "1.2#3.dcm")
    monkeypatch.delenv("MERCURE_IN_DIR", raising=False)
    code, _, err = carina("mercure", "--bundle", small)
    assert code == 2
    assert "MERCURE_IN_DIR is not set" in err
    monkeypatch.setenv("MERCURE_IN_DIR", str(given))
    monkeypatch.setenv("MERCURE_OUT_DIR", str(out))
    (given / "1.2#4.dcm").write_bytes(b"no image")
    code, said, _ = carina("mercure", "--bundle", small)
    assert code == 0
    assert "Failed: 1." in said
    # mercure takes any other exit code for a failure of the step.
    image.write_bytes(b"no image")
    code, said, _ = carina("mercure", given, out, "--bundle", small)
    assert code == 1
    assert json.loads((out / "result.json").read_text())["__mercure_notification"]["requested"]
