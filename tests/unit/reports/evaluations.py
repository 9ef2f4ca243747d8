"""An evaluation folder made by hand in a second: probabilities, truth, sources, ages, several images a patient."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from carina.decisions.operating_point import OperatingPointRule
from carina.decisions.policy import PolicySettings, fit_policy
from carina.reports.evaluated import read_evaluated
from carina.reports.evaluation_files import GALLERY_FILE
from carina.reports.gallery_images import gallery_table
from carina.reports.html.sections.gallery_section import choose_rows
from carina.statistics.binary_metrics import at_operating_point
from carina.statistics.metrics import measure

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")
HOSTILE = "</script><img src=x onerror=alert(1)>&\"'"


def logits_of(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=[0.25, 0.6, 0.15])
    logits = rng.normal(size=(n, 3))
    logits[np.arange(n), truth] += rng.normal(3.0, 1.2, n)
    return truth, logits


def write_evaluated(
    folder: Path,
    *,
    n: int = 600,
    seed: int = 3,
    sources: tuple[str, str, str] = ("north", "south", "tiny"),
    prevalence: float | None = None,
    shown: tuple[Any, ...] = (0, 1, 2),
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


def write_pictures(folder: Path) -> None:
    """Give the images that the gallery shows small pictures: noise, and an overlay that goes from against to for."""
    rng = np.random.default_rng(5)
    rows = [item.row for item in choose_rows(read_evaluated(folder))]
    cells = np.linspace(-127, 127, 49).astype(np.int8).tobytes()
    pictures = [(row, rng.integers(0, 255, (64, 48), np.uint8), cells, (0.25, 0.0, 0.75, 1.0)) for row in rows]
    gallery_table(pictures).write_parquet(folder / GALLERY_FILE)


_EXPLAINED = ("comprehensiveness", "sufficiency")


def audit_of(folder: Path, model_sha256: str) -> Path:
    """Write an audit folder in which every question was asked."""
    estimate = {"value": 0.69, "low": 0.66, "high": 0.72, "method": "bootstrap", "note": None}
    kinds = ("shown", "lungs-black", "box-black", "lungs-alone", "border-alone", "thumbnail", "histogram", "sharpness")
    head = {"l2": 1.0, "macro_auroc": estimate, "by_finding": [estimate] * 3, "share": estimate}
    folder.mkdir(parents=True)
    content = {
        "format": "carina-audit-1",
        "sentence": "Sixty-nine of a hundred.",
        "model_sha256": model_sha256,
        "verdicts": ["It leans."],
        "lungs_from": "a segmenter",
        "not_applicable": ["ages: none"],
        "counts": {"train": 10, "test": 5, "without_lungs": 1},
        "heads": [{"input": kind, **head} for kind in kinds],
        "by_model": [{"input": kind, **head, "distance": estimate, "kept": estimate} for kind in kinds[:5]],
        "source_probes": [
            {
                "input": kind,
                "finding": "Normal",
                "sources": {"a": 3, "b": 4},
                "balanced_accuracy": estimate,
                "chance": 0.5,
            }
            for kind in ("shown", "histogram", "sharpness")
        ],
        "left_out_sources": [{"source": "a", "measure": "sensitivity", "estimate": estimate | {"denominator": 9}}],
        "same_source_pairs": [
            {
                "source": "a",
                "positive": "COVID-19",
                "negative": "Normal",
                "positives": 30,
                "negatives": 40,
                **dict.fromkeys(("model", "head", "without_lungs", "thumbnail", "histogram", "sharpness"), estimate),
            }
        ],
        "age_groups": [{"name": "children", "images": 12, "macro_auroc": estimate}],
        "sensitivity_gaps": [
            {"images_of": "the test split", "by": "view", "group": "AP", "reference": "PA"}
            | dict.fromkeys(("sensitivity", "of_reference", "gap"), estimate)
        ],
        "ruled_out": [
            {"images_of": "the test split", "source": None, "chosen_on": "the calibration split"}
            | dict.fromkeys(("ruled_out", "sensitivity"), estimate)
        ],
        "explanation_tests": [
            {"called": None, "images": 60}
            | {f"{name}{of}": estimate for name in _EXPLAINED for of in ("", "_random", "_gain")}
        ],
        "external_sets": [
            {
                "name": "elsewhere",
                "questions": [
                    {"positive": ["a"], "negative": ["b", "c", "d"], "positives": 3, "negatives": 4, "auroc": estimate}
                ],
            }
        ],
    }
    (folder / "audit.json").write_text(json.dumps(content), "utf-8")
    return folder
