"""An administrator deletes a study or a patient, with a reason; what nobody has read after a second confirmation."""

import re
from typing import Any

import pytest

from carina.errors import ConfigurationError
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image, Study
from carina.service.intake.take import Taken, take
from carina.service.verdicts import give_verdict
from clinic import PASSWORD, Clinic
from make import make_grey
from make_dicom import encode_dicom

REASON = "The patient asked for it."


@pytest.fixture
def patient(clinic: Clinic) -> tuple[int, int]:
    """Return two studies of one patient; the first was read."""
    number = f"GONE{clinic.made}"
    read, unread = (clinic.add_study(PatientID=number, PatientName="Gone^Soon") for _ in range(2))
    account = clinic.numbers["berta"]
    give_verdict(
        *(clinic.site.engine, read),
        account_id=account,
        actor=f"account {account}",
        finding="Normal",
        note="Known to Gone.",
        findings=clinic.findings,
    )
    return read, unread


def delete(clinic: Clinic, client: Any, study: int, **sent: str) -> Any:
    given = {"csrf": clinic.csrf(client), "reason": REASON, "own": PASSWORD, **sent}
    return client.post(f"/studies/{study}/delete", data=given)


def state_of(clinic: Clinic, study: int) -> tuple[str, str | None, bool]:
    with reading(clinic.site.engine) as session:
        row = session.get_one(Study, study)
        image = session.query(Image).filter(Image.study_id == study).one()
        return row.state, row.patient_name, clinic.site.store.object_path(image.digest).is_file()


def test_a_study_that_was_read_is_deleted_with_a_reason(clinic: Clinic, patient: tuple[int, int]) -> None:
    read, unread = patient
    client = clinic.client("anna")
    assert f'href="/studies/{read}/delete"' in client.get(f"/studies/{read}").text
    page = client.get(f"/studies/{read}/delete").text
    assert "Copies that were made by <code>carina serve backup</code> still hold it." in page
    assert "all 2 studies of this patient, of which 1 was not read" in page
    for refused, words in (
        ({"own": "x"}, "not your own password"),
        ({"reason": "x"}, "Say why in 10 to 500 characters."),
    ):
        answer = delete(clinic, client, read, **refused)
        assert (answer.status_code, words in answer.text) == (400, True)
        # No answer that is an error names a patient.
        assert "Gone" not in answer.text
    assert state_of(clinic, read) == ("read", "Gone^Soon", True)
    assert delete(clinic, client, read).headers["location"] == "/worklist"
    assert state_of(clinic, read) == ("deleted", None, False)
    assert state_of(clinic, unread) == ("unread", "Gone^Soon", True)
    line = clinic.client("carl").get(f"/audit?q=study {read}").text
    assert re.search(rf"study-deleted.*was: read.*{REASON}|study-deleted.*{REASON}.*was: read", line, re.DOTALL)
    assert "deleted already" in delete(clinic, client, read).text


def test_what_nobody_has_read_is_deleted_only_after_a_second_confirmation(
    clinic: Clinic, patient: tuple[int, int]
) -> None:
    read, unread = patient
    client = clinic.client("anna")
    for study, whole in ((unread, "false"), (read, "true")):
        answer = delete(clinic, client, study, whole=whole)
        assert (answer.status_code, "Nothing was deleted, since nobody has read 1 study" in answer.text) == (400, True)
    assert [state_of(clinic, study)[0] for study in patient] == ["read", "unread"]
    assert delete(clinic, client, read, whole="true", unread="true").status_code == 303
    assert [state_of(clinic, study) for study in patient] == [("deleted", None, False)] * 2
    with reading(clinic.site.engine) as session:
        assert [session.get_one(Study, study).searched for study in patient] == ["", ""]


def test_a_deleted_study_is_listed_as_deleted_and_takes_no_verdict(clinic: Clinic, patient: tuple[int, int]) -> None:
    _, unread = patient
    client, reader = clinic.client("anna"), clinic.client("berta")
    delete(clinic, client, unread, unread="true")
    assert f"/studies/{unread}" not in reader.get("/worklist?state=unread").text
    assert f"/studies/{unread}" in reader.get("/worklist?state=deleted").text
    page = reader.get(f"/studies/{unread}").text
    assert 'id="verdict"' not in page
    sent = {"csrf": clinic.csrf(reader), "finding": "Normal"}
    assert "was deleted" in reader.post(f"/studies/{unread}/verdict", data=sent).text
    with pytest.raises(ConfigurationError, match="was deleted"):
        give_verdict(clinic.site.engine, unread, account_id=1, actor="x", finding=None, findings=())


def test_an_image_that_comes_again_brings_its_study_back(clinic: Clinic) -> None:
    content = encode_dicom(make_grey(49, depth=12), stored=12, StudyInstanceUID="1.2.9", PatientName="Back^Again")
    taken = take(clinic.site, content, name="x", source="upload")
    assert isinstance(taken, Taken)
    delete(clinic, clinic.client("anna"), taken.study_id, unread="true")
    assert state_of(clinic, taken.study_id) == ("deleted", None, False)
    take(clinic.site, content, name="x", source="upload")
    assert state_of(clinic, taken.study_id) == ("unread", "Back^Again", True)
    with writing(clinic.site.engine) as session:
        session.get_one(Study, taken.study_id).state = "read"


def test_readers_delete_nothing(clinic: Clinic, patient: tuple[int, int]) -> None:
    for name in ("berta", "carl"):
        client = clinic.client(name)
        assert client.get(f"/studies/{patient[0]}/delete").status_code == 403
        assert delete(clinic, client, patient[0]).status_code == 403
    assert state_of(clinic, patient[0])[0] == "read"
    assert clinic.client("anna").get("/studies/999999/delete").status_code == 404
