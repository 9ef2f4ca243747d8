"""How fast DICOM becomes a tensor and a decision, against the decoder alone, in one run and in the same rounds.

    python benchmarks/dicom_reading.py [BUNDLE] [--rounds 7] [--files 8] [--out FILE.json]

Phantoms of 2500 × 2000 pixels, 12 bits in 16 with a detector's noise, uncompressed, in lossless JPEG (GDCM) and in
lossless JPEG 2000 (OpenJPEG), and the same in PNG to compare with. Each line does all of the one before:

- *decoder*: the codestream alone, in this process; uncompressed, its bytes as an array.
- *radiograph*: the file's bytes to grey values as they are shown, in this process, without limits.
- *limited*: the same in the process that is limited in memory and time, which is how it is done.
- *tensor*: the file, read from the disk, to what the network sees.
- *decision*: `carina predict` on all files, on all cores.

The rest is on one core. Each step's processor time is measured, too, of all processes together: on a busy machine that
is what tells one step from another. Needs the dev dependencies.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from carina.benchmark.rounds import Task, rate, time_in_rounds
from carina.bundles.bundle import released_bundle
from carina.inference.predictor import Predictor
from carina.phantoms.phantom import MAX_SIZE, PHANTOM_FINDINGS, draw_phantom
from carina.radiographs.dicom.codecs import decode_codestream
from carina.radiographs.dicom.codestream import read_jpeg, read_jpeg_2000
from carina.radiographs.dicom.decode import decode
from carina.radiographs.dicom.workers import Workers, shared_workers
from carina.radiographs.preprocess import frame, resize_grey, to_tensor
from carina.radiographs.read import read_radiograph
from carina.runtime.machine import describe_machine, library_versions
from make_dicom import EXPLICIT, JPEG_2000_LOSSLESS, JPEG_LOSSLESS_SV1, encode_dicom, encode_frame

ROWS, COLUMNS, BITS, NOISE = 2500, 2000, 12, 12.0
SYNTAXES = {"uncompressed": EXPLICIT, "JPEG lossless": JPEG_LOSSLESS_SV1, "JPEG 2000": JPEG_2000_LOSSLESS}
STEPS = ("decoder", "radiograph", "limited", "tensor", "decision")
Figures = dict[str, Any]


def draw_film(seed: int) -> NDArray[np.uint16]:
    """Return uint16 ``(2500, 2000)``, range [0, 4095]: a phantom with a detector's noise, which costs coders most."""
    drawn = draw_phantom(PHANTOM_FINDINGS[seed % len(PHANTOM_FINDINGS)], seed=seed, size=MAX_SIZE).pixels
    white = 2**BITS - 1
    large = cv2.resize(drawn.astype(np.float32), (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC) * (white / 255)
    noise = np.random.default_rng(seed).standard_normal((ROWS, COLUMNS), np.float32) * np.float32(NOISE)
    return np.clip(large + noise, 0, white).astype(np.uint16)


def decoder_alone(coding: str, codestream: bytes) -> Callable[[], object]:
    """Return what decodes a codestream and does nothing else."""
    if coding == "uncompressed":
        return lambda: np.frombuffer(codestream, "<u2").copy()
    reader = read_jpeg_2000 if coding == "JPEG 2000" else read_jpeg
    said = reader(codestream)
    return lambda: decode_codestream(codestream, said)


def measure(bundle: Path, *, rounds: int, files: int) -> Figures:
    """Return files a second for each coding and step, and what a process costs that is started and used."""
    predictor = Predictor(bundle)
    preprocessing = predictor.run.preprocessing
    films = [draw_film(seed) for seed in range(2)]
    tasks: dict[Hashable, Task] = {}
    items: dict[Hashable, int] = {}
    window = {"WindowCenter": 2.0 ** (BITS - 1), "WindowWidth": 2.0**BITS}

    def tensor(path: Path) -> object:
        whole = resize_grey(read_radiograph(path), preprocessing.read_size)
        return to_tensor(frame(whole, None, preprocessing)[np.newaxis], preprocessing.pixel_range)

    def decide(paths: Sequence[Path]) -> object:
        return list(predictor.predict(paths))

    sizes: dict[str, int] = {}
    cost: dict[str, float] = {}
    spent: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="carina-dicom-") as temporary:
        for coding, syntax in SYNTAXES.items():
            contents = [encode_dicom(film, syntax, stored=BITS, **window) for film in films]
            paths = [Path(temporary) / f"{coding}-{number}.dcm" for number in range(files)]
            for number, path in enumerate(paths):
                path.write_bytes(contents[number % len(contents)])
            one, sizes[coding] = contents[0], len(contents[0])
            codestream = films[0].tobytes() if syntax == EXPLICIT else encode_frame(films[0], syntax, BITS)
            runs: tuple[Callable[[], object], ...] = (
                decoder_alone(coding, codestream),
                lambda one=one: decode(one),
                lambda one=one: shared_workers().decode(one),
                lambda path=paths[0]: tensor(path),
                lambda paths=paths: decide(paths),
            )
            for step, run in zip(STEPS, runs, strict=True):
                tasks[coding, step] = Task(run)
                items[coding, step] = files if step == "decision" else 1
            cost[coding] = round(processor_ms_of_limits(one), 1)
            spent[coding] = {
                step: round(processor_ms(run) / (files if step == "decision" else 1), 1)
                for step, run in zip(STEPS, runs, strict=True)
            }
        pngs = [Path(temporary) / f"{number}.png" for number in range(files)]
        for number, path in enumerate(pngs):
            cv2.imwrite(str(path), films[number % len(films)])
        tasks["PNG", "tensor"], items["PNG", "tensor"] = Task(lambda: tensor(pngs[0])), 1
        tasks["PNG", "decision"], items["PNG", "decision"] = Task(lambda: decide(pngs)), files
        tasks["start", "process"], items["start", "process"] = Task(start_process), 1
        timed = time_in_rounds(tasks, rounds=rounds, pause_s=0.1)
    rates = {name: rate(timed[name], items[name]) for name in tasks}
    table: Figures = {}
    for coding in (*SYNTAXES, "PNG"):
        alone = rates.get((coding, "decoder"))
        table[coding] = {
            step: {
                "files_per_s": round(rates[coding, step].value, 2),
                "lowest": round(rates[coding, step].low, 2),
                "highest": round(rates[coding, step].high, 2),
                "of_decoder": None if alone is None else round(rates[coding, step].value / alone.value, 3),
            }
            for step in STEPS
            if (coding, step) in rates
        }
    return {
        "image": f"{ROWS} × {COLUMNS}, {BITS} bits in 16",
        "bytes": sizes,
        "rates": table,
        "cpu_ms_a_file": spent,
        "limits_cost_cpu_ms": cost,
        "process_start_ms": round(1000 / rates["start", "process"].value),
        "rounds": rounds,
        "files": files,
    }


def processor_ms(run: Callable[[], object], times: int = 5) -> float:
    """Return the processor time of a run, in this process and those that it started: the mean of several."""

    def spent() -> float:
        others = psutil.Process().children(recursive=True)
        return time.process_time() + float(sum(sum(process.cpu_times()[:2]) for process in others))

    run()
    before = spent()
    for _ in range(times):
        run()
    return 1000 * (spent() - before) / times


def processor_ms_of_limits(content: bytes, times: int = 10) -> float:
    """Return by how much more processor time a file takes in a process of its own, both processes taken together.

    Processor time, because what is looked for is small, and a busy machine would hide it.
    """
    workers = Workers()
    workers.decode(content)
    (number,) = workers.process_ids()
    other = psutil.Process(number)

    def spent() -> float:
        return time.process_time() + sum(other.cpu_times()[:2])

    before = spent()
    for _ in range(times):
        decode(content)
    between = spent()
    for _ in range(times):
        workers.decode(content)
    after = spent()
    workers.close()
    return 1000 * ((after - between) - (between - before)) / times


def start_process() -> None:
    """Start a process that decodes, let it read the smallest file, and end it."""
    workers = Workers()
    workers.decode(_SMALLEST)
    workers.close()


_SMALLEST = encode_dicom(np.arange(1024, dtype=np.uint8).reshape(32, 32))


def main() -> None:
    """Measure, and print a line for each coding and step."""
    parser = argparse.ArgumentParser(description="How fast DICOM becomes a tensor and a decision.")
    parser.add_argument("bundle", type=Path, nargs="?", help="by default the released one")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--files", type=int, default=8, help="of each coding, for the decisions")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    started = time.perf_counter()
    figures = measure(arguments.bundle or released_bundle(), rounds=arguments.rounds, files=arguments.files)
    figures |= {
        "machine": describe_machine(),
        "load": os.getloadavg()[0],
        "versions": library_versions(),
        "seconds": round(time.perf_counter() - started),
    }
    for coding, steps in figures["rates"].items():
        for step, told in steps.items():
            share = "" if told["of_decoder"] is None else f", {told['of_decoder']:.2f} of the decoder alone"
            spread = f"({told['lowest']:.2f}–{told['highest']:.2f})"
            print(f"{coding:<14} {step:<11} {told['files_per_s']:8.2f} files/s {spread}{share}")
    for coding, taken in figures["cpu_ms_a_file"].items():
        told = ", ".join(f"{step} {milliseconds:.0f}" for step, milliseconds in taken.items())
        print(f"{coding:<14} processor time, ms a file: {told}")
    print(f"What the limits cost a file, in processor time: {figures['limits_cost_cpu_ms']} ms.")
    print(f"A process starts and reads its first file in {figures['process_start_ms']} ms.")
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
