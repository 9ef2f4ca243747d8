"""A real PostgreSQL for tests: one cluster per process of the tests, on a Unix socket in a temporary folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

_PROGRAMS = ":".join(map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)))
# Nothing that is tested here outlives a power cut of the machine.
_FAST = ("fsync=off", "full_page_writes=off", "max_connections=200", "listen_addresses=", "shared_buffers=32MB")


class PostgreSql:
    """A cluster that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count()

    def new_database(self) -> str:
        """Return the address of an empty database."""
        name = f"site{next(self._numbers)}"
        _run("psql", "-h", self.folder, "-U", "carina", "-d", "postgres", "-qc", f"CREATE DATABASE {name}")
        return f"postgresql://carina@/{name}?host={self.folder}"

    def stop(self, mode: str = "immediate") -> None:
        _run("pg_ctl", "-D", self.folder / "data", "-m", mode, "-w", "stop")

    def start(self) -> None:
        options = " ".join(f"-c {option}" for option in (*_FAST, f"unix_socket_directories={self.folder}"))
        _run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options, "-w", "start")


@contextmanager
def running_postgresql() -> Iterator[PostgreSql]:
    """Yield a cluster; skips the test, with the reason, where PostgreSQL is not installed."""
    if _path("initdb") is None or _path("psql") is None:
        pytest.skip("PostgreSQL is not installed (on Debian: apt-get install postgresql)")
    # The path of a Unix socket has 107 characters at most, which pytest's own folders exceed.
    folder = Path(tempfile.mkdtemp(prefix="carina-pg-"))
    try:
        if os.geteuid() == 0:
            # PostgreSQL does not run as root.
            shutil.chown(folder, "nobody")
            folder.chmod(0o755)
        _run("initdb", "-D", folder / "data", "-U", "carina", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
        cluster = PostgreSql(folder)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _path(program: str) -> str | None:
    return shutil.which(program, path=f"{_PROGRAMS}:{os.environ.get('PATH', '')}")


def _run(program: str, *arguments: object) -> None:
    path = _path(program)
    assert path is not None
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [path, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        check=False,
        **user,
    )
    assert done.returncode == 0, f"{program} said: {done.stderr}"
