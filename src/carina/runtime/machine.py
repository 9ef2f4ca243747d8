"""What a figure was measured on: processor, library versions, memory."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from carina.errors import ConfigurationError

_LIBRARIES = (
    *("keras", "numpy", "onnxruntime", "opencv-python-headless", "openvino", "pillow", "pydicom", "pyjpegls"),
    *("pylibjpeg-openjpeg", "python-gdcm", "tensorflow-cpu", "tensorflow"),
)

# x86: AVX-512 VNNI, AVX VNNI and AMX. Arm: the dot product.
_BYTE_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})
_INSTRUCTION_SETS = (
    *(("amx_int8", "AMX"), ("avx512_vnni", "AVX-512 VNNI"), ("avx512f", "AVX-512"), ("avx_vnni", "AVX-VNNI")),
    *(("avx2", "AVX2"), ("sse4_1", "SSE4.1"), ("asimddp", "Neon with dot products"), ("asimd", "Neon")),
)


def describe_machine() -> str:
    """Return processor, cores and system in one line."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def has_byte_products() -> bool:
    """Return whether this processor is known to have instructions for sums of products of bytes.

    That is asked of Linux, which lists them; elsewhere the answer is no.
    """
    return not _BYTE_PRODUCTS.isdisjoint(processor_flags())


def processor_flags() -> list[str]:
    """Return the features of this processor as Linux lists them; nothing elsewhere."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return []
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "").split()


def instruction_set() -> str:
    """Return the newest instruction set for vectors that this processor is known to have, as people call it.

    That is asked of Linux, which lists them; elsewhere it is the name of the architecture.
    """
    flags = processor_flags()
    return next((name for flag, name in _INSTRUCTION_SETS if flag in flags), platform.machine())


def library_versions(*more: str) -> dict[str, str]:
    """Return the versions of Python and of the installed libraries that can change a figure, and of more libraries."""
    versions = {"python": platform.python_version()}
    for library in (*_LIBRARIES, *more):
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0.0
    import resource  # noqa: PLC0415  # not on Windows

    return _in_mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _in_mb(peak: int) -> float:
    # Linux counts in KiB, macOS in bytes.
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


# A small process starts the command: what Linux counts for a command starts with the memory of what started it.
_LAUNCHER = """
import os, sys
child = os.fork()
if not child:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


def peak_memory_of_command_mb(command: Sequence[str]) -> float | None:
    """Return the largest resident memory, in MB, of a command that is run to its end; none where nobody can tell.

    It begins with a program's full path. What it writes to stdout is dropped.

    Raises
    ------
    ConfigurationError
        If it fails.
    """
    if sys.platform == "win32":
        return None
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *command]
    done = subprocess.run(launch, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603  # our own words
    code, peak = done.stdout.split() if done.returncode == 0 else (b"1", b"0")
    if int(code):
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        msg = f"{' '.join(command[:4])} … failed with exit code {int(code)}: {' '.join(said)}"
        raise ConfigurationError(msg)
    return _in_mb(int(peak))
