"""A twin in 8-bit integers is accepted where its parity is within the limits, and nowhere else."""

import pytest
from pydantic import ValidationError

from carina.bundles.int8_twin import Int8Record, Parity, TwinLimits

GOOD = Parity(engine="E 1", images=1000, auroc_cost=0.001, changed=5, findings_changed=2, largest_difference=0.02)


def record(*parity: Parity, accepted: bool, sha256: str | None) -> Int8Record:
    return Int8Record(
        accepted=accepted,
        sha256=sha256,
        method="m",
        rounded_on=8,
        measured_on="these",
        limits=TwinLimits(),
        parity=parity,
    )


@pytest.mark.parametrize(
    ("changes", "within"),
    [
        ({}, True),
        ({"auroc_cost": -0.3}, True),
        ({"auroc_cost": 0.00101}, False),
        ({"changed": 6}, False),
        ({"images": 199, "changed": 0}, False),
        ({"images": 200, "changed": 1}, True),
    ],
)
def test_the_limits_hold_at_their_ends(changes: dict[str, float], within: bool) -> None:
    assert GOOD.model_copy(update=changes).within(TwinLimits()) is within


def test_acceptance_is_bound_to_what_was_measured() -> None:
    bad = GOOD.model_copy(update={"engine": "F 2", "changed": 6})
    assert record(GOOD, accepted=True, sha256="ab").accepted
    assert not record(GOOD, bad, accepted=False, sha256=None).accepted
    for parity, accepted, sha256 in (
        ((GOOD, bad), True, "ab"),
        ((GOOD,), True, None),
        ((GOOD,), False, None),
        ((bad,), False, "ab"),
        ((), False, None),
    ):
        with pytest.raises(ValidationError, match=r"within the limits|at least 1 item"):
            record(*parity, accepted=accepted, sha256=sha256)


def test_it_says_what_was_measured_on_each_engine_and_what_is_allowed() -> None:
    bad = GOOD.model_copy(update={"engine": "F 2", "changed": 6})
    said = record(GOOD, bad, accepted=False, sha256=None).in_words()
    assert said.startswith(
        "int8 refused and left out. On these, E 1: macro AUROC -0.00100, 5 of 1000 decisions changed"
    )
    assert "F 2: macro AUROC -0.00100, 6 of 1000 decisions changed (0.60%; 2 findings)" in said
    assert "at most 0.001 of macro AUROC and 0.50% of decisions, on at least 200 images" in said
    assert record(GOOD, accepted=True, sha256="ab").in_words().startswith("int8 accepted. ")
