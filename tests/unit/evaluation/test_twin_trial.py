"""What a twin changes is counted, beside probabilities worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from carina.bundles.run_folder import open_run
from carina.decisions.policy import Policy
from carina.decisions.triage import decide
from carina.errors import DataError
from carina.evaluation.int8_parity import compare

TRUTH = np.array([0, 0, 1, 1])


@pytest.fixture(scope="module")
def policy(tiny_run: Path) -> Policy:
    return open_run(tiny_run).policy


def certain(policy: Policy, findings: list[int], sure: float = 40.0) -> np.ndarray:  # type: ignore[type-arg]
    """Return logits that make a finding certain, whatever the calibration."""
    return sure * np.eye(len(policy.findings))[findings]


def test_the_same_logits_change_nothing(policy: Policy) -> None:
    logits = certain(policy, [0, 0, 1, 1])
    parity = compare(logits, logits, TRUTH, policy, engine="E")
    assert (parity.images, parity.changed, parity.findings_changed) == (4, 0, 0)
    assert parity.auroc_cost == parity.largest_difference == 0


def test_changed_decisions_and_lost_order_are_counted(policy: Policy) -> None:
    before, after = certain(policy, [0, 0, 1, 1]), certain(policy, [0, 1, 1, 1])
    parity = compare(before, after, TRUTH, policy, engine="E")
    assert (parity.changed, parity.findings_changed) == (1, 1)
    # Of two images of each finding one changes sides: half of the pairs are ties, each of half a point.
    assert parity.auroc_cost == pytest.approx(0.25)
    assert parity.largest_difference == pytest.approx(1, abs=1e-6)
    # The other way round it is a gain.
    assert compare(after, before, TRUTH, policy, engine="E").auroc_cost == pytest.approx(-0.25)


def test_another_priority_of_the_same_finding_is_another_decision(policy: Policy) -> None:
    logits = np.random.default_rng(0).normal(0, 3, (2000, len(policy.findings)))
    decided = decide(policy.probabilities(logits), policy)
    first = next(i for i, one in enumerate(decided) if any(one[0] == other[0] and one != other for other in decided))
    second = next(i for i, other in enumerate(decided) if other[0] == decided[first][0] and other != decided[first])
    before, after = logits[[first, first]], logits[[second, first]]
    parity = compare(before, after, np.array([0, 1]), policy, engine="E")
    assert (parity.changed, parity.findings_changed) == (1, 0)


def test_images_of_one_finding_prove_nothing(policy: Policy) -> None:
    logits = certain(policy, [0, 0])
    with pytest.raises(DataError, match="All images are of one finding"):
        compare(logits, logits, np.zeros(2, int), policy, engine="E")
