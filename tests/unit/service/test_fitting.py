"""A model is fitted to the site's verdicts: who may ask, which films, what is kept, and two models side by side."""

import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from carina.bundles.bundle import released_bundle
from carina.dicom.listener.judging import Failure
from carina.dicom.transport.log import EventLog
from carina.errors import ConfigurationError
from carina.service.audit_log.audit_tables import AuditEvent
from carina.service.comparing import compare_models
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Judgement, Model, Study
from carina.service.described import describe
from carina.service.fitting import site_fitter
from carina.service.fitting.fit import Film, Fitted, _in_words, fit
from carina.service.fitting.fitting_orders import ask_for_fitting
from carina.service.fitting.fitting_report import BandBeforeAfter, BeforeAfter, FittingReport
from carina.service.fitting.fitting_tables import Fitting
from carina.service.fitting.site_fitter import SiteFitter
from carina.service.mode import change_model, retire_model
from carina.service.people.people_tables import Verdict
from carina.service.truth import judged_studies
from clinic import Clinic, clinic, quick_passwords
from unit.service.test_good_enough import say

__all__ = ["clinic", "quick_passwords"]

REASON = "The specificity here is too low."
REPORT = FittingReport(
    studies=3,
    patients=2,
    figures=(
        BeforeAfter(
            measure="sensitivity",
            finding="COVID-19",
            before=0.5,
            after=0.75,
            difference=0.25,
            low=0.1,
            high=0.4,
            note=None,
        ),
    ),
    bands=(BandBeforeAfter(band="routine", promised=0.02, before=(10, 3), after=(8, 0)),),
    lines=("A sentence of the library.",),
)


class StandIn:
    """What fits at once, and keeps what it was asked."""

    def __init__(self, said: Any) -> None:
        self.said, self.asked = said, list[tuple[Any, ...]]()

    def ask(self, *arguments: Any) -> Any:
        self.asked.append(arguments)
        return self.said

    def stop(self) -> None: ...


def fitted_by(clinic: Clinic, said: Any) -> StandIn:
    stand_in = StandIn(said)
    log = StringIO()
    fitter = SiteFitter(clinic.site, "w", EventLog(log), lambda _: stand_in)
    assert fitter.fit_one()
    assert not fitter.fit_one()
    return stand_in


def ask(clinic: Clinic, kind: str = "recalibrate") -> int:
    return ask_for_fitting(
        clinic.site.engine, kind, REASON, model_id=clinic.model_id, account_id=clinic.numbers["anna"]
    )


def events(clinic: Clinic, subject: str) -> list[tuple[str, str, dict[str, Any]]]:
    with reading(clinic.site.engine) as session:
        rows = session.scalars(select(AuditEvent).where(AuditEvent.subject == subject).order_by(AuditEvent.seq))
        return [(row.actor, row.action, row.details) for row in rows]


def test_a_fitting_uses_blind_verdicts_that_agree_and_what_it_makes_judges_in_silence(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = [clinic.add_study("fast-track", 0.9) for _ in range(4)]
    say(clinic, studies[:2], "COVID-19")
    say(clinic, studies[1:3], "Normal", "boris")
    clinic.site.store.object_path(clinic.image_of(studies[2]).digest).unlink()
    number = ask(clinic)
    with pytest.raises(ConfigurationError, match="being fitted already"):
        ask(clinic)
    opened = {"name": "carina-site", "version": "9"}

    def made(folder: Path) -> tuple[Any, str]:
        from carina.bundles.bundle import open_named_model

        run, _ = open_named_model(released_bundle())
        return run.model_copy(update=opened), "f" * 64

    monkeypatch.setattr(site_fitter, "open_named_model", made)
    said = fitted_by(clinic, Fitted(made=True, message=None, report=REPORT))
    ((kind, bundle, films, out, version),) = said.asked
    assert (kind, bundle, version) == ("recalibrate", released_bundle().absolute(), "1+recalibrate.1")
    # The second study is disputed, and the file of the third is gone.
    (film,) = films
    assert (film.finding, film.path.name) == ("COVID-19", clinic.image_of(studies[0]).digest)
    assert out.parent == clinic.site.folder.absolute() / "models"
    with reading(clinic.site.engine) as session:
        done = session.get_one(Fitting, number)
        model = session.get_one(Model, done.made_model_id)
        assert (done.state, model.role, model.folder, model.name) == (
            "made",
            "silent",
            "models/recalibrate-1",
            "carina-site",
        )
    anna = f"account {clinic.numbers['anna']}"
    asked, ended = events(clinic, f"fitting {number}")
    assert asked == (anna, "fitting-asked", {"kind": "recalibrate", "model": clinic.model_id, "reason": REASON})
    assert ended == ("system", "fitting-ended", {"kind": "recalibrate", "state": "made", "model": model.id})

    browser = clinic.client("anna")
    shown = browser.get("/models").text
    assert "+0.250" in shown
    assert "+0.100 to +0.400" in shown
    assert "3/10" in shown
    assert "A sentence of the library." in shown
    side = browser.get("/models", params={"challenger": model.id}).text
    # The stand-in wrote no bundle.
    assert "They cannot be compared: The folder of one of the models cannot be read." in side
    for name in ("berta", "carl"):
        assert clinic.client(name).get("/models").status_code == 403
    posted = {"csrf": clinic.csrf(browser), "reason": "It was worse on new verdicts."}
    assert browser.post(f"/models/{model.id}/retire", data=posted).status_code == 303
    assert events(clinic, f"model {model.id}")[-1][1:] == ("model-retired", {"reason": posted["reason"]})
    with pytest.raises(ConfigurationError, match="take another one into use"):
        retire_model(clinic.site.engine, clinic.model_id, REASON, account_id=1)


def test_a_refusal_of_the_library_and_a_process_that_broke_are_said(clinic: Clinic) -> None:
    number = ask(clinic, "adapt")
    fitted_by(clinic, Fitted(made=False, message="Too few patients with COVID-19.", report=None))
    broken = ask(clinic)
    fitted_by(clinic, Failure("process-ended"))
    page = clinic.client("anna").get("/models").text
    assert "No new model. Too few patients with COVID-19." in page
    assert "may have too little memory" in page
    assert events(clinic, f"fitting {number}")[-1][2] == {"kind": "adapt", "state": "refused"}
    assert events(clinic, f"fitting {broken}")[-1][2] == {"kind": "recalibrate", "state": "failed"}


def test_a_fitting_of_a_killed_worker_is_begun_once_more_and_then_given_up(clinic: Clinic) -> None:
    number = ask(clinic)
    fitter = SiteFitter(clinic.site, "w", EventLog(StringIO()), lambda _: StandIn(None))

    class Killed(StandIn):
        def ask(self, *arguments: Any) -> Any:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            SiteFitter(clinic.site, "w", EventLog(StringIO()), lambda _: Killed(None)).fit_one()
        fitter._free()
    assert fitter.fit_one()
    with reading(clinic.site.engine) as session:
        assert session.get_one(Fitting, number).state == "failed"


@pytest.mark.parametrize(
    ("kind", "reason", "said"),
    [("retrain", REASON, "no fitting 'retrain'"), ("adapt", "short", "Say why"), ("adapt", REASON, "no model 99")],
)
def test_what_cannot_be_asked_for_is_refused(clinic: Clinic, kind: str, reason: str, said: str) -> None:
    number = 99 if reason == REASON and kind == "adapt" else clinic.model_id
    with pytest.raises(ConfigurationError, match=said):
        ask_for_fitting(clinic.site.engine, kind, reason, model_id=number, account_id=1)


def test_verdicts_of_findings_that_the_model_does_not_know_are_refused_by_name(tmp_path: Path) -> None:
    films = [Film(tmp_path / "a", "Another finding", "p")]
    said = fit("recalibrate", released_bundle(), films, tmp_path / "out", "1")
    assert not said.made
    assert said.message.startswith("No verdict names a finding of the model.")


def test_what_the_command_line_would_be_asked_for_is_not_asked_of_a_page() -> None:
    said = _in_words(
        "/w/verdicts cannot adapt this bundle: of the films that could be used, 3 patients with X; at least 20 are "
        "needed. Add films and import again, or choose with --flag a finding that the site has. Nothing was written.",
        "/w",
    )
    assert said == (
        "The site's verdicts cannot adapt this bundle: of the films that could be used, 3 patients with X; at least "
        "20 are needed. Nothing was written. More verdicts may help. On the command line, carina adapt has further "
        "choices."
    )
    assert _in_words("There is 1 film. It is kept.", "/w") == "There is 1 film. It is kept."


def test_a_run_in_use_is_refused_in_the_library_s_words(tmp_path: Path) -> None:
    said = fit("adapt", tmp_path, [Film(tmp_path / "a", "Normal", "p")], tmp_path / "out", "1")
    assert not said.made
    assert said.message.startswith(f"{tmp_path} is an empty folder, not a bundle.")


def judge(clinic: Clinic, model_id: int, studies: Sequence[int], shares: Sequence[float], priority: str) -> None:
    with writing(clinic.site.engine) as session:
        for number, p_flag in zip(studies, shares, strict=True):
            rest = (1 - p_flag) / (len(clinic.findings) - 1)
            said = dict.fromkeys(clinic.findings, rest) | {clinic.findings[0]: p_flag}
            image = session.get_one(Study, number).image_id
            session.add(
                Judgement(
                    image_id=image,
                    model_id=model_id,
                    at=now(),
                    priority=priority,
                    finding="Normal",
                    probability=p_flag,
                    probabilities=said,
                    code="x",
                    reason="x",
                    gate_accepted=True,
                    reservations=[],
                )
            )


def test_two_models_are_set_side_by_side_on_the_same_verdicts_with_a_paired_difference(clinic: Clinic) -> None:
    with writing(clinic.site.engine) as session:
        session.query(Verdict).delete()
        folder = str(released_bundle())
        other = Model(name="other", version="2", sha256="a" * 64, folder=folder, added_at=now())
        other.flag_finding, other.role = clinic.findings[0], "silent"
        session.add(other)
        session.flush()
        challenger = other.id
    sick = [
        clinic.add_study("fast-track" if place < 6 else "expedite", 0.9 if place < 6 else 0.1) for place in range(12)
    ]
    well = [clinic.add_study("routine", 0.05) for _ in range(12)]
    judge(clinic, challenger, sick, [0.95] * 12, "fast-track")
    judge(clinic, challenger, well, [0.05] * 11 + [0.9], "routine")
    say(clinic, sick, "COVID-19")
    say(clinic, well, "Normal")
    with reading(clinic.site.engine) as session:
        models = [describe(clinic.site, session.get_one(Model, number)) for number in (clinic.model_id, challenger)]
        side = compare_models(session, *models)
    assert (side.studies, side.patients) == (24, 24)
    sensitivity, specificity, area, brier = side.figures
    assert (sensitivity.before, sensitivity.after, sensitivity.difference) == (0.5, 1.0, 0.5)
    # By hand, of Wilson bounds: 0.5 - hypot(1 - 0.7575, 0.7462 - 0.5) and 0.5 + (0.5 - 0.2538).
    assert (round(sensitivity.low, 3), round(sensitivity.high, 3)) == (0.154, 0.746)
    assert (specificity.before, specificity.after) == (1.0, pytest.approx(11 / 12))
    assert area.before == pytest.approx(1.0)
    assert brier.before == pytest.approx(np.mean([0.01] * 6 + [0.81] * 6 + [0.0025] * 12))
    assert [(band.before, band.after) for band in side.bands] == [((12, 0), (12, 0)), ((6, 0), (12, 0))]

    # Blind: neither readers nor programs are told what the challenger says.
    reader = clinic.client("berta")
    page = reader.get(f"/studies/{sick[0]}").text
    assert "other 2" not in page
    assert "0.95" not in re.sub(r"<[^>]*>", "", page)

    # And back.
    anna = clinic.numbers["anna"]
    change_model(clinic.site.engine, challenger, "It finds twice as many here.", account_id=anna)
    change_model(clinic.site.engine, clinic.model_id, "The readers asked for it.", account_id=anna)
    said = [event for event in events(clinic, f"model {clinic.model_id}") if event[1] == "model-changed"]
    assert said == [(f"account {anna}", "model-changed", {"was": challenger, "reason": "The readers asked for it."})]
    with reading(clinic.site.engine) as session:
        assert session.get_one(Model, clinic.model_id).role == "in-use"


def test_studies_that_a_model_learned_from_and_others_of_their_patients_do_not_count(clinic: Clinic) -> None:
    with writing(clinic.site.engine) as session:
        session.query(Verdict).delete()
    studies = [clinic.add_study("routine", 0.05, PatientID=patient) for patient in ("SAME", "SAME", "ELSE")]
    with writing(clinic.site.engine) as session:
        for number, study in enumerate(studies):
            session.get_one(Image, session.get_one(Study, study).image_id).pixels_sha256 = str(number) * 64
    say(clinic, studies, "Normal")
    with reading(clinic.site.engine) as session:
        rows, verdicts = judged_studies(session, clinic.model_id, frozenset({"0" * 64}))
    assert [row.study_id for row in rows] == studies[2:]
    assert (verdicts.counted, verdicts.learned) == (1, 2)
