"""The model against the site's readers: figures by hand, the sentence, and what does not count."""

import numpy as np
import pytest

from carina.dicom.listener.store import digest_of
from carina.service import good_enough
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Judgement, Study
from carina.service.described import described_in_use
from carina.service.good_enough import SiteFigures, measure_site
from carina.service.mode import change_mode
from carina.service.people.people_tables import Setting, Verdict
from carina.service.verdicts import give_verdict
from carina.statistics.intervals import wilson_interval
from clinic import Clinic, clinic, quick_passwords

__all__ = ["clinic", "quick_passwords"]


@pytest.fixture(autouse=True)
def no_verdicts(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin without verdicts, and take few replicates for its intervals."""
    monkeypatch.setattr(good_enough, "_REPLICATES", 100)
    with writing(clinic.site.engine) as session:
        session.query(Verdict).delete()
        # As if the site had never been live: what a live worklist showed gives no blind verdict.
        session.query(Setting).filter(Setting.key == "mode").delete()


@pytest.fixture(scope="module")
def pool(clinic: Clinic) -> dict[str, list[int]]:
    """Return studies by what the model says of them."""
    return {
        "fast": [clinic.add_study("fast-track", 0.96, PatientSex="F", PatientAge="050Y") for _ in range(24)],
        "routine": [clinic.add_study("routine", 0.01, finding="Normal", PatientSex="M") for _ in range(40)],
        "other": [clinic.add_study("expedite", 0.05, finding="Viral Pneumonia") for _ in range(12)],
        "refused": [clinic.add_study("not-assessable", 0.3)],
    }


def say(clinic: Clinic, studies: list[int], finding: str | None, name: str = "berta") -> None:
    number = clinic.numbers[name]
    for study in studies:
        give_verdict(
            clinic.site.engine,
            study,
            account_id=number,
            actor=f"account {number}",
            finding=finding,
            findings=clinic.findings,
        )


def measured(clinic: Clinic) -> SiteFigures:
    with reading(clinic.site.engine) as session:
        described = described_in_use(clinic.site, session)
        return measure_site(session, described.model_id, described.run.policy)


def test_without_a_verdict_nothing_is_known(clinic: Clinic, pool: dict[str, list[int]]) -> None:
    figures = measured(clinic)
    assert figures.answer == "not-known"
    assert figures.verdicts.counted == 0
    assert figures.sensitivity.value is None
    assert "no study with COVID-19 has a verdict" in figures.sentence


def test_the_figures_are_those_of_a_count_by_hand(clinic: Clinic, pool: dict[str, list[int]]) -> None:
    say(clinic, pool["fast"][:18], "COVID-19")
    say(clinic, pool["fast"][18:], "Normal")
    say(clinic, pool["routine"][:39], "Normal")
    say(clinic, pool["routine"][39:], "COVID-19")
    say(clinic, pool["other"], "Viral Pneumonia")
    figures = measured(clinic)
    assert (figures.positives, figures.negatives) == (19, 57)
    assert figures.sensitivity == wilson_interval(18, 19)
    assert figures.specificity == wilson_interval(51, 57)
    assert figures.agreement == wilson_interval(69, 76)
    routine, fast = figures.promises
    assert (routine.share, fast.share) == (wilson_interval(1, 40), wilson_interval(6, 24))
    assert (routine.kept, fast.kept) == ("not-known", "broken")
    assert figures.answer == "no"
    assert figures.sentence.startswith("No: of 24 studies in the fast-track band, 6 were not COVID-19 (25 %)")
    by = {division.by: {part.name: part for part in division.parts} for division in figures.divisions}
    assert by["sex"]["female"].sensitivity.value == 1.0
    assert by["sex"]["male"].with_finding == 1


def test_promises_are_kept_and_the_rest_waits_for_more(clinic: Clinic, pool: dict[str, list[int]]) -> None:
    say(clinic, pool["fast"], "COVID-19")
    say(clinic, pool["routine"], "Normal")
    figures = measured(clinic)
    routine, _ = figures.promises
    # 224 without a wrong one are the fewest that show 2 %, however often one looks; for one look 149 would do.
    assert routine.more == 224 - 40
    assert figures.answer == "not-known"
    assert figures.more is not None
    assert figures.could_wait.value == 1.0


def test_a_sensitivity_below_what_was_reached_before_is_said(clinic: Clinic, pool: dict[str, list[int]]) -> None:
    say(clinic, pool["other"], "COVID-19")
    say(clinic, pool["routine"], "Normal")
    figures = measured(clinic)
    assert figures.answer == "no"
    assert "the sensitivity for COVID-19 is 0 % here" in figures.sentence


def test_what_does_not_count_is_counted(clinic: Clinic, pool: dict[str, list[int]]) -> None:
    say(clinic, pool["fast"][:2], "COVID-19")
    say(clinic, pool["fast"][:1], "Normal", "boris")
    say(clinic, pool["routine"][:1], None)
    say(clinic, pool["refused"], "Normal")
    # A second thought after the answer was shown does not count, and nor does a verdict on a live site.
    say(clinic, pool["fast"][1:2], "Normal")
    change_mode(clinic.site.engine, "live", "It was good enough here.", account_id=clinic.numbers["anna"])
    say(clinic, pool["other"][:3], "Normal")
    change_mode(clinic.site.engine, "silent", "The test has ended.", account_id=clinic.numbers["anna"])
    verdicts = measured(clinic).verdicts
    assert (verdicts.counted, verdicts.disputed, verdicts.cannot_tell) == (1, 1, 1)
    assert (verdicts.not_blind, verdicts.not_judged) == (3, 1)


def test_the_page_says_it(clinic: Clinic, pool: dict[str, list[int]]) -> None:
    say(clinic, pool["fast"][:18], "COVID-19")
    say(clinic, pool["fast"][18:], "Normal")
    page = clinic.client("berta").get("/good-enough").text
    assert "No: of 24 studies in the fast-track band" in page
    assert "a lucky “yes” becomes more likely" in page
    assert "An administrator may change that" in page


def add_read(clinic: Clinic, place: int, finding: str, p_flag: float, priority: str) -> None:
    """Add a study that was judged and read, by its rows alone."""
    key = f"read {place} {finding} {now()}"
    rest = (1 - p_flag) / (len(clinic.findings) - 1)
    shares = dict.fromkeys(clinic.findings, rest) | {clinic.findings[0]: p_flag}
    with writing(clinic.site.engine) as session:
        study = Study(key=digest_of(key.encode()), source="upload", arrived_at=now(), changed_at=now())
        session.add(study)
        session.flush()
        image = Image(digest=study.key, study_id=study.id, name="", kind="raster", bytes=1, received_at=now())
        image.state = "judged"
        session.add(image)
        session.flush()
        study.image_id = image.id
        said = {"priority": priority, "code": "x", "reason": "x", "reservations": [], "probabilities": shares}
        session.add(Judgement(image_id=image.id, model_id=clinic.model_id, at=now(), probability=p_flag, **said))
        given = {"study_id": study.id, "account_id": clinic.numbers["berta"], "model_id": clinic.model_id}
        session.add(Verdict(**given, at=now(), kind="other", finding=finding, note="", blind=True))


@pytest.mark.parametrize(("found", "says_no"), [(0.3, True), (0.98, False)])
def test_a_model_that_is_not_good_enough_is_told_before_200_verdicts(
    clinic: Clinic, found: float, says_no: bool
) -> None:
    """Benchmark 8's property: asked after every 20 verdicts, of which a fifth have the finding."""
    rng, answers = np.random.default_rng(8), dict[int, str]()
    for place in range(200):
        sick = place % 5 == 0
        called = sick and rng.random() < found
        add_read(clinic, place, "COVID-19" if sick else "Normal", 0.97 if called else 0.01, "expedite")
        if (place + 1) % 20 == 0:
            answers[place + 1] = measured(clinic).answer
    assert ("no" in list(answers.values())[:-1]) == says_no
    assert answers[200] == ("no" if says_no else "not-known")
