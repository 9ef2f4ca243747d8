"""A batch that is killed goes on where it was, and ends as if nothing had happened."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from carina.phantoms.phantom import draw_phantom
from unit.inference.small_model import FINDINGS, write_small_run

COUNT = 500


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("small") / "run")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of many names for a dozen phantoms, which take longer to judge than a process to be killed."""
    folder = tmp_path_factory.mktemp("films")
    for number in range(12):
        phantom = draw_phantom(FINDINGS[number % 3], seed=number, size=256)
        Image.fromarray(phantom.pixels).save(folder / f"{number:04}.png")
    for number in range(12, COUNT):
        os.link(folder / f"{number % 12:04}.png", folder / f"{number:04}.png")
    return folder


def start(films: Path, run: Path, file: Path, *options: str) -> "subprocess.Popen[str]":
    command = [str(Path(sys.executable).parent / "carina"), "predict", str(films), "--run", str(run)]
    return subprocess.Popen(
        [*command, "--resume", str(file), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_in_the_middle(process: "subprocess.Popen[str]", file: Path, rows: int) -> bytes:
    """Kill a process (SIGKILL) once some rows are in its file, and return what it left."""
    deadline = time.monotonic() + 120
    while not file.is_file() or file.read_bytes().count(b"\n") < rows:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.communicate()
    return file.read_bytes()


def without_times(content: bytes) -> list[str]:
    rows = [json.loads(line) for line in content.splitlines()]
    return [json.dumps({key: value for key, value in row.items() if key != "elapsed_ms"}) for row in rows]


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("--csv",)], ids=["json", "csv"])
def test_killed_twice_it_is_as_if_it_had_never_been(
    small: Path, films: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    whole, file = tmp_path / "whole", tmp_path / "resumed"
    undisturbed = start(films, small, whole, *options)
    assert undisturbed.communicate(timeout=300) is not None
    assert undisturbed.returncode == 0
    left = kill_in_the_middle(start(films, small, file, *options), file, 5)
    assert 5 <= left.count(b"\n") < COUNT
    # A power cut may leave less than whole rows.
    file.write_bytes(left[:-37])
    left_again = kill_in_the_middle(start(films, small, file, *options), file, left.count(b"\n") + 20)
    assert left_again.startswith(left[: left[:-37].rindex(b"\n") + 1])
    assert left_again.count(b"\n") < COUNT
    last = start(films, small, file, *options)
    _, told = last.communicate(timeout=300)
    assert last.returncode == 0, told
    assert re.search(r"Judged before: [1-9]\d*\. Judged now: [1-9]", told)
    contents = whole.read_bytes(), file.read_bytes()
    if options:
        assert contents[0] == contents[1]
    else:
        assert without_times(contents[0]) == without_times(contents[1])
    assert len(contents[1].splitlines()) == COUNT + len(options)


def test_ctrl_c_says_how_to_go_on(small: Path, films: Path, tmp_path: Path) -> None:
    process = start(films, small, tmp_path / "results.jsonl")
    deadline = time.monotonic() + 120
    while not (tmp_path / "results.jsonl").is_file() or not (tmp_path / "results.jsonl").stat().st_size:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on with the rest" in error
    assert "train" not in error
    assert "Traceback" not in error
