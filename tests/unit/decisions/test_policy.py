"""A policy is fitted in one go, keeps its parts apart, and says what a new one changed."""

import numpy as np
import pytest

from carina.decisions.band_fitting import choose_fitting_part
from carina.decisions.calibration import fit_calibration
from carina.decisions.change import describe_change
from carina.decisions.operating_point import OperatingPointRule, ThresholdRule
from carina.decisions.policy import Policy, PolicySettings, fit_policy
from carina.decisions.probabilities import softmax
from carina.errors import ConfigurationError

FINDINGS = ("COVID-19", "Normal", "Viral Pneumonia")
RULE = OperatingPointRule(finding="COVID-19", rule="specificity-at-least", target=0.98)


def draw(patients: tuple[int, ...] = (600, 1500, 300), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(patients)), patients)
    logits = rng.normal(size=(len(labels), len(patients)))
    logits[np.arange(len(labels)), labels] += 3.5
    return 4 * logits + np.arange(len(patients)), labels


def fit(
    logits: np.ndarray,
    labels: np.ndarray,
    rule: OperatingPointRule = RULE,
    groups: np.ndarray | None = None,
    findings: tuple[str, ...] = FINDINGS,
    **settings: object,
) -> Policy:
    chosen = PolicySettings(**settings)
    return fit_policy(logits, labels, findings, rule, chosen, chosen_on="toy data", groups=groups)


def test_it_calibrates_on_the_fitting_third_alone() -> None:
    logits, labels = draw()
    policy = fit(logits, labels)
    fitting = choose_fitting_part(labels)
    wanted = fit_calibration(logits[fitting], labels[fitting], "vector", fitted_on="toy data (fitting third)")
    assert policy.calibration == wanted
    assert policy.calibration.images == 800
    # The images that test the bands cannot move the map that they are judged with.
    spoiled = logits.copy()
    spoiled[~fitting] = 0
    assert fit(spoiled, labels).calibration == wanted
    assert policy.bands.fitting_patients == (200, 500, 100)
    assert policy.bands.testing_patients == (400, 1000, 200)


def test_probabilities_are_calibrated_and_points_chosen_on_all_of_them() -> None:
    logits, labels = draw()
    policy = fit(logits, labels)
    probabilities = policy.probabilities(logits)
    assert not np.allclose(probabilities, softmax(logits), atol=0.05)
    called = probabilities[:, 0] >= policy.operating_point.threshold
    assert policy.operating_point.true_positives == (called & (labels == 0)).sum()
    assert (policy.operating_point.positives, policy.operating_point.negatives) == (600, 1800)
    assert policy.operating_point.specificity >= 0.98


def test_youden_and_a_sensitive_point_come_with_it_once() -> None:
    logits, labels = draw()
    extra = (ThresholdRule(rule="youden"), ThresholdRule(rule="specificity-at-least", target=0.9))
    policy = fit(logits, labels, extra_operating_points=extra)
    assert [point.in_words() for point in policy.operating_points] == [
        "specificity-at-least 0.98",
        "youden",
        "specificity-at-least 0.9",
        "sensitivity-at-least 0.95",
    ]
    youden = OperatingPointRule(finding="COVID-19", rule="youden")
    assert [point.rule for point in fit(logits, labels, youden).operating_points] == ["youden", "sensitivity-at-least"]


def test_routine_begins_where_nothing_is_flagged() -> None:
    logits, labels = draw()
    for target in (0.9, 0.98, 0.999):
        policy = fit(logits, labels, RULE.model_copy(update={"target": target}))
        routine = policy.thresholds_at().routine
        assert routine is None or routine > 1 - policy.operating_point.threshold
    assert fit(logits, labels).thresholds_at().routine is not None


def test_patients_are_kept_together_and_counted_once() -> None:
    logits, labels = draw((120, 300, 60))
    twice = np.repeat(np.arange(480), 2)
    single, double = fit(logits, labels), fit(logits[twice], labels[twice], groups=twice)
    assert double.bands == single.bands
    np.testing.assert_allclose(double.calibration.scale, single.calibration.scale)
    assert double.operating_point.positives == 2 * single.operating_point.positives
    # Counted as strangers they would promise more than is known.
    strangers = fit(logits[twice], labels[twice])
    assert sum(strangers.bands.testing_patients) == 2 * sum(single.bands.testing_patients)


def test_it_survives_json() -> None:
    policy = fit(*draw())
    again = Policy.model_validate_json(policy.model_dump_json())
    assert again == policy
    assert again.thresholds_at(0.1) == policy.thresholds_at(0.1)


def test_a_few_images_are_a_policy_that_promises_nothing() -> None:
    policy = fit(*draw((1, 2, 0)))
    assert (policy.thresholds_at().routine, policy.thresholds_at().fast_track) == (None, None)
    assert np.isfinite(policy.probabilities(np.zeros((1, 3)))).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": RULE.model_copy(update={"finding": "Abscess"})}, r"for 'Abscess'\. Name one of: COVID-19, Normal"),
        ({"rule": RULE.model_copy(update={"finding": "Normal"})}, r"'Normal'\. Name one that is not Normal"),
        ({"findings": ("COVID-19", "Normal")}, r"a column for each of COVID-19, Normal\. Received: shape \(2400, 3\)"),
        ({"labels": np.ones(2400, int)}, r"needs images with and without it.*toy data has 0 with and 2400 without"),
        ({"logits": np.full((2400, 3), np.nan)}, r"no finite number"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change: dict[str, object], message: str) -> None:
    logits, labels = draw()
    with pytest.raises(ConfigurationError, match=message):
        fit(**{"logits": logits, "labels": labels, **change})


def test_settings_refuse_what_they_do_not_know() -> None:
    for wrong in ({"calibration": "isotonic"}, {"alpha": 0}, {"confidence": 1}, {"gamma": 1}):
        with pytest.raises(ValueError, match=r"Input should be|Extra inputs"):
            PolicySettings(**wrong)


def test_parts_of_another_model_are_refused() -> None:
    policy = fit(*draw())
    parts = {name: getattr(policy, name) for name in Policy.model_fields}
    with pytest.raises(ValueError, match=r"calibration and bands must be for the findings COVID-19, Normal, Abscess"):
        Policy(**{**parts, "findings": ("COVID-19", "Normal", "Abscess")})
    with pytest.raises(ValueError, match=r"operating points and bands must be for Viral Pneumonia"):
        Policy(**{**parts, "flag_finding": "Viral Pneumonia"})


def test_the_change_is_told_in_numbers() -> None:
    old, new = fit(*draw((60, 150, 30))), fit(*draw(seed=1))
    lines = describe_change(old, new)
    assert all(line.endswith(".") for line in lines)
    text = "\n".join(lines)
    for wanted in (
        f"temperature {old.calibration.temperature:.3f}, became vector, temperature {new.calibration.temperature:.3f}",
        f"on {new.calibration.images} images of toy data (fitting third)",
        f"Calibration of Normal: scale {old.calibration.scale[1]:.3f} became {new.calibration.scale[1]:.3f}",
        f"Threshold of COVID-19: {old.operating_point.threshold:.4f} (specificity-at-least 0.98) became",
        f"{new.operating_point.true_positives} of 600",
        f"Band routine: there was none before; now it begins at P(Normal) = {new.thresholds_at().routine:.6g}. The pro",
        "The promise: at most 2 % of it is not Normal (confidence 95 %, prevalence of COVID-19 0.25). There were ",
        "There were enough patients.",
        "(youden) sensitivity is",
    ):
        assert wanted in text
    back = "\n".join(describe_change(new, old))
    assert f"Band routine: before, it began at P(Normal) = {new.thresholds_at().routine:.6g}" in back
    assert "; now there is none. The promise: at most 2 % of it is not Normal" in back
    assert "There were too few patients: at the very least these more are needed: " in back
    same = "\n".join(describe_change(new, new))
    threshold = f"{new.thresholds_at().fast_track:.6g}"
    assert f"Band fast-track: before, it began at P(COVID-19) = {threshold}; now it begins at P(COVID" in same
    assert "at most 5 % of it is anything but COVID-19 (confidence 95 %" in same
    rarer = "\n".join(describe_change(fit(*draw((600, 1500, 900))), new))
    assert "(at a prevalence of 0.2); now " in rarer
    assert "nowhere" not in text + back + same
    assert "No number of patients would allow one" in "\n".join(describe_change(old, new, prevalence=1.0))


def test_the_change_tells_a_bad_model_from_too_few_patients_and_a_trivial_threshold() -> None:
    logits, labels = draw()
    useless = fit(np.random.default_rng(0).permutation(logits), labels)
    text = "\n".join(describe_change(fit(logits, labels), useless))
    assert "enough patients for a model without mistakes, but this one makes too many to keep the promise" in text
    constant = "\n".join(describe_change(useless, fit(np.zeros_like(logits), labels)))
    assert "the rule is met only by a threshold that tells nothing apart" in constant


def test_changes_are_told_of_one_model_only() -> None:
    policy = fit(*draw())
    other = fit(*draw(), RULE.model_copy(update={"finding": "Viral Pneumonia"}))
    with pytest.raises(ConfigurationError, match=r"Compare policies of one model"):
        describe_change(policy, other)
