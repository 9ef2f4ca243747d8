r"""From the baseline to the released model, one change per row; every row trained again and judged in the same way.

    python benchmarks/ablation.py DATASET OUT --lungs LUNGS --with NIH --cohen COHEN [--ready NAME=RUN ...] \
        [--last NAME=RUN] [--ray ADDRESS]

Rows of fine-tuning differ from the one above by what their name says, and are otherwise the shipped recipe with fewer
epochs in its last stage (`--epochs`). Each is judged on the test split, on the added data set's test split (No Finding
against Pneumonia, by 1 - P(Normal)) and on COVID-19 against other pneumonia of `--cohen`, by P(COVID-19). `--ready`
takes a run that is there already, such as the baseline, and puts it first; `--last` puts it last. OUT/ablation.json
holds all; a run or figure that is there is not made again. With `--ray` the trainings run side by side on a cluster
whose machines all see the folders.
"""

import argparse
import json
import shlex
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w

from carina.cli.options import spread_or
from carina.datasets.manifest import Dataset, open_dataset
from carina.evaluation.leaks import check_leaks
from carina.evaluation.predictions import groups_of, predict_rows
from carina.inference.predictor import Predictor
from carina.learning.recipe import load_recipe
from carina.runtime.machine import describe_machine, library_versions
from carina.statistics.delong import delong_interval

CARINA = str(Path(sys.executable).parent / "carina")
LIGHT = {"gamma": 0.35, "contrast": 0.2, "brightness": 0.0, "blur": 0.0, "noise": 0.0, "aspect": 0.0, "zoom": 0.1}
WHOLE = {"crop": "none", "stretch": None}


def rows_of_fine_tuning() -> dict[str, tuple[dict[str, dict[str, Any]], bool]]:
    """Return for each row what differs from the shipped recipe, and whether the added data set is learned from."""
    light = {**LIGHT, "crop_margin": 0.0}
    return {
        "whole image, light variation": ({"preprocessing": WHOLE, "augmentation": light}, False),
        "+ lung crop, greys stretched": ({"augmentation": {**light, "crop_margin": 0.05}}, False),
        "+ strong variation": ({}, False),
        "+ other opacities of another set": ({}, True),
    }


def write_recipe(path: Path, changes: dict[str, dict[str, Any]], epochs: int) -> None:
    """Write the shipped recipe with changes, its last stage as long as is said."""
    recipe = load_recipe("finetune").model_dump(mode="json", exclude_none=True)
    for table, values in changes.items():
        recipe[table] = {key: value for key, value in {**recipe[table], **values}.items() if value is not None}
    recipe["fine_tuning"]["stages"][-1]["epochs"] = epochs
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomli_w.dumps(recipe), encoding="utf-8")


def auroc_between(run: Path, dataset: Dataset, positive: str, negative: str, score: str) -> dict[str, Any]:
    """Return the AUROC of one finding against another, leaks left out, with its interval."""
    rows = dataset.rows("test").filter(pl.col("finding").is_in([positive, negative]))
    leaked = check_leaks(run, dataset, rows).learned["sha256"]
    table = predict_rows(Predictor(run), rows.filter(~pl.col("sha256").is_in(leaked.implode())))
    table = table.filter("assessable")
    values = 1 - table["probability:Normal"] if score == "1 - P(Normal)" else table["probability:COVID-19"]
    truth = (table["finding"] == positive).to_numpy()
    return asdict(delong_interval(truth, values.to_numpy(), groups_of(table))) | {"images": table.height}


def judge(run: Path, out: Path, dataset: Path, nih: Path, cohen: Path) -> dict[str, Any]:
    """Return the figures of one row."""
    if not (out / "metrics.json").is_file():
        subprocess.run([CARINA, "evaluate", str(run), str(dataset), "--out", str(out)], check=True)
    content = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    metrics = content["metrics"]
    return {
        "accuracy": metrics["accuracy"],
        "macro_auroc": metrics["macro_auroc"],
        "operating_point": content["operating_point"]["reached"],
        "sensitivity_at_0.99": content["sensitivity_at_specificity"]["0.99"],
        "ece": metrics["calibration"],
        "nih": auroc_between(run, open_dataset(nih), "Other opacity", "Normal", "1 - P(Normal)"),
        "cohen": auroc_between(run, open_dataset(cohen), "COVID-19", "Other opacity", "P(COVID-19)"),
    }


def train(row: tuple[int, str], given: argparse.Namespace) -> tuple[int, str]:
    """Train the run of a row, unless that was done, and return the row."""
    place, name = row
    changes, added = rows_of_fine_tuning()[name]
    run, recipe = given.out / f"run-{place}", given.out / "recipes" / f"{place}.toml"
    if not (run / "run.json").is_file():
        write_recipe(recipe, changes, given.epochs)
        command = ["--recipe", str(recipe), "--out", str(run), "--cache", str(given.out / "cache")]
        command += ["--lungs", str(given.lungs)] if "preprocessing" not in changes else []
        command += ["--with", str(given.added)] if added else []
        resumed = ["--resume", str(run)]
        subprocess.run([CARINA, "train", *(resumed if run.exists() else [str(given.dataset), *command])], check=True)
    return row


def main() -> None:
    """Train and judge every row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lungs", type=Path, required=True)
    parser.add_argument("--with", dest="added", type=Path, required=True)
    parser.add_argument("--cohen", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3, help="of the last stage")
    parser.add_argument("--ready", action="append", default=[], help="NAME=RUN")
    parser.add_argument("--last", action="append", default=[], help="NAME=RUN")
    parser.add_argument("--ray", help="address of a cluster, or auto")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def note(name: str, run: Path, place: int) -> None:
        figures = judge(run, given.out / f"evaluation-{place}", given.dataset, given.added, given.cohen)
        rows.append({"row": name, **figures})
        content = {
            "command": shlex.join(["python", "benchmarks/ablation.py", *sys.argv[1:]]),
            "machine": describe_machine(),
            "versions": library_versions(),
            "rows": rows,
        }
        (given.out / "ablation.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        print(name, f"{figures['accuracy']['value']:.3f} {figures['macro_auroc']['value']:.4f}", flush=True)

    given.out.mkdir(parents=True, exist_ok=True)
    for place, ready in enumerate(given.ready):
        name, run = ready.split("=", 1)
        note(name, Path(run), place)
    with spread_or(map, given.ray) as spread:
        places = list(enumerate(rows_of_fine_tuning(), start=len(given.ready)))
        for place, name in spread(partial(train, given=given), places):
            note(name, given.out / f"run-{place}", place)
    for place, ready in enumerate(given.last, start=len(rows)):
        name, run = ready.split("=", 1)
        note(name, Path(run), place)


if __name__ == "__main__":
    main()
