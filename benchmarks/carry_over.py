"""Judge a new version of a model against the old one, at the old one's threshold and at its own: where is it worse.

    python benchmarks/carry_over.py OUT.json OLD NEW --at DATASET [--at DATASET ...]

OLD and NEW are runs or bundles that flag the same finding; each DATASET holds a test split. A site that has set
something by the old threshold may keep it when the model is replaced, so the new model is judged at both. Both models
judge the same images: those that neither learned from, to the pixel and as near-duplicates, and that both accept.
Paired tests (McNemar by patient for sensitivity and specificity, DeLong for the AUROC), corrected by Holm over all data
sets together. `worse` names every figure that fell significantly; models/CHANGELOG.md must name each of them.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from carina.bundles.bundle import open_named_model
from carina.datasets.manifest import Dataset, open_dataset
from carina.evaluation.comparison import PairedTest, holm, mcnemar, paired_delong
from carina.evaluation.leaks import check_leaks
from carina.evaluation.predictions import groups_of, predict_rows
from carina.findings import NORMAL
from carina.inference.predictor import Predictor
from carina.runtime.machine import describe_machine, library_versions

_LEVEL = 0.05
# As `worse` says at which threshold; an AUROC has none.
_THRESHOLDS = {"own": " at its own threshold", "old": " at the old threshold", "every": ""}


def compare_at(place: str, dataset: Dataset, old: Path, new: Path) -> list[tuple[dict[str, str], PairedTest]]:
    """Return each paired test of new against old on a data set, and at which threshold it was made."""
    rows = dataset.rows("test")
    for folder in (old, new):
        learned = check_leaks(folder, dataset, rows).learned["sha256"]
        rows = rows.filter(~pl.col("sha256").is_in(learned.implode()))
    judges = [Predictor(folder) for folder in (new, old)]
    policies = [judge.run.policy for judge in judges]
    flag = policies[0].flag_finding
    if policies[1].flag_finding != flag:
        sys.exit(f"{new} flags {flag}, {old} flags {policies[1].flag_finding}. Compare models that flag the same.")
    tables = [predict_rows(judge, rows) for judge in judges]
    both = (tables[0]["assessable"] & tables[1]["assessable"]).to_numpy()
    tables = [table.filter(pl.Series(both)) for table in tables]
    truth, groups = tables[0]["finding"].to_numpy(), groups_of(tables[0])
    has = truth == flag
    flagged, abnormal = ([table[f"probability:{f}"].to_numpy() for table in tables] for f in (flag, NORMAL))
    own, carried = (policy.operating_point.threshold for policy in policies)
    tests = []
    for at, threshold in (("own", own), ("old", carried)):
        called_new, called_old = flagged[0] >= threshold, flagged[1] >= carried
        for measure, among in (("sensitivity", has), ("specificity", ~has)):
            if among.any():
                new_right, old_right = ((called == has)[among] for called in (called_new, called_old))
                tests.append((at, mcnemar(new_right, old_right, groups[among], measure=measure, finding=flag)))
    for finding, positive, probability in ((flag, has, flagged), ("abnormal", truth != NORMAL, [-p for p in abnormal])):
        if 0 < positive.sum() < len(positive):
            tests.append(("every", paired_delong(positive, probability[0], probability[1], groups, finding=finding)))
    return [({"at": place, "images": str(len(truth)), "threshold": at}, test) for at, test in tests]


def main(arguments: list[str]) -> None:
    """Compare at every place and write the tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--at", type=Path, action="append", required=True)
    given = parser.parse_args(arguments)
    found = [
        each for folder in given.at for each in compare_at(folder.name, open_dataset(folder), given.old, given.new)
    ]
    corrected = holm([test.p_value for _, test in found])
    tests: list[dict[str, Any]] = [
        where | replace(test, p_value_holm=p).to_json() for (where, test), p in zip(found, corrected, strict=True)
    ]
    content = {
        "command": " ".join(["python benchmarks/carry_over.py", *arguments]),
        "machine": describe_machine(),
        "versions": library_versions(),
        "old": _named(given.old),
        "new": _named(given.new),
        "tests": tests,
        "worse": [
            f"{test['at']}: {test['finding']} {test['measure']}{_THRESHOLDS[test['threshold']]} "
            f"{test['value_b']:.3f} to {test['value_a']:.3f}"
            for test in tests
            if test["p_value_holm"] is not None and test["p_value_holm"] < _LEVEL and test["difference"]["value"] < 0
        ],
    }
    given.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _named(folder: Path) -> dict[str, str]:
    run, sha256 = open_named_model(folder)
    return {"name": run.name, "version": getattr(run, "version", ""), "sha256": sha256}


if __name__ == "__main__":
    main(sys.argv[1:])
