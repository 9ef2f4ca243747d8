"""Peak memory of a command: its own, whatever started it."""

import sys

import numpy as np
import pytest

from carina.errors import ConfigurationError
from carina.runtime import machine
from carina.runtime.machine import has_byte_products, instruction_set, peak_memory_of_command_mb

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")


def peak(program: str) -> float:
    found = peak_memory_of_command_mb([sys.executable, "-S", "-c", program])
    assert found is not None
    return found


def test_it_is_the_commands_own_and_not_of_what_started_it() -> None:
    held = np.ones(200_000_000, np.uint8)
    small = peak("print('words that go nowhere')")
    assert 1 < small < 100
    assert 140 < peak("x = b'1' * 150_000_000") - small + 10 < 200
    assert held[-1]


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(ConfigurationError, match=r"exit code 3: nothing there"):
        peak("import sys; print('nothing there', file=sys.stderr); sys.exit(3)")


@pytest.mark.parametrize(
    ("flags", "newest", "bytes_"),
    [
        ("sse4_1 avx2 avx512f avx512_vnni amx_int8", "AMX", True),
        ("sse4_1 avx2 avx512f", "AVX-512", False),
        ("sse4_1 avx2 avx_vnni", "AVX-VNNI", True),
        ("sse4_1 avx2", "AVX2", False),
        ("fp asimd asimddp", "Neon with dot products", True),
        ("", machine.platform.machine(), False),
    ],
)
def test_the_newest_instruction_set_is_named(
    flags: str, newest: str, bytes_: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "processor_flags", flags.split)
    assert (instruction_set(), has_byte_products()) == (newest, bytes_)
