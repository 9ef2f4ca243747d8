"""Files that mean harm: each is a named error within its limits, and nothing that it says of a patient gets out."""

import random
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, tag_for_keyword

from amount import sampled
from carina.errors import InputError
from carina.radiographs.dicom.limits import MAX_INFLATED_BYTES, DecodingLimits
from carina.radiographs.dicom.outline import NotDicomError
from carina.radiographs.dicom.workers import Workers
from make import make_grey
from make_dicom import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    data_set,
    encapsulated,
    encode_dicom,
    encode_directory,
    encode_frame,
    layout_of,
    raw_element,
    with_meta,
)
from mutate_dicom import SYNTAXES, corpus, mutations, shipped_files

GREY = make_grey(1, (60, 50))
MB = 1_000_000


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    pool = Workers(most=2)
    yield pool
    pool.close()


def most_memory(pool: Workers) -> int:
    """The most that any of the processes held so far, in bytes; nothing where the system does not tell."""
    if sys.platform != "linux":
        return 0
    peaks = []
    for pid in pool.process_ids():
        with open(f"/proc/{pid}/status") as stream:  # noqa: PTH123
            peaks += [1024 * int(line.split()[1]) for line in stream if line.startswith("VmHWM")]
    return max(peaks)


def outcome(pool: Workers, content: bytes, **options: Any) -> str:
    """What is said of a file: "read", or an error's code."""
    try:
        radiograph = pool.decode(content, **options)
    except InputError as error:
        assert str(error).isprintable()  # noqa: PT017  # either way is right
        return error.code
    except NotDicomError:
        return "no DICOM"
    assert radiograph.pixels.dtype == np.uint16
    return "read"


def jpeg_2000_of(side: int) -> bytes:
    """A codestream of a few bytes that claims a size, its tile as large as it is."""
    size = struct.pack(">HHHIIIIIIIIH3B", 0xFF51, 41, 0, side, side, 0, 0, side, side, 0, 0, 1, 7, 1, 1)
    return b"\xff\x4f" + size + b"\xff\x52\0\x0c" + bytes(10) + b"\xff\xd9"


def jpeg_of(side: int, marker: int = 0xC0) -> bytes:
    return b"\xff\xd8\xff" + bytes([marker]) + struct.pack(">HBHHB", 11, 8, side, side, 1) + b"\1\x11\0\xff\xd9"


def deep_sequence(depth: int, *, tag: int = 0x00540220) -> bytes:
    start = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, 0xFFFFFFFF)
    return (start + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * depth


def deflated_zeros(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    parts = [packer.compress(data_set(layout_of(GREY)) + raw_element(0x7FE00010, "OB", b"", length=size))]
    parts += [packer.compress(bytes(MB)) for _ in range(size // MB)]
    return b"".join([*parts, packer.flush()])


def claim(rows: int, columns: int, syntax: str, frame: bytes) -> bytes:
    return encode_dicom(GREY, syntax, frame=frame, Rows=rows, Columns=columns)


def film(pixel_element: bytes, before: bytes = b"", syntax: str = EXPLICIT, **changed: Any) -> bytes:
    return with_meta(before + data_set({**layout_of(GREY), **changed}) + pixel_element, syntax)


SHORT = raw_element(0x7FE00010, "OB", bytes(40))
LONG_FRAGMENT = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFF0)
TEXT = b"1\\" * MB
# What it is, how it is made, and what is to be said of it.
BOMBS = [
    ("30,000² in JPEG 2000", lambda: claim(30_000, 30_000, JPEG_2000, jpeg_2000_of(30_000)), "too-large"),
    ("the same behind a small header", lambda: claim(60, 50, JPEG_2000, jpeg_2000_of(30_000)), "unreadable-file"),
    ("60,000² in JPEG behind one", lambda: claim(60, 50, JPEG_BASELINE, jpeg_of(60_000)), "unreadable-file"),
    ("in lossless JPEG", lambda: claim(60, 50, JPEG_LOSSLESS, jpeg_of(60_000, 0xC3)), "unreadable-file"),
    ("in JPEG-LS", lambda: claim(60, 50, JPEG_LS, jpeg_of(60_000, 0xF7)), "unreadable-file"),
    ("8,000² of nothing in JPEG 2000", lambda: claim(8000, 8000, JPEG_2000, jpeg_2000_of(8000)), "unreadable-file"),
    ("8,000² of nothing in JPEG-LS", lambda: claim(8000, 8000, JPEG_LS, jpeg_of(8000, 0xF7)), "unreadable-file"),
    ("65,535² without compression", lambda: film(SHORT, Rows=65_535, Columns=65_535), "too-large"),
    ("8,000² of nothing", lambda: film(SHORT, Rows=8000, Columns=8000), "truncated"),
    ("4 GB of pixels", lambda: film(raw_element(0x7FE00010, "OW", b"", length=0xFFFFFFFE)), "truncated"),
    ("4 GB of a name", lambda: film(SHORT, raw_element(0x00080080, "UT", b"x", length=0xFFFFFFFE)), "truncated"),
    (
        "4 GB in a fragment",
        lambda: film(raw_element(0x7FE00010, "OB", LONG_FRAGMENT, length=0xFFFFFFFF), syntax=RLE),
        "truncated",
    ),
    ("4 GB before", lambda: bytes(128) + b"DICM" + raw_element(0x20001, "OB", b"", length=0xFFFFFFF0), "truncated"),
    ("a sequence 17 deep", lambda: film(SHORT, deep_sequence(17)), "too-large"),
    ("a million deep", lambda: film(SHORT, deep_sequence(MB)), "too-large"),
    ("a million elements", lambda: film(SHORT, raw_element(0x00081010, "LO", b"") * MB), "too-large"),
    (
        "a million items",
        lambda: film(SHORT, raw_element(0x00082218, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0) * MB)),
        "too-large",
    ),
    ("a million fragments", lambda: film(encapsulated(*[b""] * MB), syntax=RLE), "too-large"),
    ("a million vertices", lambda: film(SHORT, raw_element(0x00181620, "UT", TEXT)), "too-large"),
    ("a window of a million values", lambda: film(SHORT, raw_element(0x00281050, "UN", TEXT)), "too-large"),
    ("deflated, and not asked for", lambda: encode_dicom(GREY, DEFLATED), "unsupported-format"),
]


@pytest.mark.parametrize(("make", "code"), [bomb[1:] for bomb in BOMBS], ids=[bomb[0] for bomb in BOMBS])
def test_bombs_do_not_go_off(make: Callable[..., Any], code: str, workers: Workers) -> None:
    content = make()
    started = time.perf_counter()
    assert outcome(workers, content) == code
    assert time.perf_counter() - started < 30
    assert most_memory(workers) < 400 * MB


def test_a_deflated_bomb_stops_at_its_limit(workers: Workers) -> None:
    for size, code in ((400 * MB, "too-large"), (100 * MB, "unreadable-file")):
        packed = deflated_zeros(size)
        assert len(packed) < MB
        nothing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
        content = with_meta(b"", DEFLATED).removesuffix(nothing) + packed
        assert outcome(workers, content, deflated=True) == code
    assert most_memory(workers) < MAX_INFLATED_BYTES + 400 * MB
    assert DecodingLimits().memory_bytes <= 1000 * MB


@pytest.mark.parametrize("depth", [17, 5000])
def test_sequences_of_given_length_are_as_shallow(workers: Workers, depth: int) -> None:
    """These are parsed when their value is asked for: only those that are asked for count, and all of these."""
    body = b""
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body
        body = raw_element(0x00540220, "SQ", item)
    image = data_set(layout_of(GREY)) + raw_element(0x7FE00010, "OB", GREY.tobytes())
    assert outcome(workers, with_meta(body + image)) == "too-large"
    # Under a tag that nobody asks for they are skipped.
    private = with_meta(raw_element(0x00091010, "SQ", item) + image)
    assert outcome(workers, private) == "read"


PATHS = ("../../../../etc/passwd", "/etc/passwd", "..\\..\\windows", "file:///etc/passwd", "$(touch x)", "%n%s")


@pytest.mark.parametrize("path", PATHS)
def test_names_that_are_paths_open_nothing(
    path: str, workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = dict.fromkeys(("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "PatientID", "PatientName"), path)
    content = encode_dicom(GREY, ReferencedFileID=path, **names)
    assert outcome(workers, content) == "read"
    assert outcome(workers, with_meta(encode_dicom(GREY, preamble=None), path)) == "unsupported-format"
    assert list(tmp_path.iterdir()) == []


def test_some_hundred_files_that_were_changed(workers: Workers) -> None:
    """`benchmarks/mutated_dicom.py` does the same a hundred thousand times."""
    sound = corpus()
    outcomes: dict[str, int] = {}
    for _, content in mutations(sound, 0, 400):
        code = outcome(workers, content, deflated=True)
        outcomes[code] = outcomes.get(code, 0) + 1
    assert most_memory(workers) < 1000 * MB
    # They are not all alike: the mutator reaches the parser, the decoders and what comes after.
    assert outcomes["read"] > 20
    assert len(outcomes) >= 6
    assert "too-slow" not in outcomes
    assert outcomes.get("unreadable-file", 0) + outcomes.get("truncated", 0) > 20


SOUND = [encode_dicom(make_grey(2, (60, 50), 12), syntax, stored=12) for syntax in SYNTAXES if syntax != JPEG_BASELINE]


@settings(max_examples=sampled(150))
@given(
    sound=st.sampled_from(SOUND),
    patches=st.lists(
        st.tuples(st.floats(0, 1), st.binary(max_size=12), st.integers(0, 12)),
        min_size=1,
        max_size=4,
    ),
)
def test_any_patch_gives_a_radiograph_or_a_named_error(workers: Workers, sound: Any, patches: Any) -> None:
    content = bytearray(sound)
    for place, new, old in patches:
        start = round(place * len(content))
        content[start : start + old] = new
    assert outcome(workers, bytes(content), deflated=True) != "too-slow"


@settings(max_examples=sampled(100))
@given(body=st.binary(max_size=400), preamble=st.booleans(), syntax=st.sampled_from([*SYNTAXES, None]))
def test_any_bytes_give_a_named_error(workers: Workers, body: bytes, preamble: Any, syntax: str) -> None:
    content = with_meta(body, syntax, bytes(128) if preamble else None)
    assert outcome(workers, content, deflated=True) != "read"


# In no word that a library would say by itself.
PLANTED = "Zxqv"


def planted(rng: Random) -> bytes:
    """A data set that has a secret in every element that the standard knows, of its type or of another."""
    body = {}
    for tag, entry in DicomDictionary.items():
        vr = entry[0].split(" or ")[0]
        if tag >> 16 in (0x0002, 0x0000, 0xFFFE, 0x7FE0, 0x5400) or tag >= 0x7FE00000 or vr == "SQ":
            continue
        as_text = PLANTED.encode() * 2
        other = rng.choice(("DS", "IS", "US", "DA", "AS", "UI", "CS", "PN", "FD", "LO", "UN", "ZZ", "AT", "TM", "DT"))
        body[tag] = raw_element(tag, other if rng.random() < 0.3 else vr, as_text)
    said = layout_of(GREY)
    for keyword in said:
        body[tag_for_keyword(keyword)] = data_set({keyword: said[keyword]})
    return b"".join(body[tag] for tag in sorted(body))


PROGRAM = """
import logging, sys, traceback, warnings
warnings.simplefilter("always")
logging.basicConfig(level=1, stream=sys.stderr)
from pathlib import Path
from carina.errors import InputError
from carina.radiographs.intended_use import refusals, reservations
from carina.radiographs.read import read_radiograph
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        header = read_radiograph(path, deflated=True).header
        print("read", header, refusals(header), reservations(header))
    except InputError as error:
        print(error.code, error, repr(error), error.__cause__, error.__context__)
        traceback.print_exc()
"""


def test_no_value_of_a_tag_gets_out(tmp_path: Path) -> None:
    rng = random.Random(5)
    pixels = raw_element(0x7FE00010, "OB", GREY.tobytes())
    for number in range(60):
        content = with_meta(planted(rng) + pixels, EXPLICIT, PLANTED.encode() * 20)
        if number % 3 == 1:
            content = content[: rng.randrange(200, len(content))]
        elif number % 3 == 2:
            changed = bytearray(content)
            for _ in range(20):
                changed[rng.randrange(132, len(changed))] ^= 1 << rng.randrange(8)
            content = bytes(changed)
        (tmp_path / f"{number}.dcm").write_bytes(content)
    # Where pydicom would speak up: values that are not of their type, in tags that are read.
    for keyword, value in {
        # Height and width are told, as those of any image.
        **dict.fromkeys(("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"), PLANTED.encode()),
        **dict.fromkeys(("NumberOfFrames", "WindowCenter", "RescaleSlope", "PixelSpacing", "PatientAge"), PLANTED),
        **dict.fromkeys(("PhotometricInterpretation", "Modality", "SOPClassUID", "PatientBirthDate"), PLANTED),
        **dict.fromkeys(("SpecificCharacterSet", "BodyPartExamined", "ViewPosition", "PatientOrientation"), PLANTED),
    }.items():
        (tmp_path / f"{keyword}.dcm").write_bytes(encode_dicom(GREY, **{keyword: value}))
    (tmp_path / "syntax.dcm").write_bytes(with_meta(encode_dicom(GREY, preamble=None), PLANTED))
    (tmp_path / "implicit.dcm").write_bytes(with_meta(encode_dicom(GREY, EXPLICIT, preamble=None), IMPLICIT))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stdout.splitlines() if line]
    assert len(lines) == len(list(tmp_path.iterdir()))
    assert sum(line.startswith("read") for line in lines) >= 10
    assert sum(not line.startswith("read") for line in lines) >= 10
    said = (done.stdout + done.stderr).lower()
    assert PLANTED.lower() not in said
    assert PLANTED.encode().hex() not in said
    # As numbers, in either order of bytes.
    for form in ("<H", ">H", "<I", ">I"):
        number = struct.unpack(form, PLANTED.encode()[: struct.calcsize(form)])[0]
        assert f"{number}" not in said.replace(",", "")


DAMAGE = ("unreadable-file", "truncated", "unsupported-format", "constant-image")


def test_frames_that_encoders_would_never_write(workers: Workers) -> None:
    """Codestreams of noise behind sound headers."""
    rng = np.random.default_rng(0)
    for syntax in SYNTAXES:
        if syntax in (IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN):
            continue
        for _ in range(5):
            frame = bytearray(encode_frame(GREY, syntax))
            start = len(frame) // 4
            frame[start:] = rng.bytes(len(frame) - start)
            assert outcome(workers, encode_dicom(GREY, syntax, frame=bytes(frame))) in ("read", *DAMAGE)
    assert outcome(workers, encode_dicom(GREY, JPEG_2000_LOSSLESS)) == "read"


DIRECTORIES = [
    *(
        encode_directory(["A", "IM1"], ["A", "IM2"], ["S"], syntax=syntax)
        for syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN)
    ),
    *(path.read_bytes() for path in shipped_files() if path.name.startswith("DICOMDIR")),
]


def test_directories_of_others_are_read_as_pydicom_reads_them(workers: Workers) -> None:
    """Each that is whole: one that pydicom ships ends within an element."""
    counts = []
    for path in shipped_files():
        if not path.name.startswith("DICOMDIR") or path.name.endswith("nooffset"):
            continue
        records = dcmread(path).DirectoryRecordSequence
        names = [record.ReferencedFileID for record in records if "ReferencedFileID" in record]
        expected = [(name,) if isinstance(name, str) else tuple(name) for name in names]
        assert workers.list_directory(path.read_bytes()) == expected
        counts.append(len(expected))
    assert sorted(counts) == [0, 31, 31, 31, 31, 31, 50]


@pytest.mark.parametrize("sound", [corpus(), DIRECTORIES], ids=["files", "directories"])
def test_changed_files_are_identified_and_listed_or_named_errors(workers: Workers, sound: list[bytes]) -> None:
    said = []
    for _, content in mutations(sound, 70_000, 250):
        for ask in (workers.identify, workers.list_directory):
            try:
                answer = ask(content)
            except InputError as error:
                assert str(error).isprintable()  # noqa: PT017  # either way is right
                said.append(error.code)
            else:
                said.append("read")
                assert "SECRET" not in str(answer)
                assert "Secret" not in str(answer)
    assert said.count("read") > 50
    assert len(set(said)) >= 4
    assert most_memory(workers) < 1000 * MB


@pytest.mark.long
def test_a_directory_within_its_limits_is_done_in_time(workers: Workers) -> None:
    started = time.monotonic()
    with pytest.raises(InputError) as refused:
        workers.list_directory(with_meta(deep_sequence(3000), sop_class="1.2.840.10008.1.3.10"))
    assert refused.value.code == "too-large"
    most = encode_directory(*([f"D{n % 50}", f"I{n:05}"] for n in range(20_000)))
    assert len(workers.list_directory(most)) == 20_000
    assert time.monotonic() - started < 60
