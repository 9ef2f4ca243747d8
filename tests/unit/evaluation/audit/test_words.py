"""What is said of what was found."""

from dataclasses import replace
from typing import Any

import pytest

from carina.evaluation.audit.audit_results import (
    ExplanationTest,
    HeadResult,
    LeftOutSource,
    ModelResult,
    RuledOut,
    SensitivityGap,
    SourceProbe,
)
from carina.evaluation.audit.words import further_verdicts, percent, sentence_of, verdicts_of
from carina.statistics.intervals import Estimate, not_applicable

AREA = Estimate(0.9, 0.85, 0.94, "DeLong")


def share(value: float) -> Estimate:
    return Estimate(value, value - 0.1, value + 0.1, "bootstrap (stratified)")


def heads_of(black: float, border: float = 0.5) -> list[HeadResult]:
    shares = {"shown": 1.0, "lungs-black": black, "border-alone": border}
    return [HeadResult(name, 0.1, AREA, (), share(value)) for name, value in shares.items()]


def model_of(black: float, box: float) -> list[ModelResult]:
    shares = {"shown": 1.0, "lungs-black": black, "box-black": box}
    return [ModelResult(name, AREA, (), share(value), AREA, share(0.6)) for name, value in shares.items()]


def left_out(source: str, measure: str, value: float | None) -> LeftOutSource:
    estimate = not_applicable("nothing to train on") if value is None else share(value)
    return LeftOutSource(source, measure, estimate, 0.5, None)


def test_the_sentence() -> None:
    assert sentence_of(heads_of(0.97), model_of(0.71, 0.4)) == (
        "Of the AUROC above chance, 71 % (61–81) remains when the lungs are blacked out, and a new last layer, "
        "trained on images without lungs, reaches 97 % (87–107)."
    )


@pytest.mark.parametrize(
    ("black", "box", "begins"),
    [
        (0.51, 0.1, "The model leans on what is not lung (rule: more than 50 % of its AUROC above chance remains"),
        (0.5, 0.6, "The model leans on what lies outside the box around the lungs (rule: more than 50 % remains"),
        (0.5, 0.5, "Without lungs the model loses most of what it knows: 50 % (40–60) remains (rule: it would lean"),
    ],
)
def test_when_the_model_is_said_to_lean(black: float, box: float, begins: str) -> None:
    verdict = verdicts_of(heads_of(0.2), model_of(black, box), (), ())[0]
    assert verdict.startswith(begins)
    assert "on 60 % (50–70) of the images it makes the same call with P ≥ 0.5" in verdict


def test_what_the_data_let_any_model_do() -> None:
    assert "no proof that disease is seen" in verdicts_of(heads_of(0.6, 0.3), model_of(0.2, 0.2), (), ())[1]
    assert "30 % (20–40) from the border" in verdicts_of(heads_of(0.6, 0.3), model_of(0.2, 0.2), (), ())[1]
    assert verdicts_of(heads_of(0.5), model_of(0.2, 0.2), (), ())[1].startswith("Without lungs these data are hard")


def test_a_source_that_is_not_told_apart_is_not_said_to_be() -> None:
    def probe(low: Any) -> Any:
        return SourceProbe("shown", "Normal", {"a": 20, "b": 20}, Estimate(0.7, low, 0.9, "x"), 0.5, AREA, None)

    assert any(
        "tells where an image comes from" in text
        for text in verdicts_of(heads_of(0.2), model_of(0.2, 0.2), [probe(0.6)], ())
    )
    assert len(verdicts_of(heads_of(0.2), model_of(0.2, 0.2), [probe(0.5)], ())) == 2


def test_the_worst_source_is_named() -> None:
    sources = [
        left_out("a", "sensitivity", 0.9),
        left_out("b", "sensitivity", 0.42),
        left_out("c", "specificity", 0.95),
        left_out("d", "specificity", None),
    ]
    verdict = verdicts_of(heads_of(0.2), model_of(0.2, 0.2), (), sources)[-1]
    assert "sensitivity on b is 42 % (32–52) and specificity on c is 95 % (85–105) at worst: a loss" in verdict
    assert "optimistic bound" in verdict
    good = verdicts_of(heads_of(0.2), model_of(0.2, 0.2), (), sources[:1])[-1]
    assert "sensitivity on a is 90 % (80–100) at worst: it holds there" in good


def gap(low: float, high: float) -> SensitivityGap:
    return SensitivityGap(
        "the test split", "view", "AP", "PA", share(0.9), share(0.7), Estimate(0.2, low, high, "bootstrap")
    )


def map_test(low: float) -> ExplanationTest:
    gain = Estimate(0.2, low, 0.3, "bootstrap")
    return ExplanationTest(None, 60, *[share(0.4)] * 3, gain, *[share(0.1)] * 2, gain)


def test_the_further_questions_are_said_as_what_they_mean() -> None:
    heads = [HeadResult(name, 0.1, AREA, (), share(value)) for name, value in (("histogram", 0.8), ("sharpness", 0.3))]
    normals = RuledOut("the test split", None, "the calibration split", 0.2, share(0.4), share(0.9))
    told = further_verdicts(heads, [gap(0.1, 0.3), gap(-0.1, 0.5)], [normals], [map_test(0.1)], "COVID-19")
    assert "80 % (70–90) from grey levels alone and 30 % (20–40) from sharpness alone" in told[0]
    assert "(1 of 2 comparisons" in told[1]
    assert "view AP 90 % (80–100), PA 70 % (60–80) (the test split)" in told[1]
    assert "40 % (30–50) of the normals of the test split are ruled out" in told[2]
    assert told[2].endswith("90 % (80–100) of the findings are kept.")
    assert "called finding falls by 40 points (30–50)" in told[3]
    assert told[3].endswith("the maps say more than random cells about what the model needs.")


def test_what_is_not_shown_is_not_said_to_be_there() -> None:
    heads = [HeadResult(name, 0.1, AREA, (), share(0.4)) for name in ("histogram", "sharpness")]
    few = replace(gap(0.1, 0.3), gap=not_applicable("too few"))
    (none,) = further_verdicts(heads, [gap(-0.1, 0.5), few], (), (), "COVID-19")
    assert none.startswith("No difference in the sensitivity for COVID-19")
    assert "(1 comparison)" in none
    assert further_verdicts(heads, [few], (), (), "COVID-19")[0].endswith("cannot be said: too few patients.")
    (none,) = further_verdicts(heads, (), (), [map_test(-0.1)], "x")
    assert none.endswith("no better than random cells at saying what the model needs.")
    half = replace(map_test(-0.1), sufficiency_gain=map_test(0.1).sufficiency_gain)
    assert "in one of these two ways only" in further_verdicts(heads, (), (), [half], "x")[0]
    kept = Estimate(0.75, 0.67, 0.82, "Wilson")
    lost = RuledOut("elsewhere", None, "the calibration split", 0.2, share(0.4), kept)
    assert further_verdicts(heads, (), [lost], (), "x")[0].endswith("are kept: fewer than it should keep.")
    assert further_verdicts(heads, (), (), (), "x") == ()


def test_percentages_are_written_as_people_write_them() -> None:
    assert percent(Estimate(0.874, 0.841, 0.9, "x")) == "87 % (84–90)"
    assert percent(Estimate(0.051, -0.12, 0.2, "x")) == "5 % (−12 to 20)"
    assert percent(Estimate(-0.051, -0.12, 0.2, "x")) == "−5 % (−12 to 20)"
    assert percent(Estimate(1.0, None, None, "none", note="y")) == "100 % (no interval)"
    assert percent(not_applicable("of a reason")) == "n/a (of a reason)"
