"""Commands that tests start as processes of their own: as users start them, or forked from one that is prepared.

To start Python and import what ``carina dicom`` needs takes a second of processor time, and some tests start a dozen.
"""

import ctypes
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

_PREPARED = ("carina_with_stand_in", "site_stand_in", "carina.cli.dicom.send", "carina.dicom.listener.listener")
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start ``carina`` as a user does."""
    command = [str(Path(sys.executable).parent / "carina"), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Forked:
    """A command in a process that is forked from one with Carina imported.

    Parameters
    ----------
    main
        A function of a module, called without arguments: `sys.argv` holds the command.
    arguments
        The command, without the name of the program.
    stdout
        A file to write, or a pipe.
    stderr
        A file to write; none: where stdout goes.
    environment
        Variables that are set in addition.
    network
        A process whose network is entered first.
    """

    def __init__(
        self,
        main: Callable[[], object],
        arguments: Sequence[object],
        *,
        stdout: Path | Connection,
        stderr: Path | None = None,
        environment: dict[str, str] | None = None,
        network: int | None = None,
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        _prepare()
        given = [str(argument) for argument in arguments]
        # What a test that failed left running ends with pytest.
        self._process = context.Process(
            target=_run, args=(main, given, stdout, stderr, environment or {}, network), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it ends, and return its exit code."""
        self._process.join(timeout_s)
        assert self._process.exitcode is not None, "it does not end"
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _prepare() -> None:
    """Start the process that others are forked from, if there is none."""
    forkserver.set_forkserver_preload(list(_PREPARED))
    before = os.environ.get("PYTHONPATH")
    # It imports before it is told where modules are.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *filter(None, [before])])
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _run(
    main: Callable[[], object],
    arguments: list[str],
    stdout: Path | Connection,
    stderr: Path | None,
    environment: dict[str, str],
    network: int | None,
) -> None:
    # A daemon may have no processes of its own, and the listener has some.
    multiprocessing.current_process().daemon = False
    if network is not None:
        _enter(network)
    os.environ.update(environment)
    for stream, numbers in ((stdout, (1, 2)), (stderr, (2,))):
        if stream is not None:
            with stream.open("wb") if isinstance(stream, Path) else stream as opened:
                for number in numbers:
                    os.dup2(opened.fileno(), number)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    sys.argv = ["carina", *arguments]
    main()


def _enter(process: int) -> None:
    """Enter the network of another process (setns(2)), and its user's space first where one is not root."""
    library = ctypes.CDLL(None, use_errno=True)
    kinds = [("net", _NEW_NETWORK)] if os.geteuid() == 0 else [("user", _NEW_USER), ("net", _NEW_NETWORK)]
    # The first space that is entered must not close the way to the second.
    opened = [(os.open(f"/proc/{process}/ns/{name}", os.O_RDONLY), flag) for name, flag in kinds]
    for descriptor, flag in opened:
        if library.setns(descriptor, flag):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(descriptor)
