"""Somebody sees where they are logged in, and ends what they have left open elsewhere; nobody ends another's."""

import re

from clinic import PASSWORD, Clinic


def numbers_of(page: str) -> list[str]:
    return re.findall(r'name="session" value="([0-9a-f]+)" checked', page)


def test_somebody_ends_their_other_sessions_and_no_other_ones(clinic: Clinic) -> None:
    here, there, third = (clinic.client("berta") for _ in range(3))
    other = clinic.client("boris")
    page = here.get("/sessions").text
    numbers = numbers_of(page)
    assert len(numbers) == 2
    assert page.count("This browser") == 1
    assert page.count("Another browser") == 2
    (foreign,) = numbers_of(clinic.client("boris").get("/sessions").text)
    csrf = clinic.csrf(here)

    unasked = here.post("/sessions/end", data={"csrf": csrf, "session": numbers, "own": "x"})
    assert (unasked.status_code, "not your own password" in unasked.text) == (400, True)
    assert there.get("/worklist").status_code == third.get("/worklist").status_code == 200

    own = re.search(r'name="session" value="([0-9a-f]+)" disabled', page)[1]
    sent = {"csrf": csrf, "session": [numbers[0], foreign, own], "own": PASSWORD}
    assert here.post("/sessions/end", data=sent).status_code == 303
    assert sorted(each.get("/worklist").status_code for each in (there, third)) == [200, 303]
    assert here.get("/worklist").status_code == other.get("/worklist").status_code == 200
    assert "sessions-ended" in clinic.client("carl").get("/audit?action=sessions-ended").text.split("<tbody>")[1]


def test_an_auditor_has_the_page_and_a_stranger_not(clinic: Clinic) -> None:
    assert "This browser, logged in at" in clinic.client("carl").get("/sessions").text
    assert clinic.client().get("/sessions").headers["location"] == "/login?to=/sessions"
