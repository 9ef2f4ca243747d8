"""Before and after on held-out films: what counts as better, and what is told of a band."""

from datetime import date

import numpy as np
import pytest

from carina.bundles.bundle import Adaptation
from carina.decisions.operating_point import OperatingPointRule
from carina.decisions.policy import Policy, PolicySettings, fit_policy
from carina.evaluation.adaptation.adaptation_words import describe_adaptation
from carina.evaluation.adaptation.held_out import HeldOut, Judgements, hold_out, hold_out_policy, macro_auroc
from carina.evaluation.adaptation.refit import start_from
from carina.evaluation.adaptation.site import SiteFilms
from carina.evaluation.comparison import paired_delong

_FILMS = Adaptation(
    data_fingerprint="",
    images=120,
    patients=120,
    per_finding={"COVID-19": 40},
    first_file=date(2026, 1, 1),
    last_file=date(2026, 1, 2),
    left_out_leaks=0,
    left_out_refused=0,
    strength=1.0,
    macro_auroc_before=0.7,
    macro_auroc_after=0.8,
    gain_low=0.05,
    gain_high=0.15,
)


def _held_out(shipped: np.ndarray, adapted: np.ndarray, labels: np.ndarray, /, **changed: object) -> HeldOut:
    findings = ("COVID-19", "Normal", "Viral Pneumonia")[: shipped.shape[1]]
    said = [Judgements(table, table[:, 0] > 0.5, ()) for table in (shipped, adapted)]
    fields = {
        "findings": findings,
        "flag_finding": "COVID-19",
        "added": (),
        "labels": labels,
        "groups": np.arange(len(labels)),
    }
    return HeldOut(**(fields | {"shipped": said[0], "adapted": said[1], "curve": {}, "curve_end": (0, 0.0)} | changed))  # type: ignore[arg-type]


def _table(labels: np.ndarray, findings: int, noise: float, seed: int) -> np.ndarray:
    logits = np.eye(findings)[labels] + np.random.default_rng(seed).normal(0, noise, (len(labels), findings))
    odds = np.exp(3 * logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def test_of_two_findings_the_gain_is_that_of_either() -> None:
    labels = np.arange(80) % 2
    shipped, adapted = _table(labels, 2, 1.5, 0), _table(labels, 2, 0.7, 1)
    held_out = _held_out(shipped, adapted, labels)
    one = paired_delong(labels == 0, adapted[:, 0], shipped[:, 0], np.arange(80)).difference
    gain = held_out.gain()
    assert (gain.value, gain.low, gain.high) == pytest.approx((one.value, one.low, one.high))
    assert held_out.why_not() is None


def test_the_gain_is_the_difference_of_the_macro_aurocs_and_counts_patients() -> None:
    labels = np.arange(120) % 3
    shipped, adapted = _table(labels, 3, 1.5, 0), _table(labels, 3, 0.7, 1)
    held_out = _held_out(shipped, adapted, labels)
    difference = macro_auroc(labels, adapted, (0, 1, 2)) - macro_auroc(labels, shipped, (0, 1, 2))
    assert held_out.gain().value == pytest.approx(difference)
    # Every film three times, as one patient, says no more than once; as others it would.
    thrice = np.repeat(np.arange(120), 3)
    again, others = (
        _held_out(shipped[thrice], adapted[thrice], labels[thrice], groups=groups).gain()
        for groups in (thrice, np.arange(360))
    )
    width = (held_out.gain().high or 0) - (held_out.gain().low or 0)
    assert (again.high or 0) - (again.low or 0) == pytest.approx(width, rel=0.02)
    assert (others.high or 0) - (others.low or 0) < 0.7 * width


def test_neither_chance_nor_a_finding_that_got_worse_replaces_a_model() -> None:
    labels = np.arange(120) % 3
    shipped = _table(labels, 3, 1.0, 0)
    same = _held_out(shipped, _table(labels, 3, 1.0, 1), labels)
    assert "does not show that the adapted model is better" in (same.why_not() or "")
    assert "does not show" in (_held_out(shipped, shipped, labels).why_not() or "")
    # Better on the whole, and worse at one finding.
    weak = _table(labels, 3, 2.0, 3)
    weak[:, 2] = shipped[:, 2]
    better = _table(labels, 3, 0.1, 4)
    better[:, 2] = np.where(labels == 2, 0.9, 1.0) * shipped[:, 2] * 0.6 + 0.2 * np.random.default_rng(5).random(120)
    assert "the AUROC of Viral Pneumonia fell by -" in (_held_out(weak, better, labels).why_not() or "")


def test_an_added_finding_cannot_make_up_for_known_ones_and_must_be_told_from_them_itself() -> None:
    labels = np.arange(120) % 3
    shipped, adapted = _table(labels, 3, 1.5, 0), _table(labels, 3, 0.7, 1)
    added = {"added": ("Viral Pneumonia",)}
    # The shipped model gives an added finding 0: an AUROC of 0.5, from which anything is a rise.
    shipped[:, 2] = 0
    held_out = _held_out(shipped, adapted, labels, **added)
    assert held_out.compared == (0, 1)
    assert held_out.why_not() is None
    assert [test.finding for test in held_out.aurocs()] == ["COVID-19", "Normal"]
    assert held_out.macro_auroc(held_out.shipped) == pytest.approx(macro_auroc(labels, shipped, (0, 1)))
    # The known findings stay as they were, and the added one is perfect.
    only_added = np.where(np.arange(3) == 2, labels[:, None] == 2, shipped)
    no_better = _held_out(shipped, only_added, labels, **added)
    assert no_better.gain().value == 0
    assert "the macro AUROC on held-out films changed by +0.000" in (no_better.why_not() or "")
    assert no_better.added_aurocs()["Viral Pneumonia"].value == 1
    # The known ones are better, and the added one is told by chance.
    adapted[:, 2] = np.random.default_rng(6).random(120)
    by_chance = _held_out(shipped, adapted, labels, **added).why_not() or ""
    assert by_chance.startswith("the AUROC of the added finding Viral Pneumonia is 0.")


@pytest.mark.parametrize("flagged_after", [0, 10])
def test_a_model_that_ranks_better_and_flags_hardly_anything_replaces_nothing(flagged_after: int) -> None:
    labels = np.arange(120) % 3
    shipped, adapted = _table(labels, 3, 1.5, 0), _table(labels, 3, 0.7, 1)
    positive = np.flatnonzero(labels == 0)
    # All flagged before; after, none (every patient alike, so without an interval) or one in four.
    called = np.isin(np.arange(120), positive[:flagged_after])
    said = {"shipped": Judgements(shipped, labels == 0, ()), "adapted": Judgements(adapted, called, ())}
    held_out = _held_out(shipped, adapted, labels, **said)
    assert (held_out.gain().low or 0) > 0
    said_why = held_out.why_not() or ""
    assert f"the sensitivity of COVID-19 fell from 1.000 to {flagged_after / 40:.3f} on held-out films" in said_why
    # One patient in forty may be chance, and more flags are no fall.
    for others in (np.isin(np.arange(120), positive[1:]), labels >= 0):
        assert (
            _held_out(shipped, adapted, labels, **said | {"adapted": Judgements(adapted, others, ())}).why_not() is None
        )


def test_a_fall_of_the_sensitivity_is_told_with_its_reason_and_what_to_do() -> None:
    labels = np.arange(120) % 3
    shipped, adapted = _table(labels, 3, 1.5, 0), _table(labels, 3, 0.7, 1)
    said = {"shipped": Judgements(shipped, labels < 2, ()), "adapted": Judgements(adapted, labels < 0, ())}
    held_out = _held_out(shipped, adapted, labels, **said)
    logits = np.log(shipped)
    rule = OperatingPointRule(rule="specificity-at-least", target=0.99, finding="COVID-19")
    policy = fit_policy(logits, labels, held_out.findings, rule, PolicySettings(), chosen_on="films", groups=None)
    *_, last = describe_adaptation(held_out, _FILMS, policy, policy, untouched=(), refused=held_out.why_not())
    for words in (
        "fell from 1.000 to 0.000",
        "specificity-at-least 0.99",
        "At your site the shipped threshold has a specificity of 0.500, the new one has 1.000",
        "Label more films of COVID-19",
        "carina recalibrate",
    ):
        assert words in last
    # With another finding flagged before there is nothing to compare: the figures are told all the same.
    other = _held_out(shipped, adapted, labels, **said | {"shipped": Judgements(shipped, None, ())})
    told = "\n".join(describe_adaptation(other, _FILMS, policy, policy, untouched=(), refused=None))
    assert "The adapted model has a sensitivity of 0.000 and a specificity of 1.000." in told


def test_a_finding_of_few_patients_is_not_measured() -> None:
    labels = np.array([0] * 40 + [1] * 40 + [2] * 9)
    held_out = _held_out(_table(labels, 3, 1.0, 0), _table(labels, 3, 0.5, 1), labels)
    assert held_out.measured == (0, 1)
    assert [test.finding for test in held_out.aurocs()] == ["COVID-19", "Normal"]
    assert _held_out(_table(labels, 3, 1.0, 0), _table(labels, 3, 0.5, 1), labels, groups=labels).measured == ()


@pytest.mark.parametrize(("count", "sizes"), [(62, ()), (63, (25,))])
def test_no_point_of_the_learning_curve_has_more_than_half_of_what_it_is_compared_with(
    count: int, sizes: tuple[int, ...]
) -> None:
    labels = np.arange(count) % 2
    embedding = np.random.default_rng(0).normal(0, 1, (count, 4)).astype(np.float32)
    embedding[:, 1] += 3 * labels
    films = SiteFilms(embedding[:, :2], embedding, np.ones(count, np.bool_))
    findings = ("COVID-19", "Normal")
    rule = OperatingPointRule(rule="youden", finding="COVID-19")

    def fit(logits: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Policy:
        return fit_policy(logits, labels, findings, rule, PolicySettings(), chosen_on="films", groups=groups)

    groups = np.arange(count)
    shipped = fit(films.logits, labels, groups)
    held_out = hold_out(films, labels, groups, start_from(findings, findings), shipped, fit)
    assert tuple(held_out.curve) == sizes
    assert held_out.curve_end[0] == 50
    assert held_out.curve_end[1] == pytest.approx(held_out.macro_auroc(held_out.adapted), abs=0.05)
    said = describe_adaptation(held_out, _FILMS, shipped, shipped, untouched=(), refused=None)[-2]
    assert ("it takes 63 films or more" in said) == (not sizes)
    assert ("From 25 to 50 films it " in said) == bool(sizes)


def test_a_band_counts_what_does_not_belong() -> None:
    labels = np.array([0, 1, 1, 2])
    table = np.full((4, 3), 1 / 3)
    said = Judgements(table, np.zeros(4, np.bool_), ("fast-track", "fast-track", "routine", "routine"))
    held_out = _held_out(table, table, labels)
    assert held_out.promises(said) == {"routine": (2, 1), "fast-track": (2, 1)}
    assert held_out.promises(Judgements(table, None, ())) == {}


def test_a_policy_is_held_out_by_patients_and_the_weights_stay() -> None:
    rng = np.random.default_rng(9)
    groups = np.repeat(np.arange(100), 3)
    labels = (np.arange(100) % 3)[groups]
    logits = np.eye(3)[labels] + rng.normal(0, 0.7, (300, 3))
    findings = ("COVID-19", "Normal", "Viral Pneumonia")
    rule = OperatingPointRule(finding="COVID-19", rule="specificity-at-least", target=0.9)
    # The shipped model is far too sure of the first finding.
    shipped = fit_policy(logits - [3.0, 0, 0], labels, findings, rule, PolicySettings(), chosen_on="elsewhere")
    seen: list[set[int]] = []

    def fit(some: np.ndarray, of: np.ndarray, patients: np.ndarray) -> Policy:
        seen.append(set(patients.tolist()))
        return fit_policy(some, of, findings, rule, PolicySettings(), chosen_on="here", groups=patients)

    held_out = hold_out_policy(logits, labels, groups, shipped, fit)
    # Each patient was left out of one fit, whole.
    assert len(seen) == 5
    assert [sum(patient not in each for each in seen) for patient in range(100)] == [1] * 100
    assert held_out.shipped.probabilities == pytest.approx(shipped.probabilities(logits))
    (brier,) = [test for test in held_out.briers() if test.finding == "COVID-19"]
    assert brier.value_a is not None
    assert brier.value_b is not None
    assert brier.value_a < brier.value_b
    assert brier.difference.high is not None
    assert brier.difference.high < 0
    assert {test.measure for test in held_out.calls()} == {"sensitivity", "specificity"}
    assert set(held_out.adapted.priority) <= {"fast-track", "expedite", "secondary-review", "routine"}
