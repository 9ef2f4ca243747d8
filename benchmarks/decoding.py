"""Compare libraries that read radiographs: their speed, and how far their pixels are from those that training saw.

    python benchmarks/decoding.py OUT.json [--rounds 7]

From an encoded file in memory to the 224 x 224 greys that the lungs are sought in, one thread, on the synthetic films
of `carina bench` and on large JPEGs: Carina's reader (Pillow, then OpenCV's area averaging), OpenCV alone, OpenCV and
Pillow decoding JPEG at a half, a quarter or an eighth (``draft``), and libvips where pyvips is installed. Each is
timed in the same rounds, as a ratio to Carina's reader; beside it stands how far its greys are from Carina's.
"""

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carina.benchmark.films import LARGE, MEDIUM, SMALL, write_films
from carina.benchmark.rounds import RoundSpread, Task, rate, spread, time_in_rounds
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.radiograph import build_radiograph
from carina.radiographs.raster import decode_raster
from carina.radiographs.read import sniff_format
from carina.runtime.machine import describe_machine

SIZE = 224
LARGE_JPEG = "3000² JPEG"
Reader = Callable[[bytes], NDArray[np.uint8]]


def with_carina(content: bytes) -> NDArray[np.uint8]:
    """Read as Carina does."""
    return resize_grey(decode_raster(content, sniff_format(content)), SIZE)


def with_opencv(content: bytes) -> NDArray[np.uint8]:
    """Decode with OpenCV, at the file's depth."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE)
    return resize_grey(build_radiograph(pixels), SIZE)


def with_opencv_reduced(content: bytes) -> NDArray[np.uint8]:
    """Decode JPEG with OpenCV at the smallest eighth that is not under 224 pixels."""
    height, width = _size(content)
    factor = next(factor for factor in (8, 4, 2, 1) if min(height, width) // factor >= SIZE or factor == 1)
    flags = {1: cv2.IMREAD_GRAYSCALE, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4}
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags.get(factor, cv2.IMREAD_REDUCED_GRAYSCALE_8))
    return resize_grey(build_radiograph(pixels), SIZE)


def with_pillow_draft(content: bytes) -> NDArray[np.uint8]:
    """Decode JPEG with Pillow at the smallest eighth that is not under 224 pixels."""
    with Image.open(io.BytesIO(content)) as image:
        image.draft("L", (SIZE, SIZE))
        return resize_grey(build_radiograph(np.asarray(image.convert("L"))), SIZE)


def with_pillow_resize(content: bytes) -> NDArray[np.uint8]:
    """Decode and resize (box filter) with Pillow."""
    with Image.open(io.BytesIO(content)) as image:
        grey = image if image.mode in ("L", "I;16") else image.convert("L")
        if grey.mode == "I;16":
            grey = Image.fromarray((np.asarray(grey) >> 4).astype(np.uint8))
        return np.asarray(grey.resize((SIZE, SIZE), Image.Resampling.BOX))


def with_vips(content: bytes) -> NDArray[np.uint8]:
    """Read and shrink with libvips, on load where the format can."""
    import pyvips  # noqa: PLC0415  # only where it is installed

    image = pyvips.Image.thumbnail_buffer(content, SIZE, height=SIZE, size="force")
    pixels = np.ndarray(image.height * image.width * image.bands, np.uint8, image.write_to_memory())
    return pixels.reshape(image.height, image.width, image.bands)[..., 0]


def _size(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as image:
        return image.height, image.width


def readers_of(kind: str) -> dict[str, Reader]:
    """Return who can read a kind of film."""
    readers: dict[str, Reader] = {
        "Carina": with_carina,
        "OpenCV": with_opencv,
        "Pillow, box filter": with_pillow_resize,
    }
    if kind.endswith("JPEG"):
        readers |= {"OpenCV, reduced": with_opencv_reduced, "Pillow, draft": with_pillow_draft}
    # Its thumbnails take 16 bits for 0 to 65535, and show a 12-bit film nearly black.
    if find_spec("pyvips") is not None and kind != LARGE:
        readers["libvips, shrink on load"] = with_vips
    return readers


def large_jpegs(films: list[bytes]) -> list[bytes]:
    """Return the large films as JPEG of 8 bit, quality 90."""
    made = []
    for content in films:
        deep = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYDEPTH)
        made.append(cv2.imencode(".jpg", (deep >> 4).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return made


def compared(contents: list[bytes], readers: dict[str, Reader], rounds: int) -> dict[str, dict[str, Any]]:
    """Return rates, ratios in each round, and differences to Carina's greys."""

    def reading(reader: Reader) -> Callable[[], object]:
        return lambda: [reader(content) for content in contents]

    timed = time_in_rounds({name: Task(reading(reader)) for name, reader in readers.items()}, rounds=rounds)
    ours = [with_carina(content).astype(np.int16) for content in contents]
    table: dict[str, dict[str, Any]] = {}
    for name, reader in readers.items():
        differences = [np.abs(reader(content) - grey) for content, grey in zip(contents, ours, strict=True)]
        pairs = zip(timed["Carina"], timed[name], strict=True)
        ratio: RoundSpread = spread([sum(carina) / sum(other) for carina, other in pairs])
        table[name] = {
            "images_per_second": asdict(rate(timed[name], len(contents))),
            "times_as_fast_as_carina": asdict(ratio),
            "largest_difference_in_grey_levels": int(max(each.max() for each in differences)),
            "mean_difference_in_grey_levels": round(float(np.mean(differences)), 4),
        }
    return table


def main() -> None:
    """Compare, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with TemporaryDirectory() as folder:
        films = write_films(Path(folder), {SMALL: 64, MEDIUM: 16, LARGE: 3})
        contents: dict[str, list[bytes]] = {
            kind: [path.read_bytes() for path in of_kind.paths] for kind, of_kind in films.items()
        }
    contents[LARGE_JPEG] = large_jpegs(contents[LARGE])
    content = {
        "command": f"python benchmarks/decoding.py {given.out.name} --rounds {given.rounds}",
        "machine": describe_machine(),
        "kinds": {kind: compared(files, readers_of(kind), given.rounds) for kind, files in contents.items()},
    }
    given.out.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for kind, table in content["kinds"].items():  # type: ignore[attr-defined]
        for name, row in table.items():
            print(
                f"{kind}: {name}: {row['images_per_second']['value']:.1f} images/s, "
                f"{row['times_as_fast_as_carina']['value']:.2f} times as fast as Carina, grey levels off by at most "
                f"{row['largest_difference_in_grey_levels']}, {row['mean_difference_in_grey_levels']:.2f} on average"
            )


if __name__ == "__main__":
    main()
