"""A twin with its own policy is compared in pairs, with figures worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from carina.bundles.run_folder import open_run
from carina.bundles.twin import Margins, Pair, Trial
from carina.decisions.operating_point import OperatingPointRule
from carina.decisions.policy import Policy, PolicySettings, fit_policy
from carina.errors import DataError
from carina.evaluation.twin_trial import try_twin


@pytest.fixture(scope="module")
def policy(tiny_run: Path) -> Policy:
    return open_run(tiny_run).policy


def certain(policy: Policy, findings: list[int], sure: float = 40.0) -> NDArray[np.float64]:
    """Return logits that make a finding certain, whatever the calibration."""
    return sure * np.eye(len(policy.findings))[findings]


def tried(before: NDArray[np.float64], after: NDArray[np.float64], truth: list[int], policy: Policy) -> Trial:
    groups = np.arange(len(truth))
    return try_twin((before, policy), (after, policy), np.array(truth), groups, engine="E")


def of(trial: Trial, measure: str) -> Pair:
    return next(pair for pair in trial.pairs if pair.measure == measure)


def test_the_same_logits_lose_nothing(policy: Policy) -> None:
    flag = policy.findings.index(policy.flag_finding)
    other = 1 - flag if flag < 2 else 0
    truth = [flag] * 300 + [other] * 700
    logits = certain(policy, truth)
    trial = tried(logits, logits, truth, policy)
    assert (trial.images, trial.changed, trial.lost) == (1000, 0, ())
    assert all(pair.twin == pair.classifier and pair.low <= 0 <= pair.high for pair in trial.pairs)
    assert trial.within(Margins())


def test_what_is_lost_is_counted_and_its_interval_given(policy: Policy) -> None:
    flag = policy.findings.index(policy.flag_finding)
    other = 1 - flag if flag < 2 else 0
    truth = [flag] * 300 + [other] * 900
    said = truth.copy()
    said[:30] = [other] * 30  # thirty flagged images are missed
    said[300:309] = [flag] * 9  # and nine others flagged
    trial = tried(certain(policy, truth), certain(policy, said), truth, policy)
    sensitivity, specificity = of(trial, "sensitivity"), of(trial, "specificity")
    assert (sensitivity.classifier, sensitivity.twin) == (1.0, 0.9)
    assert sensitivity.low < -0.1 < sensitivity.high < 0
    assert specificity.twin == pytest.approx(891 / 900)
    # Each side: of 100 x 300 pairs those of the changed images are ties or lost.
    assert of(trial, "macro AUROC").twin < of(trial, "macro AUROC").classifier == 1
    assert of(trial, "macro AUROC").low < of(trial, "macro AUROC").twin - 1
    assert trial.changed == 39
    assert not trial.within(Margins())
    assert tried(certain(policy, said), certain(policy, truth), truth, policy).within(Margins())


def test_a_band_that_the_twin_cannot_promise_is_lost(policy: Policy) -> None:
    truth = np.arange(900) % 3
    logits = np.random.default_rng(0).normal(0, 1, (900, 3)) + 6 * np.eye(3)[truth]
    rule = OperatingPointRule(finding=policy.flag_finding, rule="specificity-at-least", target=0.9)
    loose, strict = (
        fit_policy(logits, truth, policy.findings, rule, PolicySettings(alpha=share, beta=share), chosen_on="these")
        # No threshold keeps a promise of next to nothing.
        for share in (0.2, 1e-9)
    )
    groups = np.arange(900)
    trial = try_twin((logits, loose), (logits, strict), truth, groups, engine="E")
    assert trial.lost == ("routine", "fast-track")
    assert not trial.within(Margins())
    assert try_twin((logits, strict), (logits, loose), truth, groups, engine="E").lost == ()


def test_images_of_one_finding_prove_nothing(policy: Policy) -> None:
    logits = certain(policy, [0, 0])
    with pytest.raises(DataError, match="Name other images"):
        tried(logits, logits, [0, 0], policy)
