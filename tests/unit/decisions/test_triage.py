"""Triage follows the published reading: flag what is seldom wrong, never dismiss a Normal where disease is frequent."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from carina.decisions.bands import BandCounts, Bands
from carina.decisions.calibration import Calibration
from carina.decisions.operating_point import OperatingPoint
from carina.decisions.policy import Policy
from carina.decisions.triage import PRIORITIES, READING_PLACES, REASON_CODES, Triage, choose_triage, decide
from carina.errors import ConfigurationError
from carina.findings import COVID_19, NORMAL, OTHER_OPACITY, VIRAL_PNEUMONIA

FINDINGS = (COVID_19, NORMAL, VIRAL_PNEUMONIA)


def make_policy(findings: tuple[str, ...] = FINDINGS, *, patients: int = 3000, flag: str = COVID_19) -> Policy:
    """Operating point 0.6, routine from 0.9, fast-track from 0.95; nobody was judged wrongly there."""
    k = len(findings)

    def beyond(right: str, threshold: float) -> BandCounts:
        rows = tuple(
            tuple(patients if finding == right else patients if t < threshold else 0 for t in (0.8, 0.9, 0.95))
            for finding in findings
        )
        return BandCounts(fitting=rows, testing=rows)

    return Policy(
        findings=findings,
        flag_finding=flag,
        calibration=Calibration(
            method="none",
            scale=(1.0,) * k,
            offset=(0.0,) * k,
            fitted_on="the calibration split",
            images=100,
            nll_before=0.1,
            nll_after=0.1,
        ),
        operating_points=(
            OperatingPoint(
                finding=flag,
                rule="specificity-at-least",
                target=0.98,
                threshold=0.6,
                chosen_on="the calibration split",
                positives=200,
                true_positives=180,
                negatives=800,
                true_negatives=784,
            ),
        ),
        bands=Bands(
            findings=findings,
            flag_finding=flag,
            thresholds=(0.8, 0.9, 0.95),
            fitting_patients=(patients,) * k,
            testing_patients=(patients,) * k,
            routine=beyond(NORMAL, 0.9) if NORMAL in findings else None,
            fast_track=beyond(flag, 0.95),
            alpha=0.02,
            beta=0.05,
            confidence=0.95,
            chosen_on="the calibration split",
        ),
    )


POLICY = make_policy()
FEW = make_policy(patients=5)


def figures(covid: float, normal: float, viral: float) -> dict[str, float]:
    return {COVID_19: covid, NORMAL: normal, VIRAL_PNEUMONIA: viral}


@pytest.mark.parametrize(
    ("covid", "normal", "viral", "prevalence", "code", "priority", "reason"),
    [
        (
            0.95,
            0.03,
            0.02,
            None,
            "flag-in-band",
            "fast-track",
            "P(COVID-19) = 0.950 is at or above the threshold 0.950",
        ),
        (0.97, 0.02, 0.01, 0.2, "flag-in-band", "fast-track", "at most 5% are not COVID-19 (95% confidence, stated p"),
        (0.97, 0.02, 0.01, 0.001, "flag-no-band", "expedite", "no fast-track band can be promised (95% confidence,"),
        (
            0.94,
            0.03,
            0.03,
            None,
            "flag-below-band",
            "expedite",
            "specificity 0.980 on the calibration split, but under",
        ),
        (0.6, 0.3, 0.1, None, "flag-below-band", "expedite", "P(COVID-19) = 0.600 is at or above the threshold 0.600"),
        (0.5, 0.4, 0.1, None, "flag-most-likely", "expedite", "COVID-19 is the most probable finding (P = 0.500), but"),
        (0.5, 0.4, 0.1, None, "flag-most-likely", "expedite", "0.600: findings other than Normal are expedited."),
        (0.1, 0.2, 0.7, None, "other-finding", "expedite", "Viral Pneumonia is the most probable finding (P = 0.700"),
        (0.05, 0.9, 0.05, None, "normal-in-band", "routine", "P(Normal) = 0.900 is at or above the threshold 0.900 of"),
        (0.05, 0.9, 0.05, None, "normal-in-band", "routine", "at most 2% are not Normal (95% confidence, assumed pr"),
        (0.05, 0.9, 0.05, None, "normal-in-band", "routine", "COVID-19 33.3%); no finding is ruled out."),
        (
            0.05,
            0.89,
            0.06,
            None,
            "normal-below-band",
            "secondary-review",
            "P(Normal) = 0.890 is under the threshold 0",
        ),
        (
            0.0,
            1.0,
            0.0,
            0.9,
            "normal-no-band",
            "secondary-review",
            "at no threshold can it be promised that at most 2% ",
        ),
        (0.0, 0.99997, 0.00003, 0.9, "normal-no-band", "secondary-review", "stated prevalence of COVID-19 90%)."),
        (
            0.0,
            1.0,
            0.0,
            math.nan,
            "normal-no-band",
            "secondary-review",
            "confidence, prevalence of COVID-19 unknown",
        ),
        (1.0, 0.0, 0.0, math.nan, "flag-no-band", "expedite", "no fast-track band can be promised"),
    ],
)
def test_the_reading(
    covid: float, normal: float, viral: float, prevalence: float | None, code: str, priority: str, reason: str
) -> None:
    triage = choose_triage(figures(covid, normal, viral), POLICY, prevalence=prevalence)
    assert (triage.priority, triage.code) == (priority, code)
    assert reason in triage.reason


def test_a_high_prevalence_moves_normal_to_a_second_reading() -> None:
    seen = [choose_triage(figures(0.01, 0.98, 0.01), POLICY, prevalence=p).priority for p in np.linspace(0, 1, 21)]
    assert seen[0] == "routine"
    assert seen[-1] == "secondary-review"
    assert seen == sorted(seen)


def test_few_calibration_images_promise_nothing() -> None:
    assert choose_triage(figures(0, 1, 0), FEW).priority == "secondary-review"
    assert choose_triage(figures(1, 0, 0), FEW).priority == "expedite"


@pytest.mark.parametrize("prevalence", [None, 0.1])
def test_what_was_refused_is_not_assessable_whatever_the_model_says(prevalence: float | None) -> None:
    for given in (figures(1, 0, 0), figures(0, 1, 0), figures(math.nan, 0, 0)):
        triage = choose_triage(given, POLICY, prevalence=prevalence, refused="No lungs were found. ")
        assert (triage.priority, triage.code) == ("not-assessable", "refused")
        assert triage.reason == "Not judged: No lungs were found; nothing is said about its findings."


def near(threshold: float) -> list[float]:
    """Return probabilities on both sides of a threshold, from far to nearer than any usual number of decimals shows."""
    return [threshold + side * off for off in (0.04, 0.01, 0.004, 0.0004, 1e-6, 1e-9) for side in (-1, 1)]


@pytest.mark.parametrize(
    ("finding", "probability"),
    [*((COVID_19, p) for at in (0.6, 0.95) for p in near(at)), *((NORMAL, p) for p in near(0.9))],
)
def test_numbers_are_shown_as_they_compare(finding: str, probability: float) -> None:
    """A reason never says that a probability is under a threshold that it is shown as equal to, or above."""
    given = dict.fromkeys(FINDINGS, (1 - probability) / 2) | {finding: probability}
    reason = choose_triage(given, POLICY).reason
    shown = float(re.search(r"= (0\.\d+)", reason).group(1))  # type: ignore[union-attr]
    under = [float(number) for number in re.findall(r"under the threshold (0\.\d+)", reason)]
    reached = [float(number) for number in re.findall(r"at or above the threshold (0\.\d+)", reason)]
    assert under or reached
    assert all(shown < number for number in under), reason
    assert all(shown >= number for number in reached), reason


def test_no_number_is_not_assessable() -> None:
    for broken in (math.nan, math.inf):
        triage = choose_triage(figures(0.0, 1.0, broken), POLICY)
        assert (triage.priority, triage.code) == ("not-assessable", "no-number")
        assert "the model gave no number" in triage.reason


@pytest.mark.parametrize("refused", [None, "it is a hand"])
@pytest.mark.parametrize("prevalence", [-0.01, 1.01, math.inf, -math.inf])
def test_a_prevalence_that_is_none_is_refused(prevalence: float, refused: str | None) -> None:
    with pytest.raises(ConfigurationError, match=r"The prevalence is .*Give a share between 0 and 1"):
        choose_triage(figures(0, 1, 0), POLICY, prevalence=prevalence, refused=refused)


def test_another_opacity_is_expedited_and_called_nothing_else() -> None:
    policy = make_policy((*FINDINGS, OTHER_OPACITY))
    triage = choose_triage({**figures(0.2, 0.1, 0.1), OTHER_OPACITY: 0.6}, policy)
    assert (triage.priority, triage.code) == ("expedite", "other-opacity")
    assert triage.reason.startswith("An opacity of another kind, which the model does not name, is the most probable f")
    for name in (COVID_19, VIRAL_PNEUMONIA, OTHER_OPACITY):
        assert name not in triage.reason


def test_another_flagged_finding_is_named_and_not_covid() -> None:
    policy = make_policy(("Tuberculosis", NORMAL), flag="Tuberculosis")
    triage = choose_triage({"Tuberculosis": 0.97, NORMAL: 0.03}, policy)
    assert triage.priority == "fast-track"
    assert "at most 5% are not Tuberculosis" in triage.reason
    assert "COVID" not in triage.reason


def everything_said() -> Iterator[Triage]:
    """Yield what triage says of many radiographs, so that every rule gives some of it."""
    four = make_policy((*FINDINGS, OTHER_OPACITY))
    yield choose_triage({**figures(0.2, 0.1, 0.1), OTHER_OPACITY: 0.6}, four)
    yield choose_triage(figures(0, 1, 0), POLICY, refused="it looks rotated")
    yield choose_triage(figures(0, 1, math.nan), POLICY)
    for row in [*np.random.default_rng(0).dirichlet([0.2] * 3, 300), *np.eye(3)]:
        for policy in (POLICY, FEW):
            for prevalence in (None, 0.0, 0.001, 0.3, 1.0, math.nan):
                yield choose_triage(figures(*row.tolist()), policy, prevalence=prevalence)


def test_each_code_goes_with_one_priority_and_all_occur() -> None:
    seen = {(triage.code, triage.priority) for triage in everything_said()}
    assert {code for code, _ in seen} == set(REASON_CODES)
    assert len(seen) == len(REASON_CODES)
    assert {priority for _, priority in seen} == set(PRIORITIES)


def test_no_reason_tells_anybody_what_to_do() -> None:
    """Local action belongs to the site: a reason says what was found, and why it is ranked so."""
    instruction = re.compile(
        r"isolat|confirm|test\b|repeat|treat|admit|discharge|second reading|read\b|must|should|\bdue\b|soon",
        re.IGNORECASE,
    )
    for triage in everything_said():
        assert not instruction.search(triage.reason), triage.reason


def test_every_priority_has_its_place_in_the_reading_order() -> None:
    assert set(READING_PLACES) == set(PRIORITIES)
    assert sorted(PRIORITIES, key=READING_PLACES.__getitem__) == [
        "fast-track",
        "expedite",
        "secondary-review",
        "not-assessable",
        "routine",
    ]


def test_without_normal_nothing_is_routine() -> None:
    policy = make_policy(("Abscess", "Tuberculosis"), flag="Tuberculosis")
    for share in (0.0, 0.3, 0.55, 0.7, 1.0):
        triage = choose_triage({"Abscess": 1 - share, "Tuberculosis": share}, policy)
        assert triage.priority in ("expedite", "fast-track")


def test_every_reason_is_one_sentence_with_figures() -> None:
    rng = np.random.default_rng(0)
    for row in [*rng.dirichlet([0.2] * 3, 300), *np.eye(3)]:
        for policy in (POLICY, FEW):
            for prevalence in (None, 0.0, 0.001, 0.3, 1.0, math.nan):
                triage = choose_triage(figures(*row.tolist()), policy, prevalence=prevalence)
                assert triage.reason.endswith(".")
                # No full stop but the last and those inside numbers.
                assert not re.search(r"\.(?!\d)", triage.reason[:-1]), triage.reason
                assert re.search(r"0\.\d\d|1\.00", triage.reason)


def test_a_probability_under_one_is_not_shown_as_one() -> None:
    reason = choose_triage(figures(0.00004, 0.99996, 0.0), POLICY).reason
    assert "P(Normal) = 0.99996" in reason
    assert "P(Normal) = 1.00" in choose_triage(figures(0.0, 1.0, 0.0), POLICY).reason


def test_decisions_of_many_are_those_of_each() -> None:
    policy = make_policy()
    rows = np.array([[0.97, 0.02, 0.01], [0.7, 0.2, 0.1], [0.03, 0.94, 0.03], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])
    decided = decide(rows, policy)
    assert decided == [
        (FINDINGS[row.argmax()], choose_triage(dict(zip(FINDINGS, row.tolist(), strict=True)), policy).priority)
        for row in rows
    ]
    assert [priority for _, priority in decided] == [
        "fast-track",
        "expedite",
        "routine",
        "secondary-review",
        "expedite",
    ]


def test_the_page_on_priorities_has_every_code_with_its_priority() -> None:
    page = (Path(__file__).parents[3] / "docs" / "explanation" / "priorities.md").read_text("utf-8")
    written = re.findall(r"^\| `([a-z-]+)` \| `([a-z-]+)` \|", page, re.MULTILINE)
    assert set(written) == {(triage.code, triage.priority) for triage in everything_said()}
    # From the first to the last, as images are read.
    assert written == sorted(written, key=lambda row: READING_PLACES[row[1]])  # type: ignore[index]
