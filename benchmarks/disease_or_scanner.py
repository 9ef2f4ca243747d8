"""Does a model see disease or the scanner? Runs side by side where both sides come from one source.

    python benchmarks/disease_or_scanner.py OUT.json --nih DATASET --cohen DATASET RUN [RUN ...]

    nih    No Finding against Pneumonia (imported as Normal and Other opacity), by 1 - P(Normal)
    cohen  COVID-19 against other pneumonia (imported as COVID-19 and Other opacity), by P(COVID-19)

Every run is judged on the same images: those that none of them learned from, in which two lungs are found wherever a
run looks for them. AUROCs have DeLong intervals by patient; the last run is compared with each of the others, paired.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from carina.datasets.manifest import Dataset, open_dataset
from carina.evaluation.comparison import paired_delong
from carina.evaluation.leaks import check_leaks
from carina.evaluation.predictions import groups_of, predict_rows
from carina.inference.predictor import Predictor
from carina.runtime.machine import describe_machine, library_versions
from carina.statistics.delong import delong_interval

QUESTIONS = {
    "nih": ("Other opacity", "Normal", "1 - P(Normal)"),
    "cohen": ("COVID-19", "Other opacity", "P(COVID-19)"),
}


def scores(table: pl.DataFrame, by: str) -> np.ndarray:
    """Return the score that a question asks for: float64 ``(n,)``."""
    if by == "1 - P(Normal)":
        return 1 - table["probability:Normal"].to_numpy()
    return table["probability:COVID-19"].to_numpy()


def ask(name: str, dataset: Dataset, runs: list[Path]) -> dict[str, Any]:
    """Return the answer of every run to one question."""
    positive, negative, by = QUESTIONS[name]
    rows = dataset.rows("test").filter(pl.col("finding").is_in([positive, negative]))
    leaked = {sha256 for run in runs for sha256 in check_leaks(run, dataset, rows).learned["sha256"]}
    kept = rows.filter(~pl.col("sha256").is_in(list(leaked)))
    tables = {run.name: predict_rows(Predictor(run), kept) for run in runs}
    assessable = np.logical_and.reduce([table["assessable"].to_numpy() for table in tables.values()])
    tables = {run: table.filter(pl.Series(assessable)) for run, table in tables.items()}
    last = tables[runs[-1].name]
    truth, groups = (last["finding"] == positive).to_numpy(), groups_of(last)
    return {
        "data_fingerprint": dataset.description.fingerprint,
        "positive": positive,
        "negative": negative,
        "score": by,
        "images": {positive: int(truth.sum()), negative: int((~truth).sum())},
        "left_out": {"leaked": rows.height - kept.height, "without_two_lungs": int((~assessable).sum())},
        "auroc": {run: asdict(delong_interval(truth, scores(table, by), groups)) for run, table in tables.items()},
        "last_against": {
            run: asdict(paired_delong(truth, scores(last, by), scores(table, by), groups))
            for run, table in tables.items()
            if table is not last
        },
    }


def main(out: str, *arguments: str) -> None:
    """Ask both questions and write the answers."""
    options = {key: Path(value) for key, value in zip(arguments[:4:2], arguments[1:4:2], strict=True)}
    runs = [Path(argument) for argument in arguments[4:]]
    answers = {name: ask(name, open_dataset(options[f"--{name}"]), runs) for name in QUESTIONS}
    content = {
        "command": " ".join(["python benchmarks/disease_or_scanner.py", out, *arguments]),
        "machine": describe_machine(),
        "versions": library_versions(),
        **answers,
    }
    Path(out).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for name, answer in answers.items():
        print(name, answer["images"], answer["left_out"])
        for run, auroc in answer["auroc"].items():
            print(f"  {run}: {auroc['value']:.3f} ({auroc['low']:.3f}-{auroc['high']:.3f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
