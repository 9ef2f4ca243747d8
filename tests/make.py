"""Makers of synthetic radiographs, image files, folders and data sets; nothing is random without a seed."""

import csv
import io
import os
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import polars as pl
import pytest
from PIL import Image

from carina.findings import COVID_19, NORMAL, VIRAL_PNEUMONIA

LOSSLESS = ("PNG", "TIFF", "BMP", "WEBP")
ORIENTATIONS = range(1, 9)
FINDINGS = (COVID_19, NORMAL, VIRAL_PNEUMONIA)


def make_grey(seed: int = 0, size: tuple[int, int] = (60, 50), depth: int = 8) -> np.ndarray:
    """uint8 (height, width), or uint16 for a depth of 10 to 16 bits; blotches over the whole range, no symmetry."""
    noise = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    unit = (smooth - smooth.min()) / np.ptp(smooth)
    return np.rint(unit * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)


def write_letters(grey: np.ndarray, bright: int) -> np.ndarray:
    """The image with a letter burnt in, their edges smooth: under 1 % of its pixels."""
    height, width = grey.shape
    drawn = np.zeros(grey.shape, np.uint8)
    cv2.putText(drawn, "L", (width // 20, height // 5), cv2.FONT_HERSHEY_SIMPLEX, width / 300, (255,), 1, cv2.LINE_AA)
    share = drawn.astype(np.float64) / 255
    return np.rint(grey * (1 - share) + bright * share).astype(grey.dtype)


def make_sheet(seed: int, size: int = 96) -> np.ndarray:
    """uint8 (size, size): structure at many scales, another for each seed, so that copies and strangers differ."""
    rng = np.random.default_rng([seed, 77])
    octaves = [cv2.resize(rng.normal(size=(n, n)).astype(np.float32), (size, size)) * w for n, w in _OCTAVES]
    total = np.sum(octaves, axis=0)
    return np.rint(20 + 215 * (total - total.min()) / np.ptp(total)).astype(np.uint8)


_OCTAVES = ((4, 1.0), (9, 0.7), (20, 0.5), (40, 0.3))


def as_mode(grey: np.ndarray, mode: str) -> Image.Image:
    """An 8-bit image whose channels or palette all show the same grey values."""
    image = Image.fromarray(grey)
    if mode == "P":
        palette = Image.frombytes("P", image.size, grey[::1].tobytes())
        palette.putpalette([value for level in range(256) for value in (level, level, level)])
        return palette
    return image.convert(mode)


def encode(image: Image.Image | np.ndarray, image_format: str, orientation: int = 1, **options: object) -> bytes:
    """The bytes of a file; WebP without loss."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    if image_format == "WEBP":
        options.setdefault("lossless", True)
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def encode_deep_colour(pixels: np.ndarray, image_format: str, channels: int) -> bytes:
    """A file of 16-bit RGB or RGBA with equal channels, which Pillow cannot write."""
    opaque = [np.full_like(pixels, 65535)] * (channels - 3)
    return cv2.imencode(f".{image_format.lower()}", cv2.merge([pixels] * 3 + opaque))[1].tobytes()


def encode_frames(image_format: str) -> bytes:
    """A file of two frames or pages."""
    first, second = (as_mode(make_grey(seed), "RGB") for seed in (1, 2))
    return encode(first, image_format, save_all=True, append_images=[second])


def store_as_orientation(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels as a camera stores them that says by `orientation` how they must be turned to be upright.

    Source: EXIF 2.32, tag 0x0112: where the stored row 0 and column 0 are seen.
    """
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    return np.ascontiguousarray(undo[orientation](pixels))


def encode_png(rows: np.ndarray, depth: int, colour_type: int, **chunks: bytes) -> bytes:
    """A PNG written by hand: (height, width) or (height, width, channels); extra chunks come before the pixels."""
    height, width = rows.shape[:2]
    big = rows.astype(">u2" if depth == 16 else np.uint8).reshape(height, -1)
    raw = b"".join(b"\0" + line.tobytes() for line in big)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [("IHDR", header), *chunks.items(), ("IDAT", zlib.compress(raw)), ("IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in parts)


def png_chunk(name: str, data: bytes) -> bytes:
    body = name.encode() + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def claimed_png(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk("IHDR", header)
        + png_chunk("IDAT", zlib.compress(bytes(4096)))
        + png_chunk("IEND", b"")
    )


def wide_png(width: int = 60_000, height: int = 60_000, rows: int = 8_000) -> bytes:
    """A PNG bomb with real rows in it: small on disk, gigabytes when it is decoded."""
    packer = zlib.compressobj(1)
    line = bytes(width + 1)
    data = b"".join([*(packer.compress(line) for _ in range(rows)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (("IHDR", header), ("IDAT", data), ("IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, part) for name, part in parts)


def write_image(path: Path, pixels: np.ndarray, image_format: str = "PNG", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(pixels, image_format, **options))
    return path


def write_tree(root: Path, counts: dict[str, int], size: int = 64) -> Path:
    """One folder per finding, with images that are strangers to each other."""
    seed = 0
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        for number in range(1, count + 1):
            seed += 1
            write_image(root / folder / f"{folder}-{number}.png", make_sheet(seed, size))
    return root


OFFICIAL_FOLDERS = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
OFFICIAL_URLS = {
    "COVID": (
        "https://sirm.org/category/covid-19/",
        "https://bimcv.cipf.es/bimcv-projects/bimcv-covid19/#1590858128006",
    ),
    "Lung_Opacity": ("https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data",),
    "Normal": ("https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data",),
    "Viral Pneumonia": ("https://www.kaggle.com/paultimothymooney/chest-xray-pneumonia",),
}


def write_official(root: Path, count: int = 4, *, workbooks: bool = True) -> Path:
    """The layout of the COVID-19 Radiography Database: images, masks and a workbook a finding."""
    for rank, folder in enumerate(OFFICIAL_FOLDERS):
        urls = OFFICIAL_URLS[folder]
        table = [("FILE NAME", "FORMAT", "SIZE", "URL")]
        for number in range(1, count + 1):
            write_image(root / folder / "images" / f"{folder}-{number}.png", make_sheet(100 * rank + number, 64))
            mask = np.zeros((64, 64), np.uint8)
            mask[10:50, 10:50] = 255
            write_image(root / folder / "masks" / f"{folder}-{number}.png", mask)
            # The distribution's own workbook writes names in capitals and files in lower case.
            table.append((f"{folder.upper()}-{number}", "PNG", "256*256", urls[number % len(urls)]))
        if workbooks:
            book = openpyxl.Workbook()
            for row in table:
                book.active.append(row)
            book.save(root / f"{folder}.metadata.xlsx")
    (root / "README.md.txt").write_text("COVID-19 CHEST X-RAY DATABASE")
    return root


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def touch_images(folder: Path, *names: str) -> None:
    """Files that exist, for what only asks whether they do."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def make_manifest(findings: Sequence[str], **columns: Sequence[object]) -> pl.DataFrame:
    """A manifest as after grouping: each row a group of its own unless `group` says otherwise."""
    count = len(findings)
    table: dict[str, Sequence[object]] = {
        "path": [f"/images/{row}.png" for row in range(count)],
        "finding": findings,
        "patient": [None] * count,
        "source": [None] * count,
        "sha256": [f"{row:064x}" for row in range(count)],
        "duplicate_group": list(range(count)),
        "group": list(range(count)),
        "split": ["train"] * count,
        "width": [64] * count,
        "height": [64] * count,
        "file_format": ["PNG"] * count,
        "bit_depth": [8] * count,
        "colour": ["grey"] * count,
        **columns,
    }
    strings = dict.fromkeys(
        ("path", "finding", "patient", "source", "sha256", "split", "file_format", "colour"), pl.String
    )
    return pl.DataFrame(table, schema_overrides=strings)


def finding_counts(listing: Any) -> dict[str, int]:
    """Return how many images of each finding a listing of a source has."""
    return dict(listing.images.group_by("finding").len().iter_rows())


def names_in(folder: Path) -> list[str]:
    """What a folder holds, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Yield an empty disk of the given size; skips the test where none can be mounted."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k"]
    command = ["/bin/mount", *options, "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", "-l", folder], check=True)


def fill_disk(path: Path) -> Path:
    """Write a file until the disk is full, to the last block."""
    with path.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(1024))
        except OSError:
            return path


def let_others_enter(folder: Path) -> None:
    """Let an ordinary user into a test's folder: pytest makes the folders above it for its own user alone."""
    temporary = Path(tempfile.gettempdir())
    for path in (folder, *folder.parents):
        if path == temporary or not path.is_relative_to(temporary):
            return
        path.chmod(0o755)


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Run as a user whom file permissions bind; root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def encode_tiff(pixels: np.ndarray, *, photometric: int = 1, orientation: int = 1, big: bool = False) -> bytes:
    """An uncompressed TIFF written by hand, of any type of pixels: (height, width) or (height, width, channels).

    `photometric` is 0 for white as zero, 1 for black as zero, 2 for RGB. `big` writes BigTIFF.
    """
    height, width = pixels.shape[:2]
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    data = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).tobytes()
    sample_format = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    start = 16
    tags = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [pixels.dtype.itemsize * 8] * channels),
        (259, 3, [1]),
        (262, 3, [photometric]),
        (273, 4, [start]),
        (274, 3, [orientation]),
        (277, 3, [channels]),
        (278, 4, [height]),
        (279, 4, [len(data)]),
        (339, 3, [sample_format] * channels),
    ]
    inline = 8 if big else 4
    beyond = start + len(data)
    entries, extra = b"", b""
    for tag, kind, values in tags:
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > inline:
            place = beyond + len(extra)
            extra += packed
            packed = struct.pack("<Q" if big else "<I", place)
        entries += struct.pack("<HHQ" if big else "<HHI", tag, kind, len(values)) + packed.ljust(inline, b"\0")
    directory = beyond + len(extra)
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, directory) if big else b"II*\0" + struct.pack("<I", directory)
    count = struct.pack("<Q" if big else "<H", len(tags))
    return head.ljust(start, b"\0") + data + extra + count + entries + bytes(8)


def write_films(root: Path, *names: str) -> Path:
    """Small images that are strangers to each other, under the given names below a folder."""
    for seed, name in enumerate(names, start=1):
        write_image(root / name, make_sheet(seed, 48))
    return root


def write_mask(path: Path, level: int = 255) -> Path:
    """A mask: black, with a square of one other value in it."""
    mask = np.zeros((48, 48), np.uint8)
    mask[10:30, 10:30] = level
    return write_image(path, mask)
