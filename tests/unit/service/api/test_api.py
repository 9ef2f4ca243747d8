"""What programs ask for, with which token, and that every error has one shape."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from carina.service.mode import change_mode
from clinic import Clinic
from make import make_grey
from make_dicom import encode_dicom


@pytest.fixture
def live(clinic: Clinic) -> Iterator[None]:
    """Let the site be live for one test."""
    change_mode(clinic.site.engine, "live", "It was good enough here.", account_id=clinic.numbers["anna"])
    yield
    change_mode(clinic.site.engine, "silent", "The test has ended.", account_id=clinic.numbers["anna"])


def program(clinic: Clinic, *scopes: str, name: str = "berta") -> Any:
    return clinic.client("", **clinic.token(*scopes, name=name))


def code_of(answer: Any) -> tuple[int, str]:
    content = answer.json()
    assert set(content) == {"error"}
    assert set(content["error"]) == {"code", "message"}
    return answer.status_code, content["error"]["code"]


def test_an_image_is_submitted_and_its_state_is_asked_for(clinic: Clinic) -> None:
    client = program(clinic, "submit", "status")
    content = encode_dicom(make_grey(9, depth=12), stored=12, StudyInstanceUID="5.5")
    said = client.post("/api/v1/images", content=content).json()
    assert said["taken"] == 1
    status = client.get(f"/api/v1/images/{said['files'][0]['image']}").json()
    assert (status["state"], status["study"], status["error"]) == ("received", said["files"][0]["study"], None)
    refused = client.post("/api/v1/images", content=b"Dear Sir or Madam,")
    assert refused.status_code == 422
    assert refused.json()["files"][0]["error"]["code"]


def test_results_are_given_live_and_not_in_silence(clinic: Clinic) -> None:
    study = clinic.add_study("fast-track", 0.96, PatientName="Not^Told", PatientID="NotTold")
    image, client = clinic.image_of(study).id, program(clinic, "result", "worklist")
    for path in (f"/api/v1/images/{image}/result", f"/api/v1/fhir/DiagnosticReport/{study}"):
        assert code_of(client.get(path)) == (409, "silent")
    lines = client.get("/api/v1/studies", params={"limit": 500}).json()
    assert lines["mode"] == "silent"
    assert all(line["priority"] is line["finding"] is line["probability"] is None for line in lines["studies"])


def test_results_of_a_live_site(clinic: Clinic, live: None) -> None:
    study = clinic.add_study("fast-track", 0.96, PatientName="Not^Told", PatientID="NotTold")
    image, client = clinic.image_of(study).id, program(clinic, "result", "worklist")
    result = client.get(f"/api/v1/images/{image}/result").json()
    assert (result["priority"], result["finding"], result["study"]) == ("fast-track", clinic.findings[0], study)
    assert sum(result["probabilities"].values()) == pytest.approx(1)
    lines = client.get("/api/v1/studies").json()
    assert lines["studies"][0]["priority"] == "fast-track"
    assert "Told" not in json.dumps(lines) + json.dumps(result)
    waiting = clinic.image_of(clinic.add_study(judged=False)).id
    assert code_of(client.get(f"/api/v1/images/{waiting}/result")) == (404, "not-judged")


def test_the_worklist_is_paged(clinic: Clinic) -> None:
    wanted = [clinic.add_study() for _ in range(5)]
    client, seen, after = program(clinic, "worklist"), [], ""
    for _ in range(20):
        page = client.get("/api/v1/studies", params={"limit": 2, "after": after}).json()
        seen += [line["id"] for line in page["studies"]]
        after = page["after"]
        if not after:
            break
    assert len(seen) == len(set(seen))
    assert set(wanted) <= set(seen)


def test_a_fhir_report_is_what_the_standard_asks_for(clinic: Clinic, live: None) -> None:
    study = clinic.add_study("expedite", 0.05, finding="Viral Pneumonia", StudyInstanceUID="1.2.840.99")
    answer = program(clinic, "result").get(f"/api/v1/fhir/DiagnosticReport/{study}")
    assert answer.headers["content-type"] == "application/fhir+json"
    report = answer.json()
    # Required of a DiagnosticReport are status and code; of an Observation, too (R4, 4.0.1).
    assert report["resourceType"] == "DiagnosticReport"
    assert report["status"] == "preliminary"
    assert report["code"]["coding"][0]["system"] == "http://loinc.org"
    assert report["imagingStudy"][0]["identifier"]["value"] == "urn:oid:1.2.840.99"
    assert [f"#{each['id']}" for each in report["contained"]] == [each["reference"] for each in report["result"]]
    for observation in report["contained"]:
        assert observation["resourceType"] == "Observation"
        assert observation["status"] == "preliminary"
        assert observation["code"]["coding"][0]["code"]
        assert 0 <= observation["valueQuantity"]["value"] <= 1
    by_text = {each["code"]["text"]: each for each in report["contained"]}
    viral = by_text["Probability of Viral Pneumonia"]
    assert viral["code"]["coding"][0] == {
        "system": "http://snomed.info/sct",
        "code": "75570004",
        "display": "Viral pneumonia",
    }
    assert viral["valueQuantity"]["value"] == 0.9
    assert report["issued"].endswith("+00:00")
    assert "subject" not in report


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ("status", "/api/v1/images/1"),
        ("result", "/api/v1/images/1/result"),
        ("result", "/api/v1/fhir/DiagnosticReport/1"),
        ("worklist", "/api/v1/studies"),
        ("verdicts", "/api/v1/studies/1/verdicts"),
    ],
)
def test_a_token_does_what_its_scopes_say(clinic: Clinic, scope: str, path: str) -> None:
    clinic.add_study()
    others = {"submit", "status", "result", "worklist", "verdicts"} - {scope}
    assert code_of(program(clinic, *others).get(path)) == (403, "scope-missing")
    assert code_of(program(clinic, scope, name="carl").get(path)) == (403, "scope-missing")
    assert program(clinic, scope).get(path).status_code in (200, 409)
    assert code_of(clinic.client("", Authorization="Bearer carina_made-up").get(path)) == (401, "token-needed")


def test_a_body_is_not_read_before_its_sender_is_known(clinic: Clinic) -> None:
    for headers in ({}, clinic.token("status")):
        sent = clinic.client("", **headers).post(
            "/api/v1/images", headers={"Content-Length": "9"}, content=b"123456789"
        )
        assert sent.status_code in (401, 403)
    assert not any("upload-" in path.name for path in clinic.site.store.incoming.iterdir())


def test_verdicts_are_given(clinic: Clinic) -> None:
    study, client = clinic.add_study("expedite", 0.9), program(clinic, "verdicts", "status")
    made = client.post(f"/api/v1/studies/{study}/verdicts", json={"finding": "COVID-19", "note": "As I see it."})
    assert made.status_code == 201
    assert (made.json()["kind"], made.json()["blind"]) == ("agree", True)
    unknown = client.post(f"/api/v1/studies/{study}/verdicts", json={"finding": "Gout"})
    assert code_of(unknown) == (400, "refused")
    assert "Gout" not in unknown.text
    assert code_of(client.post("/api/v1/studies/99999/verdicts", json={"finding": None})) == (404, "not-found")
    assert code_of(client.get("/api/v1/nothing")) == (404, "not-found")
    assert code_of(client.delete(f"/api/v1/studies/{study}/verdicts")) == (405, "not-allowed-here")
    assert code_of(client.get("/api/v1/images/0"))[0] == 404


def test_the_description_names_every_address_and_no_page(clinic: Clinic) -> None:
    described = clinic.app.openapi()
    assert set(described["paths"]) == {
        "/api/v1/images",
        "/api/v1/images/{image_id}",
        "/api/v1/images/{image_id}/result",
        "/api/v1/studies",
        "/api/v1/studies/{study_id}/verdicts",
        "/api/v1/verdicts",
        "/api/v1/mode",
        "/api/v1/fhir/DiagnosticReport/{study_id}",
    }


@pytest.mark.long
def test_whatever_is_sent_is_no_error_of_ours(clinic: Clinic) -> None:
    """Fuzzed by the API's own description: no answer is a 500, and every error has the one shape."""
    headers = {**clinic.token("submit", "status", "result", "worklist", "verdicts"), "Host": "127.0.0.1"}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", clinic.app, headers=headers)

    for operation in schema.get_all_operations():
        strategy = operation.ok().as_strategy()

        @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=strategy)
        def try_one(case: Any) -> None:
            answer = case.call(headers=headers)
            assert answer.status_code < 500, (case.method, case.path)
            if answer.status_code >= 400 and "taken" not in answer.text:
                assert set(answer.json()) == {"error"}, answer.text

        try_one()


def test_in_silence_the_verdicts_of_others_are_told_after_the_own_one(clinic: Clinic) -> None:
    """Whether another reader agrees with the model tells what it says."""
    study = clinic.add_study("expedite", 0.9)
    path = f"/api/v1/studies/{study}/verdicts"
    first, second = program(clinic, "verdicts"), program(clinic, "verdicts", name="boris")
    assert first.post(path, json={"finding": "COVID-19", "note": "a\0b"}).json()["kind"] == "agree"
    assert code_of(second.get(path)) == (409, "silent")
    # Who runs the site sees all verdicts, one by one or all.
    administrator = program(clinic, "verdicts", name="anna")
    assert [each["finding"] for each in administrator.get(path).json()] == ["COVID-19"]
    every = administrator.get("/api/v1/verdicts", params={"limit": 1000}).json()
    assert every[-1]["study"] == study
    assert administrator.get("/api/v1/verdicts", params={"after": every[-1]["id"]}).json() == []
    assert code_of(second.get("/api/v1/verdicts")) == (403, "not-allowed")
    assert second.post(path, json={"finding": "Normal"}).status_code == 201
    assert len(second.get(path).json()) == 2
