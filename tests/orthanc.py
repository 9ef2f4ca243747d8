"""A real archive for tests: Debian's Orthanc with its DICOMweb plug-in, in a network of its own.

Orthanc listens on every address of the machine. In a network namespace there is only a loopback that nobody else sees;
commands of the test enter it one by one.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from commands import Forked

DICOM_PORT, HTTP_PORT, LISTENER_PORT = 4242, 8042, 11112
WEB = f"http://127.0.0.1:{HTTP_PORT}/dicom-web"
_PLUGINS = ("/usr/share/orthanc/plugins/libOrthancDicomWeb.so", "/usr/lib/orthanc/libOrthancDicomWeb.so")
_PATIENCE_S = 300.0
# A request to the archive's own interface, made within its network.
_ASK = """
import sys, urllib.request
method, address = sys.argv[1:3]
body = sys.stdin.buffer.read() if method == "POST" else None
with urllib.request.urlopen(urllib.request.Request(address, data=body, method=method)) as answer:
    sys.stdout.buffer.write(answer.read())
"""


class Orthanc:
    """The archive, running; with other settings of its own, by their names."""

    def __init__(self, folder: Path, **others: Any) -> None:
        program, plugin = why_not()
        assert program is not None
        self.folder = folder
        folder.mkdir()
        settings = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "Plugins": [plugin],
            "HttpPort": HTTP_PORT,
            "DicomPort": DICOM_PORT,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomModalities": {
                "carina": {"AET": "CARINA", "Host": "127.0.0.1", "Port": LISTENER_PORT, "AllowGet": True},
            },
            "DicomWeb": {"Enable": True},
            # What is deleted from its disk is gone.
            "MaximumStorageCacheSize": 0,
            **others,
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        log = (folder / "orthanc.log").open("wb")
        # The process is the same from unshare to Orthanc, so that its number names the namespace.
        self._process = subprocess.Popen(
            [*_unshare(), "sh", "-c", f"ip link set lo up && exec {program} {folder / 'orthanc.json'}"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self.ask("/system")
                return
            except subprocess.CalledProcessError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    pytest.fail(f"Orthanc does not run:\n{(self.folder / 'orthanc.log').read_text()[-3000:]}")
                time.sleep(0.2)

    def inside(self, command: list[Any]) -> list[str]:
        """Return a command that runs in the archive's network."""
        user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        return ["nsenter", "-t", str(self._process.pid), "-n", *user, "--", *map(str, command)]

    def start(self, command: list[Any], **streams: Path) -> Forked:
        """Start a command, its first word the function that carries it out, in the archive's network."""
        main, *arguments = command
        return Forked(main, arguments, network=self._process.pid, **streams)

    def run(self, command: list[Any]) -> "subprocess.CompletedProcess[str]":
        """Run a command in the archive's network to its end."""
        out, err = self.folder / "stdout", self.folder / "stderr"
        code = self.start(command, stdout=out, stderr=err).wait(_PATIENCE_S)
        return subprocess.CompletedProcess(command, code, out.read_text("utf-8"), err.read_text("utf-8"))

    def ask(self, path: str, body: Any = None) -> Any:
        """Return what the archive's own interface answers."""
        method = "GET" if body is None else "POST"
        done = subprocess.run(
            self.inside([sys.executable, "-S", "-c", _ASK, method, f"http://127.0.0.1:{HTTP_PORT}{path}"]),
            input=b"" if body is None else json.dumps(body).encode(),
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)

    def instances(self) -> list[dict[str, str]]:
        """Return the plain tags of all objects that it holds."""
        return [self.ask(f"/instances/{name}/simplified-tags") for name in self.ask("/instances")]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


def _unshare() -> list[str]:
    return ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]


def why_not() -> tuple[str, str]:
    """Return the program and its plug-in; skips the test, with the reason, where they cannot be used."""
    program = shutil.which("Orthanc", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip("Orthanc is not installed (on Debian: apt-get install orthanc orthanc-dicomweb)")
    plugin = next((path for path in _PLUGINS if Path(path).exists()), None)
    if plugin is None:
        pytest.skip("Orthanc's DICOMweb plug-in is not installed (on Debian: apt-get install orthanc-dicomweb)")
    for tool in ("unshare", "nsenter", "ip"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool}, which keeps Orthanc off the machine's network, is not installed")
    if subprocess.run([*_unshare(), "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespace can be made here, and without one Orthanc would listen on every address")
    return program, plugin
