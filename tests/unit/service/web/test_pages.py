"""The day of a reader, an administrator and an auditor, page by page."""

import re
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select

from carina.bundles.bundle import choose_precision, in_precision, open_model, released_bundle
from carina.service.database.base import now
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Judgement, Part, Study
from carina.service.intake.take import Taken, take
from carina.service.kept_evidence import keep_evidence
from carina.service.mode import change_mode
from carina.service.people.people_tables import Verdict
from carina.service.studies import page_of
from carina.service.verdicts import model_in_use, return_left
from carina.service.web.pages import image_parts, worklist
from carina.service.web.templating import minutes_in_words, name_in_words, share_in_words
from clinic import PASSWORD, Clinic
from make import make_grey
from make_dicom import encode_dicom


@pytest.fixture
def live(clinic: Clinic) -> Any:
    """Let the site be live for one test."""
    change_mode(clinic.site.engine, "live", "It was good enough here.", account_id=clinic.numbers["anna"])
    yield
    change_mode(clinic.site.engine, "silent", "The test has ended.", account_id=clinic.numbers["anna"])


def order_of(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'class="open" href="/studies/(\d+)"', page)]


def give(clinic: Clinic, client: Any, study: int, finding: str = "Normal", **other: str) -> Any:
    sent = {"csrf": clinic.csrf(client), "finding": finding, **other}
    return client.post(f"/studies/{study}/verdict", data=sent)


def threshold_of_the_released_model() -> str:
    """In the precision that it is computed in here."""
    run = open_model(released_bundle())
    return f"{in_precision(run, choose_precision(run, 'auto', 'auto')).policy.operating_point.threshold:.3f}"


def test_a_silent_site_shows_nothing_of_the_answer_before_the_verdict(clinic: Clinic) -> None:
    client = clinic.client("berta")
    late = clinic.add_study("fast-track", 0.98, hours=2.5, PatientName="First^Track")
    early = clinic.add_study("routine", 0.01, hours=3, PatientName="Rou^Tine")
    page = client.get("/worklist?sort=priority&priority=fast-track").text
    assert order_of(page).index(early) < order_of(page).index(late)
    for word in ("fast-track", "0.98", "COVID", "routine", "A reason", 'tr class="unread late"'):
        assert word not in page, word
    page = client.get(f"/studies/{late}").text
    assert "Shown after your verdict" in page
    for word in ("fast-track", "0.98", "A reason", "Agree", "Its header"):
        assert word not in page, word
    image = clinic.image_of(late).id
    hidden = client.get(f"/images/{image}/evidence", headers={"Accept": "application/json"})
    assert hidden.json()["error"]["code"] == "answer-hidden"
    answer = give(clinic, client, late, "Normal", note="A scar.")
    with reading(clinic.site.engine) as session:
        # It stays the answer to this image, whatever is added to the study later.
        assert session.scalars(select(Verdict.image_id).where(Verdict.study_id == late)).all() == [image]
    assert answer.headers["location"] == f"/studies/{late}"
    page = client.get(f"/studies/{late}").text
    for word in (
        "fast-track",
        "0.98",
        "A reason with figures.",
        "Its header leaves",
        "Of the AUROC above chance",
        "A scar.",
        threshold_of_the_released_model(),
    ):
        assert word in page, word
    assert client.get(f"/images/{image}/evidence").status_code == 204
    # The verdict of one reader tells another one nothing.
    assert "Shown after your verdict" in clinic.client("boris").get(f"/studies/{late}").text


def test_a_live_worklist_is_by_place_and_then_by_waiting(clinic: Clinic, live: None) -> None:
    client = clinic.client("berta")
    made = {
        name: clinic.add_study(priority, p, hours=hours)
        for name, priority, p, hours in (
            ("new fast", "fast-track", 0.97, 1),
            ("routine", "routine", 0.01, 9),
            ("old fast", "fast-track", 0.96, 2),
            ("refused", "not-assessable", 0.2, 3),
            ("second", "secondary-review", 0.2, 4),
        )
    }
    waiting = clinic.add_study(judged=False, hours=3.5)
    page = client.get("/worklist").text
    places = {number: place for place, number in enumerate(order_of(page))}
    wanted = [made["old fast"], made["new fast"], made["second"], waiting, made["refused"], made["routine"]]
    assert sorted(wanted, key=places.__getitem__) == wanted
    assert "not judged yet" in page
    # The bar is of the finding that is named; the flagged one is beside it where that is another.
    assert re.search(r'COVID-19</span><span class="number">0.970</span>', page)
    assert "COVID-19 0.010" in page
    # A filter leaves lines out, and only when it is asked for.
    assert made["routine"] not in order_of(client.get("/worklist?priority=fast-track").text)
    answer = give(clinic, client, made["old fast"])
    assert answer.headers["location"].startswith("/studies/")
    assert made["old fast"] not in order_of(client.get("/worklist").text)
    assert made["old fast"] in order_of(client.get("/worklist?state=read").text)


def test_live_a_study_is_agreed_to_by_one_button(clinic: Clinic, live: None) -> None:
    study = clinic.add_study("expedite", 0.05, finding="Viral Pneumonia")
    client = clinic.client("berta")
    page = client.get(f"/studies/{study}").text
    assert re.search(r'value="Viral Pneumonia" data-key="a"', page)
    give(clinic, client, study, "Viral Pneumonia")
    given = clinic.client("", **clinic.token("verdicts")).get(f"/api/v1/studies/{study}/verdicts").json()
    assert (given[0]["kind"], given[0]["blind"]) == ("agree", False)


def test_readers_who_differ_dispute_and_who_opened_it_is_shown(clinic: Clinic) -> None:
    study = clinic.add_study()
    first, second = clinic.client("berta"), clinic.client("boris")
    first.get(f"/studies/{study}")
    assert "berta has this study open" in second.get(f"/studies/{study}").text
    assert "by berta" in second.get("/worklist?state=open").text
    give(clinic, first, study, "Normal")
    give(clinic, second, study, "COVID-19")
    assert "Readers differ" in second.get(f"/studies/{study}").text
    with reading(clinic.site.engine) as session:
        assert session.get_one(Study, study).state == "disputed"
    give(clinic, second, study, "Normal")
    with reading(clinic.site.engine) as session:
        assert session.get_one(Study, study).state == "read"
    given = clinic.client("", **clinic.token("verdicts")).get(f"/api/v1/studies/{study}/verdicts").json()
    assert [each["blind"] for each in given] == [True, True, False]


def test_priors_of_the_same_patient_are_beside(clinic: Clinic) -> None:
    same = {"PatientID": "SameOne", "PatientName": "Same^One"}
    prior = clinic.add_study(**same, StudyDate="20200102")
    study = clinic.add_study(**same)
    page = clinic.client("berta").get(f"/studies/{study}").text
    assert f'data-beside="{clinic.image_of(prior).id}"' in page
    assert "2020-01-02" in page


def test_pixels_come_in_their_full_depth(clinic: Clinic) -> None:
    image = clinic.image_of(clinic.add_study(WindowCenter="1000", WindowWidth="201"))
    answer = clinic.client("berta").get(f"/images/{image.id}/pixels")
    height, width, largest = (int(answer.headers[f"x-{name}"]) for name in ("height", "width", "largest"))
    black, white = (int(answer.headers[f"x-{name}"]) for name in ("black", "white"))
    pixels = np.frombuffer(answer.content, "<u2").reshape(height, width)
    wanted = make_grey(clinic.made % 50, depth=12)
    assert pixels.shape == wanted.shape
    assert largest == 65_535
    # The header's window cuts nothing off; the page starts at it.
    assert white - black == round(200 * 65_535 / (int(wanted.max()) - int(wanted.min())))
    # Twelve bits, in the order that they had.
    assert len(np.unique(pixels)) == len(np.unique(wanted))
    assert np.corrcoef(pixels.ravel(), wanted.ravel())[0, 1] == pytest.approx(1.0)
    small = clinic.client("berta").get(f"/images/{image.id}/thumbnail")
    assert small.headers["content-type"] == "image/jpeg"


def test_a_file_is_dropped_and_listed(clinic: Clinic) -> None:
    client = clinic.client("berta")
    content = encode_dicom(make_grey(77, depth=12), stored=12, PatientName="Dropped^File", StudyInstanceUID="9.9.9")
    headers = {"X-CSRF-Token": clinic.csrf(client), "X-File-Name": "a%20film.dcm"}
    first, again = (client.post("/upload", content=content, headers=headers).json() for _ in range(2))
    assert (first["taken"], first["files"][0]["new"]) == (1, True)
    assert (again["files"][0]["image"], again["files"][0]["new"]) == (first["files"][0]["image"], False)
    assert "Dropped, File" in client.get("/worklist").text


def test_pages_follow_one_another(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [clinic.add_study(hours=100 + n, PatientName="Paged^One") for n in range(5)]
    monkeypatch.setattr(worklist, "page_of", partial(page_of, count=2))
    client = clinic.client("berta")
    sent, seen = {"csrf": clinic.csrf(client), "q": "paged", "sort": "oldest"}, []
    for _ in range(3):
        page = client.post("/worklist", data=sent).text
        seen += order_of(page)
        more = re.search(r'name="after" value="([^"]+)"', page)
        sent["after"] = more[1] if more else ""
    assert seen == numbers[::-1]
    assert sent["after"] == ""


def test_an_administrator_switches_the_mode_with_a_reason(clinic: Clinic) -> None:
    client = clinic.client("anna")
    csrf = clinic.csrf(client)
    refused = client.post("/mode", data={"csrf": csrf, "mode": "live", "reason": "short"})
    assert refused.status_code == 400
    assert "Say why in 10 to 500" in refused.text
    assert client.post("/mode", data={"csrf": csrf, "mode": "live", "reason": "Two good weeks."}).status_code == 303
    assert "already" in client.post("/mode", data={"csrf": csrf, "mode": "live", "reason": "Two good weeks."}).text
    assert (
        client.post("/mode", data={"csrf": csrf, "mode": "silent", "reason": "A new detector came."}).status_code == 303
    )
    log = clinic.client("carl").get("/audit?action=mode-changed").text
    assert "was: silent; is: live; reason: Two good weeks." in log


def test_an_administrator_makes_accounts_and_tokens(clinic: Clinic) -> None:
    client = clinic.client("anna")
    csrf = clinic.csrf(client)
    new = {"csrf": csrf, "name": "dora", "password": "words of a new reader", "role": "reader", "own": PASSWORD}
    # An open page is not enough: whoever sits down at it does not know the password.
    unasked = client.post("/administration/accounts", data={**new, "own": "x"})
    assert (unasked.status_code, "not your own password" in unasked.text) == (400, True)
    assert client.post("/administration/accounts", data=new).status_code == 303
    assert "an account dora already" in client.post("/administration/accounts", data=new).text
    page = client.get("/administration").text
    number = re.search(r'action="/administration/accounts/(\d+)"(?:(?!</tr>).)*', page.split("Change dora")[1], re.S)
    changed = client.post(
        f"/administration/accounts/{number[1]}",
        data={"csrf": csrf, "role": "auditor", "active": "false", "own": PASSWORD},
    )
    assert changed.status_code == 303
    assert "resting" in client.get("/administration").text
    made = client.post(
        "/administration/tokens",
        data={"csrf": csrf, "account": clinic.numbers["berta"], "label": "PACS", "scopes": ["status"], "days": "3"},
    )
    secret = re.search(r'id="token">([^<]+)<', made.text)[1]
    assert secret not in client.get("/administration").text
    assert clinic.client("", Authorization=f"Bearer {secret}").get("/api/v1/mode").json() == {"mode": "silent"}
    ended = re.search(r'action="(/administration/tokens/\d+/end)"', client.get("/administration").text)[1]
    client.post(ended, data={"csrf": csrf})
    assert clinic.client("", Authorization=f"Bearer {secret}").get("/api/v1/mode").status_code == 401


def test_an_auditor_checks_and_exports(clinic: Clinic) -> None:
    client = clinic.client("carl")
    csrf = clinic.csrf(client)
    assert "The chain is whole" in client.post("/audit/verify", data={"csrf": csrf}).text
    exported = client.post("/audit/export", data={"csrf": csrf})
    assert exported.text.splitlines()[-1].split(",")[3] == "audit-exported"
    assert "attachment" in exported.headers["content-disposition"]
    found = client.get(f"/audit?q=account {clinic.numbers['carl']}").text
    assert "login" in found
    assert "study-opened" not in found.split("<tbody>")[1]


def test_every_view_of_a_study_is_a_line(clinic: Clinic) -> None:
    study = clinic.add_study()
    clinic.client("berta").get(f"/studies/{study}")
    lines = clinic.client("carl").get(f"/audit?q=study {study}").text.split("<tbody>")[1]
    assert lines.count("study-opened") == 1
    assert f"account {clinic.numbers['berta']}" in lines


def test_the_page_asks_to_log_in_and_comes_back(clinic: Clinic) -> None:
    client = clinic.client()
    assert client.get("/good-enough").headers["location"] == "/login?to=/good-enough"
    assert client.get("/worklist", headers={"HX-Request": "true"}).headers["hx-redirect"] == "/login"
    answer = client.post("/login", data={"name": "berta", "password": "not this one here"})
    assert answer.status_code == 403
    assert "do not belong together" in answer.text


def test_evidence_is_kept_and_read(clinic: Clinic, predictor: Any, films: list[Any]) -> None:
    study = clinic.add_study()
    image, client = clinic.image_of(study), clinic.client("berta")
    give(clinic, client, study)
    (prediction,) = predictor.predict(films[:1], explain=True)
    with reading(clinic.site.engine) as session:
        sha256 = model_in_use(session).sha256
    keep_evidence(clinic.site.folder, image.digest, sha256, prediction.explanation)
    content = client.get(f"/images/{image.id}/evidence").json()
    for finding in prediction.explanation.findings:
        assert np.allclose(content["findings"][finding], prediction.explanation.evidence(finding), atol=1e-4)
    outlines = [point for outline in content["lungs"] for point in outline]
    assert outlines
    assert all(0 <= share <= 1 for point in outlines for share in point)


def test_words_of_pages() -> None:
    assert [minutes_in_words(n) for n in (-3, 0.9, 59, 125, 3000)] == ["0 min", "0 min", "59 min", "2 h 05", "2 d"]
    assert name_in_words("Moreau^Jeanne^^Dr") == "Moreau, Jeanne Dr"
    assert name_in_words("Yamada^Tarou=山田^太郎") == "Yamada, Tarou"
    assert name_in_words("Madonna") == "Madonna"
    assert [share_in_words(p) for p in (0.0001, 0.5, 0.9999)] == ["< 0.001", "0.500", "> 0.999"]


def second_image(clinic: Clinic, study: int) -> int:
    """Return another image of a study, which came later."""
    with reading(clinic.site.engine) as session:
        uid = session.get_one(Study, study).study_instance_uid
        patient = session.get_one(Study, study).patient_id
    content = encode_dicom(
        make_grey(50 + study % 40, depth=12), stored=12, StudyInstanceUID=uid, PatientID=patient, SOPInstanceUID="7.7.7"
    )
    taken = take(clinic.site, content, name="b.dcm", source="upload")
    assert isinstance(taken, Taken)
    return taken.image_id


def state_of(clinic: Clinic, study: int) -> str:
    with reading(clinic.site.engine) as session:
        return session.get_one(Study, study).state


def test_an_image_that_comes_while_a_study_is_read_leaves_it_unread(clinic: Clinic) -> None:
    """Nobody has seen it; what is read may be deleted."""
    study, client = clinic.add_study(), clinic.client("berta")
    page = client.get(f"/studies/{study}").text
    newest = re.search(r'name="newest" value="(\d+)"', page)[1]
    second_image(clinic, study)
    give(clinic, client, study, newest=newest)
    assert state_of(clinic, study) == "unread"
    newest = re.search(r'name="newest" value="(\d+)"', client.get(f"/studies/{study}").text)[1]
    give(clinic, client, study, newest=newest)
    assert state_of(clinic, study) == "read"


def test_a_study_that_was_opened_and_left_is_unread_again(clinic: Clinic) -> None:
    left, looked_at = clinic.add_study(), clinic.add_study()
    client = clinic.client("berta")
    for study in (left, looked_at):
        client.get(f"/studies/{study}")
    return_left(clinic.site.engine)
    assert left not in order_of(client.get("/worklist").text)
    with writing(clinic.site.engine) as session:
        session.get_one(Study, left).opened_at = now() - timedelta(minutes=31)
    assert return_left(clinic.site.engine) == 1
    assert left in order_of(client.get("/worklist").text)
    assert (state_of(clinic, left), state_of(clinic, looked_at)) == ("unread", "open")


def test_in_silence_the_order_of_images_tells_nothing(clinic: Clinic) -> None:
    study, client = clinic.add_study(), clinic.client("berta")
    first, second = clinic.image_of(study).id, second_image(clinic, study)
    with writing(clinic.site.engine) as session:
        session.get_one(Study, study).image_id = second
    assert f'class="pane" data-image="{first}"' in client.get(f"/studies/{study}").text
    page = client.get("/worklist?state=open").text
    assert f"/images/{first}/thumbnail" in page
    assert f"/images/{second}/thumbnail" not in page
    change_mode(clinic.site.engine, "live", "It was good enough here.", account_id=clinic.numbers["anna"])
    assert f'class="pane" data-image="{second}"' in client.get(f"/studies/{study}").text
    assert f"/images/{second}/thumbnail" in client.get("/worklist?state=open").text
    change_mode(clinic.site.engine, "silent", "The test has ended.", account_id=clinic.numbers["anna"])


def test_a_verdict_on_what_a_live_worklist_showed_is_not_blind(clinic: Clinic) -> None:
    shown = clinic.add_study()
    for mode in ("live", "silent"):
        change_mode(clinic.site.engine, mode, "A test of both modes.", account_id=clinic.numbers["anna"])
    new, client = clinic.add_study(), clinic.client("berta")
    for study in (shown, new):
        give(clinic, client, study)
    with reading(clinic.site.engine) as session:
        blind = dict(session.execute(select(Verdict.study_id, Verdict.blind)).all())
    assert (blind[shown], blind[new]) == (False, True)


def test_figures_follow_judgements_that_come_after_the_verdicts(clinic: Clinic) -> None:
    client, study = clinic.client("berta"), clinic.add_study()
    give(clinic, client, study)

    def counted() -> int:
        return int(re.search(r"against (\d+) stud", client.get("/good-enough").text)[1])

    before = counted()
    with writing(clinic.site.engine) as session:
        judgement = session.execute(
            select(Judgement).where(Judgement.image_id == session.get_one(Study, study).image_id)
        ).scalar_one()
        session.delete(judgement)
    assert counted() == before - 1


def test_pixels_are_a_line_and_evidence_is_not_kept_by_the_browser(clinic: Clinic) -> None:
    study = clinic.add_study()
    image, client = clinic.image_of(study).id, clinic.client("berta")
    client.get(f"/images/{image}/pixels")
    lines = clinic.client("carl").get(f"/audit?q=study {study}").text.split("<tbody>")[1]
    assert lines.count("image-opened") == 1
    give(clinic, client, study)
    (clinic.site.folder / "evidence").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(image_parts, "read_evidence", lambda *_: {"seen": []})
        # Another model may be in use an hour later, or another reader may sit here.
        assert client.get(f"/images/{image}/evidence").headers["cache-control"] == "no-store"
    assert client.post("/logout", data={"csrf": clinic.csrf(client)}).headers["clear-site-data"] == '"cache"'


def test_problems_of_parts_are_on_the_page(clinic: Clinic) -> None:
    client = clinic.client("anna")
    with writing(clinic.site.engine) as session:
        session.add(Part(name="watched folder", seen_at=now(), problem="The watched folder is not there."))
    assert "<b>watched folder</b>: The watched folder is not there." in client.get("/administration").text
    with writing(clinic.site.engine) as session:
        session.execute(delete(Part))
