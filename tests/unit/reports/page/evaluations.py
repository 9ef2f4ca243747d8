"""An evaluation folder made by hand in a second: probabilities, truth, sources, ages, several images a patient."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from carina.decisions.operating_point import OperatingPointRule
from carina.decisions.policy import PolicySettings, fit_policy
from carina.evaluation.metrics import at_operating_point, measure

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")
HOSTILE = "</script><img src=x onerror=alert(1)>&\"'"


def logits_of(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=[0.25, 0.6, 0.15])
    logits = rng.normal(size=(n, 3))
    logits[np.arange(n), truth] += rng.normal(3.0, 1.2, n)
    return truth, logits


def write_evaluated(
    folder: Path, *, n: int = 600, seed: int = 3, sources=("north", "south", "tiny"), prevalence=None, shown=(0, 1, 2)
) -> Path:
    """Write an evaluation folder as ``carina evaluate`` does, with a policy fitted on other images."""
    folder.mkdir(parents=True)
    calibration_truth, calibration_logits = logits_of(1500, seed + 1)
    rule = OperatingPointRule(rule="specificity-at-least", target=0.95, finding="COVID-19")
    policy = fit_policy(
        calibration_logits, calibration_truth, FINDINGS, rule, PolicySettings(), chosen_on="the calibration split"
    )
    truth, logits = logits_of(n, seed)
    truth = np.resize([index for index in truth if index in shown], n)
    rng = np.random.default_rng(seed + 2)
    # The second image of a patient is nearly the first again, so that images are no independent trials.
    again = np.arange(n) // 2 * 2
    truth, logits = truth[again], logits[again] + rng.normal(0, 0.3, (n, 3))
    probabilities, groups = policy.probabilities(logits), np.arange(n) // 2
    source = np.array(sources)[np.where(np.arange(n) < 12, len(sources) - 1, rng.integers(0, 2, n))]
    table = pl.DataFrame(
        {
            "image": [f"images/patient-{group}/{row}.png" for row, group in enumerate(groups)],
            "sha256": [f"{row:064x}" for row in range(n)],
            "finding": [FINDINGS[index] for index in truth],
            "source": source,
            "view": rng.choice(["PA", "AP"], n),
            "age": rng.uniform(1, 90, n),
            "sex": rng.choice(["M", "F"], n),
            "group": groups,
            "called": [FINDINGS[index] for index in probabilities.argmax(axis=1)],
            "assessable": np.arange(n) % 50 != 7,
            **{f"probability:{name}": probabilities[:, index] for index, name in enumerate(FINDINGS)},
            "elapsed_ms": rng.uniform(10, 30, n),
            "trained_on": np.zeros(n, bool),
        }
    )
    stated = None if prevalence is None else {"COVID-19": prevalence}
    metrics = measure(truth, probabilities, FINDINGS, groups=groups, replicates=100, prevalence=stated)
    point = policy.operating_point
    reached = at_operating_point(truth, probabilities, 0, point.threshold, groups)
    model = {
        "name": "by-hand",
        "findings": list(FINDINGS),
        "preprocessing": {"size": 224, "pixel_range": "minus-one-one", "crop": "none", "stretch": None},
        "stopping_split": "calibration",
        "policy": policy.model_dump(mode="json"),
        "weights": "random",
        "model_sha256": "ab" * 32,
        "dataset": "/home/someone/secret-place/a-set",
        "data_fingerprint": "cd" * 32,
        "images": {"train": 1000, "calibration": 500},
        "epochs": 3,
        "best_epoch": 2,
        "seconds": {"fit": 1.5, "total": 2.0},
        "peak_memory_mb": 123.0,
        "versions": {"python": "3.11"},
        "machine": "a machine",
        "command": "carina train /home/someone/secret-place/a-set --out /home/someone/run",
    }
    content = {
        "format": "carina-evaluation-1",
        "notice": None,
        "command": "carina evaluate /home/someone/run /home/someone/secret-place/a-set --out here",
        "carina": "0.1.0",
        "bundle_sha256": "ef" * 32,
        "judging": {"seconds": 12.3, "peak_memory_mb": 456.0},
        "machine": "a machine",
        "versions": {"python": "3.11"},
        "data": {
            "name": "a-set",
            "fingerprint": "cd" * 32,
            "split": "test",
            "images": n,
            "not_assessable": int((~table["assessable"]).sum()),
            "patients_or_groups": n // 2,
            "findings": {name: int((truth == index).sum()) for index, name in enumerate(FINDINGS)},
        },
        "leak_check": {
            "images_checked": n,
            "training_images": 1000,
            "same_pixels": 0,
            "near_duplicates": 0,
            "dropped": 0,
            "stopped_on": 0,
        },
        "model": model,
        "metrics": metrics.to_json(),
        "operating_point": {"chosen": point.model_dump(mode="json"), "reached": reached.to_json()},
        "findings": list(FINDINGS),
    }
    (folder / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    table.write_parquet(folder / "predictions.parquet")
    (folder / "recipe.toml").write_text('name = "by-hand"\n[backbone]\nweights = "/home/someone/w.h5"\n', "utf-8")
    (folder / "history.csv").write_text(
        "epoch,loss,accuracy,val_loss,val_accuracy\n1,1.0,0.5,1.1,0.4\n2,0.5,0.8,0.7,0.7\n3,0.4,0.9,0.8,0.7\n", "utf-8"
    )
    return folder
