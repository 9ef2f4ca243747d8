"""OpenVINO is imported in one place, tells nobody that it is used, and may be called by several threads at once."""

import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src" / "carina"

# Threads that all need OpenVINO's table of types at the same moment. Where it was not made before, they wait for ever.
_AT_ONCE = """
import sys
from threading import Barrier, Thread
from carina.runtime.openvino_library import import_openvino

openvino = import_openvino()
sys.setswitchinterval(1e-6)
start = Barrier(16)

def use():
    start.wait()
    openvino.Type.f32.to_dtype()

threads = [Thread(target=use) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sys.modules["openvino_telemetry"] is None
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
print("done")
"""


def test_threads_that_use_it_at_once_do_not_wait_for_each_other_and_nothing_is_sent() -> None:
    said = subprocess.run([sys.executable, "-c", _AT_ONCE], capture_output=True, text=True, timeout=60, check=False)
    assert said.stdout == "done\n", said.stderr


def test_nothing_else_imports_it() -> None:
    importing = re.compile(r"^\s*(import openvino|from openvino)\b", re.MULTILINE)
    found = [path.name for path in SOURCE.rglob("*.py") if importing.search(path.read_text("utf-8"))]
    assert found == ["openvino_library.py"]
