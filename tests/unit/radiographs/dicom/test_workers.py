"""The processes that decode: used again, killed when they hang, not believed, and gone when nobody needs them."""

import os
import platform
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from carina.errors import InputError
from carina.radiographs.dicom import workers as workers_module
from carina.radiographs.dicom.decode import decode
from carina.radiographs.dicom.limits import DecodingLimits
from carina.radiographs.dicom.outline import NotDicomError
from carina.radiographs.dicom.workers import Workers
from carina.radiographs.header import Header
from make import make_grey
from make_dicom import (
    DEFLATED,
    JPEG_2000_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    RLE,
    data_set,
    encapsulated,
    encode_dicom,
    encode_frame,
    layout_of,
    with_meta,
)

GREY = make_grey(1, (60, 50))
FILM = encode_dicom(make_grey(2, (60, 50), 12), stored=12, photometric="MONOCHROME1")


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    pool = Workers()
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def endless() -> bytes:
    """RLE that goes on standing for nothing: seconds of it in 60 MB."""
    segment = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x80" * 60_000_000
    return with_meta(data_set(layout_of(GREY)) + encapsulated(segment), RLE)


def pids(pool: Workers) -> set[int]:
    return set(pool.process_ids())


def refusal(pool: Workers, content: bytes, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        pool.decode(content, **options)
    return caught.value


def test_what_comes_back_is_what_is_decoded_here(workers: Workers) -> None:
    doubtful = encode_dicom(GREY, WindowCenter="x", WindowWidth=5, Modality="CT\\CR", ShutterShape="BITMAP")
    assert decode(doubtful).header.doubts == ("window", "shutter")
    colour = encode_dicom(np.stack([GREY] * 3, axis=-1))
    for content in (FILM, encode_dicom(GREY, JPEG_2000_LOSSLESS), colour, doubtful):
        here, there = decode(content), workers.decode(content)
        np.testing.assert_array_equal(there.pixels, here.pixels)
        assert there.pixels.dtype == np.uint16
        assert (there.white, there.header) == (here.white, here.header)
        assert isinstance(there.header, Header)
    content = encode_dicom(GREY, DEFLATED)
    assert refusal(workers, content).code == "unsupported-format"
    np.testing.assert_array_equal(workers.decode(content, deflated=True).pixels, decode(encode_dicom(GREY)).pixels)


def test_errors_come_back_with_their_code(workers: Workers) -> None:
    for content in (FILM[:-50], encode_dicom(GREY, Rows=None), encode_dicom(GREY, Modality="CT")):
        with pytest.raises(InputError) as caught:
            decode(content)
        error = refusal(workers, content)
        assert (error.code, str(error)) == (caught.value.code, str(caught.value))
    with pytest.raises(NotDicomError):
        workers.decode(b"\x08\0\x05\0CS\0\0 and then text, not a data set")


def test_one_process_serves_one_thread_and_several_serve_several() -> None:
    pool = Workers(most=2)
    try:
        for _ in range(5):
            pool.decode(FILM)
        assert len(pids(pool)) == 1
        first = pids(pool)
        barrier = threading.Barrier(4)

        def many(_: object) -> Any:
            barrier.wait()
            return [pool.decode(FILM).pixels.sum() for _ in range(10)]

        with ThreadPoolExecutor(4) as threads:
            sums = list(threads.map(many, range(4)))
        assert {sum_ for each in sums for sum_ in each} == {decode(FILM).pixels.sum()}
        assert first < pids(pool)
        assert len(pids(pool)) == 2
    finally:
        pool.close()


def test_a_process_that_hangs_is_killed_and_the_next_file_is_read(endless: bytes) -> None:
    pool = Workers(DecodingLimits(seconds=0.5))
    try:
        pool.decode(FILM)
        (before,) = pids(pool)
        started = time.perf_counter()
        error = refusal(pool, endless)
        assert error.code == "too-slow"
        assert "over 0.5 s and was ended" in str(error)
        assert time.perf_counter() - started < 20
        assert not psutil.pid_exists(before)
        assert pool.decode(FILM).pixels.shape == (60, 50)
    finally:
        pool.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_the_system_ends_what_takes_too_much_processor_time(endless: bytes) -> None:
    pool = Workers(DecodingLimits(cpu_seconds=0))
    try:
        error = refusal(pool, endless)
        assert error.code == "too-slow"
        assert "over 0 s and was ended" in str(error)
    finally:
        pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="no such limit")
def test_memory_is_limited(workers: Workers) -> None:
    workers.decode(FILM)
    needed = max(psutil.Process(pid).memory_info().vms for pid in pids(workers))
    pool = Workers(DecodingLimits(memory_bytes=needed + 40_000_000))
    large = make_grey(1, (500, 400), 16).repeat(10, axis=0).repeat(8, axis=1)
    try:
        pool.decode(FILM)
        before = pids(pool)
        error = refusal(pool, encode_dicom(large, frame=None))
        assert error.code == "too-large"
        assert "more memory than a radiograph may" in str(error)
        # Its memory may be in pieces: another goes on.
        assert pool.decode(FILM).pixels.shape == (60, 50)
        assert not before & pids(pool)
    finally:
        pool.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="another C library")
def test_nothing_of_one_film_is_left_for_the_next(workers: Workers) -> None:
    """Memory that is handed out again holds nothing."""
    program = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.malloc.restype = ctypes.c_void_p\n"
        "libc.free.argtypes = [ctypes.c_void_p]\n"
        "found = set()\n"
        "for size in (200, 4000, 60_000) * 20:\n"
        "    place = libc.malloc(size)\n"
        "    found |= set(ctypes.string_at(place, size))\n"
        "    ctypes.memset(place, 7, size)\n"
        "    libc.free(place)\n"
        "sys.exit(found != {0})\n"
    )
    if "glibc" not in platform.libc_ver():
        pytest.skip("another C library")
    environment = {**os.environ, **workers_module._ENVIRONMENT}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == 0
    workers.decode(FILM)
    (pid, *_) = pids(workers)
    assert psutil.Process(pid).environ()["MALLOC_PERTURB_"] == "255"


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits")
def test_a_process_may_write_no_file_and_leave_no_core(workers: Workers) -> None:
    import resource

    workers.decode(FILM)
    (pid, *_) = pids(workers)
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == (0, 0)
    assert resource.prlimit(pid, resource.RLIMIT_AS) == (DecodingLimits().memory_bytes,) * 2
    streams = [str(Path(f"/proc/{pid}/fd/{stream}").readlink()) for stream in (0, 1, 2)]
    assert streams == ["/dev/null"] * 3


def test_a_process_that_was_killed_meanwhile_is_replaced() -> None:
    pool = Workers()
    try:
        pool.decode(FILM)
        (before,) = pids(pool)
        psutil.Process(before).kill()
        deadline = time.monotonic() + 20
        while psutil.Process(before).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert pool.decode(FILM).pixels.shape == (60, 50)
        assert pids(pool) != {before}
    finally:
        pool.close()


def test_a_process_that_is_killed_over_a_file_says_nothing_about_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange, kills = workers_module._Worker._exchange, 1

    def killed_at_work(worker: Any, options: dict[str, Any], content: bytes) -> Any:
        nonlocal kills
        if kills:
            kills -= 1
            worker.process.kill()
        return exchange(worker, options, content)

    monkeypatch.setattr(workers_module._Worker, "_exchange", killed_at_work)
    pool = Workers()
    try:
        assert pool.decode(FILM).pixels.shape == (60, 50)
        kills = 2
        with pytest.raises(InputError, match="the decoder broke down over it"):
            pool.decode(FILM)
        assert kills == 0
        assert pool.decode(FILM).pixels.shape == (60, 50)
    finally:
        pool.close()


LIES = {
    "ends": "sys.exit()",
    "is killed": "os.kill(os.getpid(), 9)",
    "says no JSON": "say(b'x' * 20, b'')",
    "says a list": "say(b'[]', b'')",
    "says nothing": "say(b'{}', b'')",
    "has many words": "out.write(HEAD.pack(1 << 30, 0))",
    "has many bytes": "out.write(HEAD.pack(2, 1 << 50) + b'{}')",
    "has a shape of text": 'say(b\'{"shape": "ab", "header": {}}\', bytes(8))',
    "has a shape of three": 'say(b\'{"shape": [1, 2, 3], "header": {}}\', bytes(8))',
    "has another shape": 'say(b\'{"shape": [2, 3], "header": {}}\', bytes(8))',
    "has no shape": "say(b'{\"header\": {}}', bytes(8))",
    "has a negative shape": 'say(b\'{"shape": [-2, -2], "header": {}}\', bytes(8))',
    "has a strange header": 'say(b\'{"shape": [2, 2], "header": {"modality": "SECRET"}}\', bytes(8))',
    "has a strange doubt": 'say(b\'{"shape": [2, 2], "header": {"doubts": ["SECRET"]}}\', bytes(8))',
    "has a strange attribute": 'say(b\'{"shape": [2, 2], "header": {"several": ["SECRET"]}}\', bytes(8))',
    "has a strange resolution": 'say(b\'{"shape": [2, 2], "header": {}, "reduced": 0}\', bytes(8))',
    "has no header": "say(b'{\"shape\": [2, 2]}', bytes(8))",
    "stops half way": 'out.write(HEAD.pack(33, 8) + b\'{"shape": [2, 2], "header": {}}\'); out.flush(); sys.exit()',
    "has an unknown code": 'say(b\'{"error": "x", "message": "SECRET"}\', b\'\')',
    "has a code of no text": 'say(b\'{"error": [], "message": "SECRET"}\', b\'\')',
    "moves the cursor": 'say(b\'{"error": "truncated", "message": "SECRET\\\\u001b[2J"}\', b\'\')',
}


@pytest.mark.parametrize("lie", LIES)
def test_a_process_that_was_taken_over_is_not_believed(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import os, sys\n"
        "from carina.radiographs.dicom.protocol import HEAD, READY\n"
        "out = sys.stdout.buffer\n"
        "def say(words, pixels):\n"
        "    out.write(HEAD.pack(len(words), len(pixels)) + words + pixels)\n"
        "out.write(READY); out.flush()\n"
        "sys.stdin.buffer.read(5)\n"
        f"{LIES[lie]}\n"
        "out.flush()\n"
        "sys.stdin.buffer.read()\n"
    )
    monkeypatch.setattr(
        workers_module, "_PROGRAM", f"import json, sys\nsys.path[:] = json.loads(sys.argv[1])\n{program}"
    )
    pool = Workers(DecodingLimits(seconds=20))
    try:
        error = refusal(pool, FILM)
        assert error.code == "unreadable-file"
        assert "SECRET" not in str(error)
    finally:
        pool.close()


@pytest.mark.parametrize("program", ["raise SystemExit", "print('hello, this is something else')"])
def test_a_process_that_does_not_start_is_said(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "_PROGRAM", program)
    error = refusal(Workers(), FILM)
    assert error.code == "decoder-unavailable"
    assert "could not be started" in str(error)


def test_an_interpreter_that_is_gone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    error = refusal(Workers(), FILM)
    assert error.code == "decoder-unavailable"
    assert "No such file" in str(error)


def run(program: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.dcm"
    path.write_bytes(FILM)
    return path


_READ = (
    "import sys, os, pathlib, signal\n"
    "from carina.radiographs.read import read_radiograph\n"
    "from carina.radiographs.dicom import workers\n"
    "path = pathlib.Path(sys.argv[1])\n"
    "def pids(): return workers._shared.process_ids()\n"
)


def test_nothing_is_left_running_and_nothing_is_said(film: Path) -> None:
    done = run(f"{_READ}print(read_radiograph(path).white, *pids())\n", film)
    assert (done.returncode, done.stderr) == (0, "")
    white, pid = done.stdout.split()
    assert white == "65535.0"
    assert not psutil.pid_exists(int(pid))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_processes_of_its_own(film: Path) -> None:
    program = (
        f"{_READ}"
        "first = read_radiograph(path).pixels.sum()\n"
        "before = pids()\n"
        # As if another thread had just been taking a process: in the child nobody will ever give the lock back.
        "workers._shared._lock.acquire()\n"
        "child = os.fork()\n"
        "if child: workers._shared._lock.release()\n"
        "else: signal.alarm(60)\n"
        "same = all(read_radiograph(path).pixels.sum() == first for _ in range(20))\n"
        "own = pids() == before\n"
        "if not child:\n"
        "    sys.stdout.flush()\n"
        "    workers._shared.close()\n"
        "    os._exit(0 if same and not own else 1)\n"
        "_, status = os.waitpid(child, 0)\n"
        "print(same, own, status)\n"
    )
    done = run(program, film)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["True", "True", "0"]


def test_a_process_ends_with_the_one_that_started_it(film: Path) -> None:
    program = f"{_READ}read_radiograph(path)\nprint(*pids(), flush=True)\nos.kill(os.getpid(), 9)\n"
    done = run(program, film)
    assert done.returncode != 0
    deadline = time.monotonic() + 20
    while psutil.pid_exists(int(done.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_png_pays_for_none_of_it(tmp_path: Path) -> None:
    from make import write_image

    program = (
        "import sys, pathlib\n"
        "from carina.radiographs.read import read_radiograph\n"
        "read_radiograph(pathlib.Path(sys.argv[1]))\n"
        "names = ('pydicom', 'gdcm', 'openjpeg', 'carina.radiographs.dicom.workers')\n"
        "print(*(name for name in names if name in sys.modules))\n"
    )
    assert run(program, write_image(tmp_path / "a.png", GREY)).stdout.split() == []


def test_pydicom_is_never_in_this_process(film: Path) -> None:
    program = f"{_READ}read_radiograph(path)\nprint('pydicom' in sys.modules, 'PIL.JpegImagePlugin' in sys.modules)\n"
    assert run(program, film).stdout.split()[0] == "False"


def test_what_a_library_prints_is_lost(tmp_path: Path) -> None:
    """GDCM writes on the standard error of whoever asks it for something it does not like."""
    pytest.importorskip("gdcm")
    frame = bytearray(encode_frame(make_grey(1, (60, 50), 12), JPEG_LOSSLESS_SV1, 12))
    frame[30:60] = bytes(30)
    path = tmp_path / "a.dcm"
    path.write_bytes(
        encode_dicom(GREY, JPEG_LOSSLESS_SV1, frame=bytes(frame), BitsAllocated=16, BitsStored=12, HighBit=11)
    )
    program = (
        f"{_READ}"
        "from carina.errors import InputError\n"
        "try: read_radiograph(path)\n"
        "except InputError as error: print(error.code)\n"
    )
    done = run(program, path)
    assert (done.stdout, done.stderr) == ("unreadable-file\n", "")
