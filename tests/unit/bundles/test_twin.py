"""A twin is offered where it is not worse in pairs by more than the margins, and nowhere else."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from carina.bundles.run_folder import open_run
from carina.bundles.twin import Margins, Measure, Pair, Trial, Twin, TwinPrecision
from carina.decisions.policy import Policy


def pair(measure: Measure, low: float) -> Pair:
    return Pair(measure=measure, classifier=0.9, twin=0.9, low=low, high=0.1)


def trial(**changes: object) -> Trial:
    good = {"engine": "E 1", "images": 1000, "pairs": (pair("macro AUROC", -0.002),), "changed": 30}
    return Trial.model_validate(good | changes)


@pytest.fixture(scope="module")
def policy(tiny_run: Path) -> Policy:
    return open_run(tiny_run).policy


def twin(*trials: Trial, accepted: bool, sha256: str | None, policy: Policy | None, of: TwinPrecision = "int8") -> Twin:
    return Twin(
        precision=of,
        accepted=accepted,
        sha256=sha256,
        policy=policy,
        method="m",
        rounded_on=8,
        measured_on="these",
        margins=Margins(),
        trials=trials,
    )


@pytest.mark.parametrize(
    ("changes", "within"),
    [
        ({}, True),
        # However many decisions are others: thresholds of its own are what it is judged by.
        ({"changed": 1000}, True),
        ({"pairs": (pair("macro AUROC", -0.0021),)}, False),
        ({"pairs": (pair("macro AUROC", 0.0), pair("sensitivity", -0.02))}, True),
        ({"pairs": (pair("macro AUROC", 0.0), pair("sensitivity", -0.021))}, False),
        ({"pairs": (pair("specificity", -0.011),)}, False),
        ({"pairs": (pair("share in bands", -0.051),)}, False),
        ({"pairs": (pair("share not wrongly in a band", -0.011),)}, False),
        ({"lost": ("routine",)}, False),
        ({"images": 199}, False),
        ({"images": 200}, True),
    ],
)
def test_the_margins_hold_at_their_ends(changes: dict[str, object], within: bool) -> None:
    assert trial(**changes).within(Margins()) is within


def test_acceptance_is_bound_to_what_was_measured(policy: Policy) -> None:
    good, bad = trial(), trial(lost=("fast-track",))
    assert twin(good, accepted=True, sha256="ab", policy=policy).accepted
    assert twin(good, accepted=True, sha256=None, policy=policy, of="bf16").accepted
    assert not twin(good, bad, accepted=False, sha256=None, policy=None).accepted
    for trials, accepted, sha256, own in (
        ((good, bad), True, "ab", policy),
        ((good,), True, None, policy),
        ((good,), True, "ab", None),
        ((good,), False, None, None),
        ((bad,), False, "ab", None),
        ((), False, None, None),
    ):
        with pytest.raises(ValidationError, match=r"within the margins|by its hash|at least 1 item"):
            twin(*trials, accepted=accepted, sha256=sha256, policy=own)


def test_it_says_what_was_measured_on_each_engine_and_what_is_wanted(policy: Policy) -> None:
    bad = trial(engine="F 2", lost=("routine",))
    said = twin(trial(), bad, accepted=False, sha256=None, policy=None).in_words()
    assert said.startswith("int8 refused and left out. Beside f32, on these: E 1, 1,000 images: macro AUROC +0.0000")
    assert "(-0.0020 to +0.1000); 3.0% of decisions are others" in said
    assert "nothing can be promised of routine" in said
    assert "Wanted: 95 % sure to lose at most 0.002 of macro AUROC, 0.02 of sensitivity" in said
    offered = twin(trial(), accepted=True, sha256="ab", policy=policy).in_words()
    assert offered.startswith("int8 offered, with thresholds of its own. ")
