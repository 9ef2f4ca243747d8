"""What a million, ten million and a hundred million radiographs cost, from rates that are measured here.

    python benchmarks/batch_rates.py [--films 40] [--out results/batch_rates.json] [--page docs/explanation/scale.md]

For each kind of file the processor seconds of reading one and of judging one are measured, and the bytes of a file; for
the driver those of listing an address, of knowing that it has a row, and of one row of the report; for near-duplicates
those of a comparison. The rest is multiplication: nothing here was run with a hundred million files. `--page` writes
the figures into the page, between its marks.
"""

import argparse
import json
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from batch_clusters import link_films, write_result
from dicom_reading import draw_film

from carina.benchmark.films import MEDIUM, SMALL, write_films
from carina.bundles.bundle import released_bundle
from carina.cluster.entries import Entry, list_entries
from carina.cluster.output_store import Store
from carina.cluster.pending import Counts, pending_units, write_listing
from carina.cluster.stages import Job, _read_input
from carina.cluster.summary import summarise
from carina.cluster.table_parts import judged_keys, part_of, row_of, schema
from carina.datasets.duplicates import near_pairs, parts_of_comparison
from carina.inference.left_out import LeftOutFiles
from carina.inference.predictor import Predictor
from carina.inference.results import JsonLines
from carina.radiographs.dicom.workers import shared_workers
from make_dicom import EXPLICIT, JPEG_2000_LOSSLESS, encode_dicom

_SYNTAXES = {"uncompressed DICOM, 2500 × 2000": EXPLICIT, "JPEG 2000 DICOM, 2500 × 2000": JPEG_2000_LOSSLESS}
KINDS = ("JPEG, 224²", "PNG, 1024²", *_SYNTAXES)
COUNTS = (10**6, 10**7, 10**8)
# What a core costs in an hour and a gigabyte that leaves a store in another region, in US dollars: the order of what
# large providers ask in 2026; the page says that it is an assumption.
CORE_HOUR, GIGABYTE = 0.04, 0.02
_START, _END = "<!-- computed -->\n", "<!-- end -->\n"


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the processor seconds of this process and its children for some work."""
    workers = shared_workers().process_ids()
    before = _processor(workers)
    work()
    return _processor(shared_workers().process_ids() or workers) - before


def _processor(children: Sequence[int]) -> float:
    import psutil  # noqa: PLC0415  # for benchmarks

    told = [psutil.Process(number).cpu_times() for number in children]
    return time.process_time() + sum(each.user + each.system for each in told)


def write_kind(folder: Path, kind: str, count: int) -> list[Path]:
    """Write that many files of one format."""
    if kind not in _SYNTAXES:
        small = SMALL if kind == KINDS[0] else MEDIUM
        return list(write_films(folder, {small: count})[small].paths)
    paths = [folder / f"{KINDS.index(kind)}-{seed}.dcm" for seed in range(count)]
    for seed, path in enumerate(paths):
        path.write_bytes(encode_dicom(draw_film(seed), _SYNTAXES[kind], stored=12))
    return paths


def rates_of_kinds(folder: Path, films: int) -> dict[str, dict[str, float]]:
    """Return for each kind of file the bytes, and the core seconds of reading and of judging one."""
    predictor = Predictor(released_bundle(), threads=1)
    cv2.setNumThreads(1)
    job = Job(Store(str(folder)), None, predictor.run.preprocessing.read_size)  # type: ignore[arg-type]
    measured = {}
    for kind in KINDS:
        paths = write_kind(folder, kind, max(4, films // (8 if kind in _SYNTAXES else 1)))
        entries = [Entry(str(path), str(path)) for path in paths]
        _read_input(entries[0], job)
        read: list[Any] = []
        reading = seconds_of(lambda e=entries, r=read: r.extend(_read_input(each, job) for each in e))
        whole = [each.film for each in read] * -(-32 // len(read))
        list(predictor.judge(whole[:4]))
        judging = seconds_of(lambda w=whole: list(predictor.judge(w)))
        measured[kind] = {
            "bytes": round(float(np.mean([path.stat().st_size for path in paths]))),
            "read_core_s": round(reading / len(paths), 6),
            "judge_core_s": round(judging / len(whole), 6),
        }
    return measured


def rates_of_the_driver(folder: Path, count: int) -> dict[str, float]:
    """Return the seconds of the driver for each address, row and comparison."""
    films, store = link_films(folder / "links", count, size=96), Store(str(folder / "table"))
    predictor = Predictor(released_bundle(), threads=1)
    rows, columns = JsonLines(predictor), schema(predictor.run.findings)
    entries = list(list_entries([str(films)], column=None, left_out=LeftOutFiles()))
    dice = random.Random(18)  # noqa: S311  # no secret
    (judged,) = predictor.judge([_read_input(entries[0], Job(store, None, 224)).film])  # type: ignore[arg-type]
    for start in range(0, count, 256):
        some = [row_of(each, None, judged, rows, version="0") for each in entries[start : start + 256]]
        for row in some:
            # Of different films, so that a row takes the room that it takes.
            row |= {name: secrets.token_hex(32) for name in ("content_sha256", "pixel_sha256")}
            row |= {name: dice.random() for name in row if name.startswith("probability:")}
        store.put(*part_of(some, columns))
    keys = judged_keys(store)
    hashes = np.random.default_rng(1).integers(0, 2**64, 200_000, dtype=np.uint64)
    comparisons = parts_of_comparison()[::40]

    def listed() -> None:
        named = list_entries([str(films)], column=None, left_out=LeftOutFiles())
        write_listing(store, "_carina/listing", pending_units(named, keys[:0], Counts()))

    compared = seconds_of(lambda: [near_pairs(hashes, each) for each in comparisons])
    return {
        "list_s": round(seconds_of(listed) / count, 9),
        "known_s": round(seconds_of(lambda: judged_keys(store)) / count, 9),
        "report_s": round(seconds_of(lambda: summarise(store, released_bundle())) / count, 9),
        "row_bytes": round(sum(path.stat().st_size for path in (folder / "table").glob("*.parquet")) / count, 1),
        "compare_core_s_of_200000": round(compared / len(comparisons) * len(parts_of_comparison()), 3),
    }


def page_of(kinds: dict[str, dict[str, float]], driver: dict[str, float]) -> str:
    """Return the tables of the page."""
    lines = ["| files | one has | core hours of 10⁶ | 10⁷ | 10⁸ | network of 10⁸ | money of 10⁸ | what limits |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for kind, rate in kinds.items():
        core_s = rate["read_core_s"] + rate["judge_core_s"]
        hours = [f"{core_s * count / 3600:,.0f}" for count in COUNTS]
        terabytes = rate["bytes"] * COUNTS[-1] / 1e12
        money = core_s * COUNTS[-1] / 3600 * CORE_HOUR
        moved = terabytes * 1000 * GIGABYTE
        limit = "judging" if rate["judge_core_s"] > rate["read_core_s"] else "decoding"
        # A core that judges without rest reads so much from the network.
        per_core = rate["bytes"] * 8 / core_s / 1e6
        lines.append(
            f"| {kind} | {rate['bytes'] / 1e6:.2f} MB | {hours[0]} | {hours[1]} | {hours[2]} | {terabytes:,.1f} TB | "
            f"{money:,.0f} $, and {moved:,.0f} $ if the bytes leave their region | {limit}; one core takes "
            f"{per_core:,.0f} Mbit/s |"
        )
    lines += ["", "| the driver, one core | for 10⁶ | 10⁷ | 10⁸ |", "|---|---|---|---|"]
    for name, key in (
        ("lists files of a folder", "list_s"),
        ("looks which have a row, when a batch goes on", "known_s"),
        ("counts all rows for the report", "report_s"),
    ):
        lines.append(f"| {name} | " + " | ".join(_time(driver[key] * count) for count in COUNTS) + " |")
    lines.append(
        "| holds in memory of what has a row | " + " | ".join(f"{16 * c / 1e6:,.0f} MB" for c in COUNTS) + " |"
    )
    lines.append(
        "| the table takes | " + " | ".join(f"{driver['row_bytes'] * count / 1e9:,.1f} GB" for count in COUNTS) + " |"
    )
    base = driver["compare_core_s_of_200000"] / 200_000**2
    lines.append(
        "| near-duplicates, core hours of the whole cluster | "
        + " | ".join(f"{base * count**2 / 3600:,.1f}" for count in COUNTS)
        + " |"
    )
    return "\n".join(lines) + "\n"


def _time(seconds: float) -> str:
    return (
        f"{seconds:,.0f} s"
        if seconds < 120
        else f"{seconds / 60:,.0f} min"
        if seconds < 7200
        else (f"{seconds / 3600:,.1f} h")
    )


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description="Rates of carina batch, and what they come to.")
    parser.add_argument("--films", type=int, default=40, help="files of each kind; of DICOM an eighth")
    parser.add_argument("--addresses", type=int, default=20_000)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    parser.add_argument("--page", type=Path, help="also write the tables into this page, and its picture")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carina-rates-") as temporary:
        kinds = rates_of_kinds(Path(temporary), arguments.films)
        driver = rates_of_the_driver(Path(temporary), arguments.addresses)
    write_result(arguments.out, "batch_rates.py", {"kinds": kinds, "driver": driver})
    if arguments.page is not None:
        fill_page(arguments.page, kinds, driver)
        draw(kinds, arguments.page.parents[1] / "pictures" / "scale.png")


def fill_page(page: Path, kinds: dict[str, Any], driver: dict[str, float]) -> None:
    """Write the tables between the marks of a page."""
    before, _, rest = page.read_text("utf-8").partition(_START)
    page.write_text(f"{before}{_START}{page_of(kinds, driver)}{_END}{rest.partition(_END)[2]}", "utf-8")


def draw(kinds: dict[str, dict[str, float]], picture: Path) -> None:
    """Draw what reading and judging one file takes, by kind."""
    figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
    names = list(kinds)
    reading, judging = ([1000 * kinds[name][key] for name in names] for key in ("read_core_s", "judge_core_s"))
    axes.barh([f"{name}" for name in names], reading, height=0.38, align="edge", label="reading and decoding")
    axes.barh(names, judging, height=-0.38, align="edge", label="judging")
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds of one core for one file")
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=110)


def read_result(path: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the measured rates of a file that this script wrote."""
    content = json.loads(path.read_text("utf-8"))
    return content["kinds"], content["driver"]


if __name__ == "__main__":
    main()
