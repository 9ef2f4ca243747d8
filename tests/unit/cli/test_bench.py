"""``carina bench``, as typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from carina.benchmark import bench
from carina.benchmark.bench import Plan
from carina.benchmark.films import SMALL
from unit.cli.conftest import Typed
from unit.inference.small_model import write_small_run

TINY = Plan(
    rounds=1, films={SMALL: 1}, tensors=2, bulk={SMALL: 2}, singles={SMALL: 1}, many=2, matrix_sizes=(16,), pause_s=0
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("small") / "run")


@pytest.mark.long
def test_a_table(carina: Typed, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "QUICK", TINY)
    code, out, _ = carina("bench", small, "--quick")
    assert code == 0
    assert "file to decision, 224² JPEG: bulk" in out


@pytest.mark.long
def test_json_with_the_core_install_alone(small: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'tf2onnx', 'onnx', 'psutil', 'sklearn'):\n"
        "    sys.modules[name] = None\n"
        "from carina.benchmark import bench\n"
        "from carina.benchmark.bench import Plan\n"
        f"bench.FULL = {TINY!r}\n"
        f"sys.argv = ['carina', 'bench', {str(small)!r}, '--json']\n"
        "from carina.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rounds"] == 1


def test_what_is_no_model_is_one_line(carina: Typed, tmp_path: Path) -> None:
    code, out, err = carina("bench", tmp_path)
    assert (code, out) == (1, "")
    assert "not a run or a bundle" in err
