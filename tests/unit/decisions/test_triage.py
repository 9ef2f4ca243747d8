"""Triage follows the published reading: flag at high specificity, never dismiss a Normal where disease is frequent."""

import pytest

from carina.decisions.operating_point import OperatingPoint
from carina.decisions.triage import choose_triage, missed_share

# Sensitivity 0.9, specificity 0.98, prevalence 0.2 on the data that chose it.
POINT = OperatingPoint(
    finding="COVID-19",
    rule="specificity-at-least",
    target=0.98,
    threshold=0.6,
    chosen_on="the calibration split",
    positives=200,
    true_positives=180,
    negatives=800,
    true_negatives=784,
)


def probabilities(covid: float, normal: float, viral: float) -> dict[str, float]:
    return {"COVID-19": covid, "Normal": normal, "Viral Pneumonia": viral}


def test_the_missed_share_is_bayes_rule_on_the_lower_bounds() -> None:
    # Wilson's lower 95 % bounds of 180 / 200 and 784 / 800, from statsmodels' proportion_confint.
    sensitivity, specificity = 0.850577, 0.967732
    expected = (1 - sensitivity) * 0.2 / ((1 - sensitivity) * 0.2 + specificity * 0.8)
    assert missed_share(POINT, 0.2) == pytest.approx(expected, rel=1e-3)
    assert missed_share(POINT, 0.0) == 0.0
    assert missed_share(POINT, 1.0) == 1.0


def test_three_of_three_found_is_no_proof() -> None:
    few = POINT.model_copy(update={"positives": 3, "true_positives": 3})
    assert few.sensitivity == 1.0
    assert missed_share(few, 0.2) > 0.1


@pytest.mark.parametrize("prevalence", [None, float("nan"), 0.5])
def test_no_prevalence_or_no_number_is_never_routine(prevalence: float | None) -> None:
    sure = POINT.model_copy(update={"positives": 100_000, "true_positives": 99_900})
    triage = choose_triage(
        "Normal", probabilities(0.0, 1.0, 0.0), sure if prevalence != 0.5 else POINT, prevalence=prevalence
    )
    assert triage.priority == "secondary-review"


@pytest.mark.parametrize(
    ("finding", "figures", "prevalence", "priority", "reason"),
    [
        ("COVID-19", (0.6, 0.3, 0.1), None, "fast-track", "P(COVID-19) = 0.60 is at or above the threshold 0.60"),
        ("COVID-19", (0.9, 0.1, 0.0), 0.001, "fast-track", "specificity 0.980 on the calibration split"),
        ("COVID-19", (0.5, 0.4, 0.1), None, "expedite", "under the threshold 0.60"),
        (
            "Viral Pneumonia",
            (0.1, 0.2, 0.7),
            None,
            "expedite",
            "Viral Pneumonia is the most probable finding (P = 0.70)",
        ),
        ("Normal", (0.1, 0.9, 0.0), None, "secondary-review", "assumed prevalence of 20.0%, up to 3.7%"),
        ("Normal", (0.1, 0.9, 0.0), 0.5, "secondary-review", "a prevalence of 50.0%"),
        ("Normal", (0.1, 0.9, 0.0), 0.01, "routine", "still to be read"),
    ],
)
def test_the_reading(
    finding: str, figures: tuple[float, float, float], prevalence: float | None, priority: str, reason: str
) -> None:
    triage = choose_triage(finding, probabilities(*figures), POINT, prevalence=prevalence)
    assert triage.priority == priority
    assert reason in triage.reason


def test_another_flagged_finding_is_never_called_isolate_as_covid() -> None:
    point = POINT.model_copy(update={"finding": "Tuberculosis"})
    triage = choose_triage("Tuberculosis", {"Tuberculosis": 0.9, "Normal": 0.1}, point)
    assert triage.priority == "expedite"
    assert "isolate" not in triage.reason
