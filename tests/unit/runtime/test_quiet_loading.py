"""Loading a library leaves its chatter out of stderr, and nothing else."""

import subprocess
import sys

import pytest

CHATTER = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1795981000.030262    9761 port.cc:153] oneDNN custom operations are on.\n"
    "I0000 00:00:1795981003.698881 9761 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use ...\n"
)
LAST_WORDS = (
    "F0000 00:00:1795981003.698881 9761 cpu_feature_guard.cc:161] The TensorFlow library was compiled to use AVX "
    "instructions, but these aren't available on your machine.\n"
    "I am no log line, and I0000 is not my beginning\n"
)
PROGRAM = """
import os, sys
from carina.runtime.quiet_loading import quiet_loading
print("before", file=sys.stderr)
with quiet_loading():
    os.write(2, {said!r}.encode())
    print("from Python", file=sys.stderr)
    {then}
print("after", file=sys.stderr)
"""


def stderr_of(then: str) -> tuple[int, str]:
    program = PROGRAM.format(said=CHATTER + LAST_WORDS, then=then)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr


def test_chatter_is_left_out_and_everything_else_is_shown_in_order() -> None:
    assert stderr_of("pass") == (0, f"before\n{LAST_WORDS}from Python\nafter\n")


@pytest.mark.parametrize("crash", ["os.abort()", "os.kill(os.getpid(), 9)"])
def test_the_last_words_of_a_crash_are_shown(crash: str) -> None:
    code, err = stderr_of(crash)
    assert code < 0
    # The filter ends after the process that crashed: reading its output waited for both.
    assert err.startswith(f"before\n{LAST_WORDS}from Python\n")


def test_an_error_while_loading_is_shown() -> None:
    code, err = stderr_of("import no_such_library")
    assert code == 1
    assert err.startswith(f"before\n{LAST_WORDS}from Python\n")
    assert err.splitlines()[-1] == "ModuleNotFoundError: No module named 'no_such_library'"
