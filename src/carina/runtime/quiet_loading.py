"""TensorFlow is loaded without the lines that its libraries write about themselves.

They write while they are loaded, before any setting reaches them: neither ``TF_CPP_MIN_LOG_LEVEL`` nor Python's logging
silences them (https://github.com/tensorflow/tensorflow/issues/100442). So what is written to stderr meanwhile goes
through another process, which leaves out these lines and no other. It outlives a crash: the last words of a library
that ends the process are shown, too.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# What is left out: absl's announcement that it writes to stderr, and its lines of the level INFO.
_FILTER = r"""
import re, sys
announced = rb"WARNING: All log messages before absl::InitializeLog\(\)"
chatter = re.compile(announced + rb"|I\d{4} \d\d:\d\d:[\d.]+ +\d+ \S+:\d+\] ")
for line in sys.stdin.buffer:
    if not chatter.match(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""
_WAIT_S = 5.0


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Leave the chatter of libraries that are loaded meanwhile out of stderr; everything else is shown."""
    try:
        shown = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    reading, writing = os.pipe()
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    # In a session of its own, Ctrl-C does not reach it.
    filtering = subprocess.Popen(command, stdin=reading, stdout=shown, stderr=shown, start_new_session=True)  # noqa: S603
    os.close(reading)
    sys.stderr.flush()
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(shown, 2)
        os.close(shown)
        # It ends with the pipe. A process that was started meanwhile and still holds the pipe must not be waited for.
        with suppress(subprocess.TimeoutExpired):
            filtering.wait(_WAIT_S)
