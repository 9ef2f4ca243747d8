"""The questions, each on a case made by hand."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from carina.decisions.operating_point import OperatingPointRule
from carina.evaluation.audit.looks import Looks
from carina.evaluation.audit.probes import Part, Pool, ask_external, leave_source_out, probe_source

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")
RULE = OperatingPointRule(finding="COVID-19", rule="specificity-at-least", target=0.9)


def part_of(rows: list[tuple[str, str]], features: NDArray[np.float64]) -> Part:
    """Return a part of (finding, source) rows whose features are given."""
    table = pl.DataFrame(
        {
            "finding": [finding for finding, _ in rows],
            "source": pl.Series([source for _, source in rows], dtype=pl.String),
            "group": range(len(rows)),
            "age": pl.Series([None] * len(rows), dtype=pl.Float64),
        }
    )
    labels = np.array([FINDINGS.index(finding) for finding, _ in rows])
    features = np.asarray(features, dtype=np.float32)
    looks = Looks(np.ones(len(rows), bool), {"shown": features}, {})
    return Part(table, labels, looks)


def hospitals(n: int, seed: int) -> Part:
    """Return COVID-19 of two sources of which each shows in a feature of its own, and Normal of a third.

    Whoever has not seen source "right" cannot call it: its COVID-19 looks like Normal but for a feature that never
    varied before.
    """
    rng = np.random.default_rng(seed)
    rows = [("COVID-19", "left")] * n + [("COVID-19", "right")] * n + [("Normal", "third")] * 2 * n
    features = rng.normal(0, 0.3, (4 * n, 2))
    features[:n, 0] += 3
    features[n : 2 * n, 1] += 3
    return part_of(rows, features)


def test_a_source_with_signs_of_its_own_is_missed_when_it_is_left_out() -> None:
    train, calibration, test = hospitals(40, 1), hospitals(20, 2), hospitals(20, 3)
    (right,) = leave_source_out("right", train, calibration, test, FINDINGS, RULE)
    assert right.measure == "sensitivity"
    assert right.estimate.denominator == 40  # test and calibration: neither was trained on
    assert right.estimate.value < 0.3
    assert right.threshold is not None


def test_a_source_with_the_same_signs_is_found_when_it_is_left_out() -> None:
    parts = []
    for n, seed in ((40, 1), (20, 2), (20, 3)):
        part = hospitals(n, seed)
        part.looks.features["shown"][n : 2 * n] = part.looks.features["shown"][:n]
        parts.append(part)
    (right,) = leave_source_out("right", *parts, FINDINGS, RULE)
    assert right.estimate.value > 0.9
    assert right.note is None


def test_without_the_only_source_of_negatives_there_is_no_answer() -> None:
    train, calibration, test = hospitals(40, 1), hospitals(20, 2), hospitals(20, 3)
    (third,) = leave_source_out("third", train, calibration, test, FINDINGS, RULE)
    assert third.measure == "specificity"
    assert third.estimate.value is None
    assert third.note == "not applicable: no other source has train images without COVID-19"
    assert leave_source_out("nowhere", train, calibration, test, FINDINGS, RULE) == ()


def test_what_is_lost_with_a_source_is_said() -> None:
    def with_viral(n: int, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        rows = [("COVID-19", "a")] * n + [("Normal", "b")] * n + [("Viral Pneumonia", "c")] * n
        return part_of(rows, rng.normal(0, 0.3, (3 * n, 2)) + 3 * np.repeat([[1, 0], [0, 0], [0, 1]], n, axis=0))

    (answer,) = leave_source_out("c", with_viral(30, 1), with_viral(20, 2), with_viral(20, 3), FINDINGS, RULE)
    assert answer.note == "no other source shows Viral Pneumonia: the head has not seen it either"
    assert 0 <= answer.estimate.value <= 1


def pool_of(strength: float, *, n: int = 60, sources: Any = ("a", "b"), group_size: int = 1) -> Pool:
    rng = np.random.default_rng(9)
    source = np.arange(n) % len(sources)
    features = strength * source[:, None] + rng.normal(0, 1, (n, 4))
    rows = pl.DataFrame(
        {"finding": ["Normal"] * n, "source": [sources[i] for i in source], "group": np.arange(n) // group_size}
    )
    return Pool(rows, features.astype(np.float32))


def test_a_planted_source_is_found_and_none_is_found_in_noise() -> None:
    planted = probe_source(pool_of(3.0), "Normal", seed=1)
    assert planted.sources == {"a": 30, "b": 30}
    assert planted.chance == 0.5
    assert planted.balanced_accuracy.low > 0.9
    assert planted.macro_auroc.value > 0.97
    noise = probe_source(pool_of(0.0), "Normal", seed=1)
    assert noise.balanced_accuracy.low < 0.5 < noise.balanced_accuracy.high + 0.05


def test_a_source_is_told_from_the_input_that_is_asked() -> None:
    part = hospitals(30, 1)
    features = part.looks.features
    features["sharpness"] = features["shown"].copy()
    features["shown"][:] = np.random.default_rng(2).normal(size=features["shown"].shape)
    unseen = probe_source(part.with_(part), "COVID-19", seed=1)
    assert unseen.input == "shown"
    assert unseen.balanced_accuracy.low < 0.5
    told = probe_source(part.with_(part, "sharpness"), "COVID-19", seed=1)
    assert (told.input, told.balanced_accuracy.value) == ("sharpness", 1.0)


def test_images_of_a_group_never_train_and_judge_each_other() -> None:
    # Two images of each patient, alike to the pixel, and sources dealt by chance: only a leak could tell them.
    rng = np.random.default_rng(0)
    source = rng.integers(0, 2, 60)
    features = rng.normal(0, 1, (60, 200)).astype(np.float32)
    twice = rng.permutation(np.repeat(np.arange(60), 2))
    rows = pl.DataFrame({"finding": ["Normal"] * 120, "source": [("a", "b")[i] for i in source[twice]], "group": twice})
    answer = probe_source(Pool(rows, features[twice]), "Normal", seed=1)
    assert answer.balanced_accuracy.value < 0.65


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        (pool_of(1.0, sources=("a",)), "all of it is of one source (a)"),
        (pool_of(1.0, n=12), "fewer than two sources have 10 patients"),
        (
            Pool(pool_of(1.0).rows.with_columns(source=pl.lit(None, pl.String)), pool_of(1.0).features),
            "the source is unknown",
        ),
    ],
)
def test_a_source_probe_without_sources_says_why(pool: Pool, reason: str) -> None:
    answer = probe_source(pool, "Normal", seed=1)
    assert answer.balanced_accuracy.value is None
    assert answer.note == f"not applicable: {reason}"


def external(labels: list[str], p_covid: list[float], p_normal: list[float]) -> tuple[Any, ...]:
    rows = pl.DataFrame({"finding": labels, "group": range(len(labels))})
    covid, normal = np.asarray(p_covid, dtype=float), np.asarray(p_normal, dtype=float)
    return ask_external(rows, np.stack([covid, normal, 1 - covid - normal], axis=1), FINDINGS, "COVID-19")


def test_external_findings_in_common_stand_against_each_other() -> None:
    questions, note = external(
        ["COVID-19", "Normal", "COVID-19", "Normal"], [0.9, 0.2, 0.1, 0.05], [0.1, 0.8, 0.2, 0.9]
    )
    assert [(item.positive, item.negative, item.auroc.value) for item in questions] == [
        (("COVID-19",), ("Normal",), 0.75),
        (("Normal",), ("COVID-19",), 1.0),
    ]
    assert note is None


def test_external_findings_that_the_model_does_not_know() -> None:
    questions, note = external(
        ["Normal", "Normal", "Fibrosis", "COVID-19", "COVID-19, ARDS", "todo"],
        [0.1, 0.1, 0.3, 0.2, 0.9, 0.9],
        [0.8, 0.3, 0.4, 0.1, 0.0, 0.0],
    )
    by_score = {item.score: item for item in questions}
    assert set(by_score) == {"P(COVID-19)", "P(Normal)", "1 - P(Normal)"}
    not_normal = by_score["1 - P(Normal)"]
    assert not_normal.positive == ("COVID-19", "COVID-19, ARDS", "Fibrosis")
    assert not_normal.auroc.value == pytest.approx(5 / 6)
    against_others = questions[-1]
    assert (against_others.positive, against_others.negative) == (("COVID-19",), ("Fibrosis",))
    assert against_others.auroc.value == 0
    assert note == (
        "1 images that nobody labelled take part in nothing; "
        "1 images of COVID-19, ARDS are neither COVID-19 nor its absence"
    )


def test_external_sets_that_no_question_fits() -> None:
    questions, note = external(["Fibrosis", "Fibrosis"], [0.1, 0.1], [0.1, 0.1])
    assert questions == ()
    assert note == "not applicable: no question makes sense on Fibrosis"
