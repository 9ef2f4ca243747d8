r"""Does the recipe find a finding at a source that it never saw? Train without each, judge what was left out.

    python benchmarks/leave_one_source_out.py DATASET OUT --lungs LUNGS [--with DATASET] [--recipe RECIPE] \
        [--ray ADDRESS]

For every source of the flagged finding with enough images: `carina train --without-source`, then all images of that
source (none was trained, stopped or calibrated on) and the test split's others are judged at the run's own operating
point. Near-duplicates of what was trained on are left out. OUT/leave_one_source_out.json holds the figures; a training
that is there already is not done again. With `--ray` the trainings run side by side on a cluster whose machines all see
the folders.
"""

import json
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from carina.bundles.run_folder import open_run
from carina.cli.options import spread_or
from carina.datasets.manifest import Dataset, open_dataset
from carina.evaluation.leaks import check_leaks
from carina.evaluation.predictions import groups_of, predict_rows
from carina.inference.predictor import Predictor
from carina.runtime.machine import describe_machine, library_versions
from carina.statistics.delong import delong_interval
from carina.statistics.intervals import proportion_interval

CARINA = str(Path(sys.executable).parent / "carina")
FLAGGED = "COVID-19"
# Fewer say nothing.
ENOUGH = 30


def sources_of(dataset: Dataset) -> list[str]:
    """Return the sources of the flagged finding that are large enough, the largest first."""
    flagged = dataset.manifest.filter(pl.col("finding") == FLAGGED)
    counted = flagged.group_by("source").len().filter(pl.col("len") >= ENOUGH).sort("len", descending=True)
    return [source for source in counted["source"] if source is not None]


def judge(run: Path, dataset: Dataset, source: str) -> dict[str, Any]:
    """Return what a run without a source reaches on it, and on the test split's images without the finding."""
    left_out = (pl.col("source") == source) & (pl.col("finding") == FLAGGED)
    parts = [dataset.rows(split).filter(left_out) for split in ("train", "calibration", "test")]
    rows = pl.concat([*parts, dataset.rows("test").filter(pl.col("finding") != FLAGGED)])
    leaked = check_leaks(run, dataset, rows).learned["sha256"]
    kept = rows.filter(~pl.col("sha256").is_in(leaked.implode()))
    table = predict_rows(Predictor(run), kept)
    finished = open_run(run)
    score = table[f"probability:{FLAGGED}"].to_numpy()
    truth, groups = (table["finding"] == FLAGGED).to_numpy(), groups_of(table)
    assessable = table["assessable"].to_numpy()
    called = (score >= finished.operating_point.threshold) & assessable
    normal = (table["finding"] == "Normal").to_numpy()
    among = truth | normal
    return {
        "left_out": source,
        "images": int(truth.sum()),
        "near_duplicates_dropped": rows.height - kept.height,
        "not_assessable": int((~assessable & truth).sum()),
        "threshold": finished.operating_point.threshold,
        "sensitivity": asdict(proportion_interval(called[truth], groups[truth])),
        "specificity_on_test": asdict(proportion_interval(~called[~truth], groups[~truth])),
        "auroc_against_test_normals": asdict(delong_interval(truth[among], score[among], groups[among])),
        "auroc_by_not_normal": asdict(
            delong_interval(truth[among], 1 - table["probability:Normal"].to_numpy()[among], groups[among])
        ),
        "mean_probability": float(np.mean(score[truth])),
        "seconds_of_training": finished.seconds["total"],
    }


def train(source: str, folder: str, target: Path, options: list[str]) -> str:
    """Train without a source, unless that was done, and return its name."""
    run = target / f"without-{source}"
    if not (run / "run.json").is_file():
        again = ["--resume", str(run)] if run.exists() else [folder, "--out", str(run), *options]
        without = [] if run.exists() else ["--without-source", source]
        subprocess.run([CARINA, "train", *again, *without], check=True)
    return source


def main(folder: str, out: str, *options: str) -> None:
    """Train without each source in turn, judge, and write the figures."""
    dataset, target = open_dataset(Path(folder)), Path(out)
    target.mkdir(parents=True, exist_ok=True)
    given = list(options)
    ray = given[given.index("--ray") + 1] if "--ray" in given else None
    if ray is not None:
        del given[given.index("--ray") : given.index("--ray") + 2]
    given += [] if "--recipe" in given else ["--recipe", "finetune"]
    judged = []
    with spread_or(map, ray) as spread:
        work = partial(train, folder=folder, target=target, options=given)
        for source in spread(work, sources_of(dataset)):
            judged.append(judge(target / f"without-{source}", dataset, source))
            print(json.dumps(judged[-1], indent=2), flush=True)
            # After each one: a training takes long, and what is there counts.
            content = {
                "command": " ".join(["python benchmarks/leave_one_source_out.py", folder, out, *options]),
                "machine": describe_machine(),
                "versions": library_versions(),
                "data_fingerprint": dataset.description.fingerprint,
                "finding": FLAGGED,
                "sources": judged,
            }
            (target / "leave_one_source_out.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
