"""How large a report is, how long it takes to be written, and how long until it is seen.

    python benchmarks/report_size.py [EVALUATION] [--audit AUDIT] [--times 10] [--rounds 5] [--out FILE.json]

The evaluation is taken as it is, and with its images repeated: every copy is a patient of its own and its log odds are
moved a little, so that no two images are alike and nothing is easier than with so many true ones. Both get small
pictures, drawn phantoms, because those of a data set may not be there. `carina report` writes each in a process of its
own; Chromium opens each several times and is started for each. Wall time stretches with whatever else runs, the
processor's time does not: both are given, with the load.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from carina.bundles.run_folder import HISTORY_FILE, RECIPE_FILE
from carina.evaluation.predictions import findings_of, groups_of, probabilities_of, truth_of
from carina.findings import BASELINE_FINDINGS
from carina.phantoms.phantom import draw_phantom
from carina.reports.evaluated import read_evaluated
from carina.reports.evaluation_files import GALLERY_FILE, METRICS_FILE, PREDICTIONS_FILE, REPORT_FILE
from carina.reports.gallery_images import gallery_table
from carina.reports.html.sections.gallery_section import choose_rows
from carina.runtime.machine import describe_machine, library_versions, peak_memory_of_command_mb
from carina.statistics.binary_metrics import at_operating_point
from carina.statistics.metrics import measure

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import CHROMIUM, NO_CHROMIUM, open_browser  # noqa: E402  # a part of the tests, which are no package

_COMMAND = "from carina.cli import main; main()"
_MOVED = 0.05  # standard deviation of what is added to log odds
# What the page itself notes: first contents on the screen, everything loaded, the explorer's numbers there.
_SEEN = """(async () => {
  while (!globalThis.carinaExplorer) await new Promise((done) => setTimeout(done, 5));
  const ready = performance.now();
  const paint = performance.getEntriesByType('paint').find((entry) => entry.name === 'first-contentful-paint');
  const [whole] = performance.getEntriesByType('navigation');
  const slider = document.querySelector('#x-slider'), started = performance.now();
  for (let i = 0; i < 10; i++) {
    slider.value = -2 + 0.3 * i;
    slider.dispatchEvent(new Event('input', {bubbles: true}));
  }
  return [paint ? paint.startTime : null, whole.loadEventEnd, ready, (performance.now() - started) / 10];
})()"""


def repeat_evaluation(folder: Path, out: Path, times: int) -> int:
    """Write an evaluation folder with every image so many times, and return how many there are then."""
    table = pl.read_parquet(folder / PREDICTIONS_FILE)
    content = json.loads((folder / METRICS_FILE).read_bytes())
    findings, groups, rng = findings_of(table), groups_of(table), np.random.default_rng(1234)
    columns = [f"probability:{finding}" for finding in findings]
    copies = []
    for copy in range(times):
        moved = np.log(np.maximum(probabilities_of(table), 1e-15))
        if copy:
            moved += rng.normal(0, _MOVED, moved.shape)
        shares = np.exp(moved - moved.max(axis=1, keepdims=True))
        shares = probabilities_of(table) if not copy else shares / shares.sum(axis=1, keepdims=True)
        copies.append(
            table.with_columns(
                *(pl.Series(name, shares[:, place]) for place, name in enumerate(columns)),
                pl.Series("group", groups + copy * (int(groups.max()) + 1)),
                pl.Series("called", [findings[place] for place in shares.argmax(axis=1)]),
                pl.format("{}{}", pl.lit(f"{copy:02x}"), pl.col("sha256").str.slice(2)).alias("sha256"),
            )
        )
    larger = pl.concat(copies)
    truth, probabilities, groups = truth_of(larger), probabilities_of(larger), groups_of(larger)
    point = content["operating_point"]["chosen"]
    if times > 1:
        content["metrics"] = measure(truth, probabilities, findings, groups=groups, replicates=200).to_json()
        content["operating_point"]["reached"] = at_operating_point(
            truth, probabilities, findings.index(point["finding"]), point["threshold"], groups
        ).to_json()
    content["data"] |= {
        "images": larger.height,
        "patients_or_groups": int(larger["group"].n_unique()),
        "not_assessable": times * content["data"].get("not_assessable", 0),
        "findings": {name: times * count for name, count in content["data"]["findings"].items()},
    }
    content["leak_check"]["images_checked"] = larger.height
    out.mkdir(parents=True)
    larger.write_parquet(out / PREDICTIONS_FILE)
    (out / METRICS_FILE).write_text(json.dumps(content), "utf-8")
    for name in (HISTORY_FILE, RECIPE_FILE):
        if (folder / name).is_file():
            (out / name).write_text((folder / name).read_text("utf-8"), "utf-8")
    _add_pictures(out)
    return larger.height


def _add_pictures(folder: Path) -> None:
    """Give every image that the gallery shows a picture: a phantom."""
    rows = [item.row for item in choose_rows(read_evaluated(folder))]
    films = [
        draw_phantom(BASELINE_FINDINGS[place % len(BASELINE_FINDINGS)], seed=place, patient_seed=place, difficulty=0.5)
        for place in range(len(rows))
    ]
    cells = [np.random.default_rng(row).integers(-127, 127, 100).astype(np.int8).tobytes() for row in rows]
    gallery_table(
        [(row, film.pixels, cell, (0.1, 0.1, 0.9, 0.9)) for row, film, cell in zip(rows, films, cells, strict=True)]
    ).write_parquet(folder / GALLERY_FILE)


def measure_report(folder: Path, audit: Path | None, rounds: int) -> dict[str, object]:
    """Return size, time to write, memory, and times until the page is seen."""
    options = [] if audit is None else ["--audit", str(audit)]
    seconds, processor, peak = [], [], 0.0
    for _ in range(rounds):
        started, before = time.perf_counter(), _children_seconds()
        command = [sys.executable, "-c", _COMMAND, "report", str(folder), *options]
        peak = max(peak, peak_memory_of_command_mb(command) or 0.0)
        seconds.append(time.perf_counter() - started)
        processor.append(_children_seconds() - before)
    page = folder / REPORT_FILE
    told: dict[str, object] = {
        "megabytes": round(page.stat().st_size / 1e6, 2),
        "seconds_to_write": _spread(seconds),
        "processor_seconds_to_write": _spread(processor),
        "peak_memory_mb": round(peak, 1),
    }
    if CHROMIUM is None:
        return told | {"chromium": NO_CHROMIUM}
    seen = []
    for _ in range(rounds):
        with open_browser() as browser:
            browser.send("Performance.enable", timeDomain="threadTicks")
            browser.open(page)
            spent = {item["name"]: item["value"] for item in browser.send("Performance.getMetrics")["metrics"]}
            seen.append([*browser.run(_SEEN), 1000 * spent["ThreadTime"]])
            if browser.messages:
                sys.exit(f"The page complains: {browser.messages}")
    names = (
        *("seconds_to_first_contents", "seconds_to_loaded", "seconds_to_explorer", "seconds_a_drag_step"),
        "processor_seconds_to_loaded",
    )
    return told | {name: _spread([one[place] / 1000 for one in seen]) for place, name in enumerate(names)}


def _children_seconds() -> float:
    """Return what ended processes took of the processor's time, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _spread(values: Sequence[float]) -> dict[str, float]:
    parts = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {name: round(value, 3) for name, value in parts.items()}


def main() -> None:
    """Measure the evaluation as it is and repeated, and print both."""
    parser = argparse.ArgumentParser(description="Size of a report, time to write it, time until it is seen.")
    parser.add_argument("evaluation", type=Path, nargs="?", default=ROOT / "results/carina-mobilenetv2/test")
    parser.add_argument("--audit", type=Path, default=ROOT / "results/carina-mobilenetv2/audit")
    parser.add_argument("--times", type=int, default=10, help="how often every image is repeated")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    measured = []
    with tempfile.TemporaryDirectory(prefix="carina-report-") as temporary:
        for times in (1, arguments.times):
            folder = Path(temporary) / f"times-{times}"
            images = repeat_evaluation(arguments.evaluation, folder, times)
            figures = measure_report(folder, arguments.audit, arguments.rounds)
            # Of the last minute, in runnable processes: beyond the number of cores everything waits.
            measured.append({"images": images} | figures | {"load": round(os.getloadavg()[0], 1)})
            print(json.dumps(measured[-1], indent=2), flush=True)
    if arguments.out is not None:
        content = {
            "command": " ".join(["python", "benchmarks/report_size.py", *sys.argv[1:]]),
            "machine": describe_machine(),
            "versions": library_versions(),
            "measured": measured,
        }
        arguments.out.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
