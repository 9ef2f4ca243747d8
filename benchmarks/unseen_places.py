"""What do models do at places that they never saw? Each model on each data set, at its own thresholds.

    python benchmarks/unseen_places.py OUT.json --at DATASET [--at DATASET ...] MODEL [MODEL ...]

MODEL is a run or a bundle; DATASET holds a test split with findings that the models know. Images that a model learned
from are left out of its figures, to the pixel and as near-duplicates, and so are those that it would refuse: how many
is said. For each model and data set: how well abnormal is told from normal by 1 - P(Normal), and the flagged finding
from other findings by its probability (AUROC, DeLong's interval by patient); which share of each finding is flagged at
the operating point, fast-tracked and `routine`; and which share of what is fast-tracked is not the flagged finding.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.datasets.manifest import Dataset, open_dataset
from carina.decisions.triage import decide
from carina.evaluation.leaks import check_leaks
from carina.evaluation.predictions import findings_of, groups_of, predict_rows, probabilities_of
from carina.findings import NORMAL
from carina.inference.predictor import Predictor
from carina.runtime.machine import describe_machine, library_versions
from carina.statistics.delong import delong_interval
from carina.statistics.intervals import Estimate, proportion_interval


def judge(folder: Path, dataset: Dataset) -> dict[str, Any]:
    """Return what a model reaches on a data set's test split."""
    rows, predictor = dataset.rows("test"), Predictor(folder)
    leaks = check_leaks(folder, dataset, rows)
    unseen = rows.filter(~pl.col("sha256").is_in(leaks.learned["sha256"].implode()))
    judged = predict_rows(predictor, unseen)
    table = judged.filter("assessable")
    findings, policy = findings_of(table), predictor.run.policy
    probabilities, truth, groups = probabilities_of(table), table["finding"].to_numpy(), groups_of(table)
    abnormal, flag = 1 - probabilities[:, findings.index(NORMAL)], probabilities[:, findings.index(policy.flag_finding)]
    priorities = np.array([priority for _, priority in decide(probabilities, policy)])
    flagged, fast = flag >= policy.operating_point.threshold, priorities == "fast-track"

    def share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> Any:
        return proportion_interval(of[among], groups[among]).to_json() if among.any() else None

    def auroc(positive: NDArray[np.bool_], score: NDArray[np.float64], among: NDArray[np.bool_]) -> Any:
        both = 0 < positive[among].sum() < among.sum()
        found: Estimate | None = delong_interval(positive[among], score[among], groups[among]) if both else None
        return None if found is None else found.to_json()

    every, is_flag = np.ones(len(truth), np.bool_), truth == policy.flag_finding
    return {
        "images": {finding: int((truth == finding).sum()) for finding in sorted(set(truth))},
        "left_out": {"learned": rows.height - unseen.height, "refused": judged.height - table.height},
        # Training stopped or thresholds were chosen on these: what they show is a little too good.
        "stopped_on": leaks.stopped_on,
        "auroc_abnormal": auroc(truth != NORMAL, abnormal, every),
        "auroc_flagged_among_abnormal": auroc(is_flag, flag, truth != NORMAL),
        "flagged": {finding: share(flagged, truth == finding) for finding in sorted(set(truth))},
        "fast_track": {finding: share(fast, truth == finding) for finding in sorted(set(truth))},
        "routine": {finding: share(priorities == "routine", truth == finding) for finding in sorted(set(truth))},
        "fast_track_without_the_finding": share(~is_flag, fast),
    }


def main(arguments: list[str]) -> None:
    """Judge every model at every place and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--at", type=Path, action="append", required=True)
    given = parser.parse_args(arguments)
    for named in (given.at, given.models):
        if len({folder.name for folder in named}) < len(named):
            parser.error("Two folders have the same name. Rename one: the figures are kept by name.")
    places = {folder.name: open_dataset(folder) for folder in given.at}
    content = {
        "command": " ".join(["python benchmarks/unseen_places.py", *arguments]),
        "machine": describe_machine(),
        "versions": library_versions(),
        "data": {name: dataset.description.fingerprint for name, dataset in places.items()},
        "models": {
            model.name: {name: judge(model, dataset) for name, dataset in places.items()} for model in given.models
        },
    }
    given.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
