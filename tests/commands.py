"""Commands that tests start as processes of their own."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).parent / "carina"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
