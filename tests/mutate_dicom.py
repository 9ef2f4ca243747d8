"""DICOM files that mean harm, or have come to it: every one is made from a seed, so that any can be made again."""

import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from make import make_grey
from make_dicom import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS,
    JPEG_LS_NEAR,
    RLE,
    encode_dicom,
)

SYNTAXES = (
    *(IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, RLE, JPEG_BASELINE, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1),
    *(JPEG_LS, JPEG_LS_NEAR, JPEG_2000_LOSSLESS, JPEG_2000),
)
# Lengths and sizes at which programs go wrong.
_EDGES = (
    *(0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF),
)
_LARGEST_SEED = 65_536


def seeds(size: tuple[int, int] = (60, 50)) -> list[bytes]:
    """Sound files of every coding, grey and colour, 8 to 16 bit, with tables, shutters and sequences."""
    table = [{"LUTDescriptor": [256, 0, 12], "LUTData": np.arange(256, dtype="<u2").tobytes()}]
    more = {
        "ModalityLUTSequence": table,
        "VOILUTSequence": table,
        "ShutterShape": ["RECTANGULAR", "CIRCULAR", "POLYGONAL"],
        "ShutterLeftVerticalEdge": 2,
        "ShutterRightVerticalEdge": 48,
        "ShutterUpperHorizontalEdge": 3,
        "ShutterLowerHorizontalEdge": 58,
        "CenterOfCircularShutter": [30, 25],
        "RadiusOfCircularShutter": 30,
        "VerticesOfThePolygonalShutter": [1, 1, 1, 50, 60, 50, 60, 1],
        "ViewCodeSequence": [{"CodeValue": "399348003"}],
        "PixelPaddingValue": 0,
        "PixelPaddingRangeLimit": 3,
    }
    found = []
    for syntax in SYNTAXES:
        grey, deep = make_grey(1, size), make_grey(2, size, 12)
        colour = np.stack([make_grey(seed, size) for seed in (3, 4, 5)], axis=-1)
        found.append(encode_dicom(grey, syntax, WindowCenter=100, WindowWidth=150))
        if syntax != JPEG_BASELINE:
            found.append(encode_dicom(deep, syntax, stored=12, photometric="MONOCHROME1"))
        found.append(encode_dicom(colour, syntax))
    found += [encode_dicom(make_grey(6, size, 12), syntax, stored=12, **more) for syntax in (EXPLICIT, IMPLICIT)]
    return found


def shipped_files() -> list[Path]:
    """The files that pydicom brings along for its own tests, without any that it would download."""
    import pydicom.data

    folder = Path(pydicom.data.__file__).parent
    endings = {".py", ".pyc", ".json", ".txt", ".md", ".gz", ".zip", ".dump", ""}
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and (path.suffix not in endings or (not path.suffix and "dicomdirtests" in path.parts))
    )


def corpus() -> list[bytes]:
    """What is mutated: sound files, and those of pydicom that are small."""
    small = [path.read_bytes() for path in shipped_files() if path.stat().st_size <= _LARGEST_SEED]
    # Most of pydicom's hold no radiograph.
    return seeds() * 8 + small


def mutated(sound: Sequence[bytes], seed: int) -> bytes:
    """The file of a seed: one to four changes to one of the sound files."""
    rng = random.Random(seed)
    content = bytearray(rng.choice(sound))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        if len(content) > 8:
            rng.choice(_CHANGES)(content, rng, sound)
    return bytes(content)


def mutations(sound: Sequence[bytes], first: int, count: int) -> Iterator[tuple[int, bytes]]:
    """Yield each seed from the first on with its file."""
    return ((seed, mutated(sound, seed)) for seed in range(first, first + count))


def _place(content: bytearray, rng: random.Random) -> int:
    """A place in it, more often in the header or around the beginning of the pixels than among them."""
    pixels = content.find(b"\xe0\x7f\x10\0")
    where = rng.random()
    if pixels > 0 and where < 0.3:
        return min(len(content) - 1, pixels + rng.randrange(120))
    if pixels > 132 and where < 0.8:
        return rng.randrange(132, pixels)
    return rng.randrange(len(content))


def _flip_bits(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    for _each in range(rng.choice((1, 1, 2, 8, 40))):
        content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _set_bytes(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    place = _place(content, rng)
    count = min(rng.choice((1, 2, 4, 16)), len(content) - place)
    content[place : place + count] = rng.randbytes(count)


def _cut_off(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    del content[_place(content, rng) :]


def _cut_out(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    place = _place(content, rng)
    del content[place : place + rng.choice((1, 2, 8, 50))]


def _double(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    place = _place(content, rng)
    content[place:place] = content[place : place + rng.choice((1, 8, 50, 500))] * rng.choice((1, 1, 20))


def _set_number(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    place, form = _place(content, rng), rng.choice(("<I", ">I", "<H", ">H"))
    edge = rng.choice(_EDGES) & (0xFFFFFFFF if form[1] == "I" else 0xFFFF)
    content[place : place + struct.calcsize(form)] = struct.pack(form, edge)


def _change_size(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """Change one of the numbers that say how the pixels lie."""
    for tag in rng.sample((b"\x28\0\x10\0", b"\x28\0\x11\0", b"\x28\0\0\x01", b"\x28\0\x01\x01", b"\x28\0\x02\0"), 5):
        place = content.find(tag)
        if place > 0:
            content[place + 8 : place + 10] = struct.pack("<H", rng.choice((*_EDGES, 3, 16, 12, 30_000)) & 0xFFFF)
            return


def _change_syntax(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """Say another transfer syntax, of the same length where there is one."""
    place = content.find(b"1.2.840.10008.1.2", 130)
    if place > 0:
        length = struct.unpack_from("<H", content, place - 2)[0]
        other = rng.choice((*SYNTAXES, JPEG_EXTENDED)).encode().ljust(length, b"\0")[:length]
        content[place : place + length] = other


def _change_codestream(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """Change bytes of the pixels alone, most often near their beginning, and nothing's length."""
    pixels = content.find(b"\xe0\x7f\x10\0")
    if pixels > 0:
        for _each in range(rng.choice((1, 2, 5, 30))):
            reach = rng.choice((40, 120, 600, len(content)))
            content[min(len(content) - 1, pixels + 12 + rng.randrange(reach))] = rng.choice(
                (0, 0xFF, rng.randrange(256))
            )


def _nest(content: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """Put a deep sequence before the pixels."""
    place = content.find(b"\xe0\x7f\x10\0")
    start = struct.pack("<HH2sHI", 0x0054, 0x0220, b"SQ", 0, 0xFFFFFFFF)
    start += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    if place > 0:
        content[place:place] = start * rng.choice((1, 10, 20, 3000))


def _splice(content: bytearray, rng: random.Random, sound: Sequence[bytes]) -> None:
    other = rng.choice(sound)
    place, there = _place(content, rng), rng.randrange(len(other))
    content[place:] = other[there:]


_CHANGES = (
    *(_flip_bits, _flip_bits, _set_bytes, _set_bytes, _set_number, _set_number, _cut_off, _cut_out, _double),
    *(_change_codestream, _change_codestream, _change_codestream, _change_size, _change_size, _change_syntax),
    *(_nest, _splice),
)
