"""A web server's search is read to its end, however it divides its answers, and a doubt is told."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from carina.dicom.fetching import qido
from carina.dicom.fetching.qido import SearchResults, search
from carina.dicom.fetching.query import Series
from carina.dicom.transport.settings import web_at
from carina.dicom.transport.web import open_session
from carina.errors import ArchiveUnusableError, PeerError
from dicom_archives import LOGIN_PAGE, Answer, WebServer, paged, row_of, rows, web_server

FIVE = [row_of(Series("1.2", f"1.3.{number}")) for number in range(5)]
KEYS = {"StudyDate": "20260102", "Modality": "CR"}


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as made:
        yield made


def searched(server: WebServer) -> SearchResults:
    web = web_at(server.url)
    with open_session(web) as session:
        return search(session, web, "series", KEYS)


def test_it_asks_for_what_is_wanted(server: WebServer) -> None:
    server.found = paged(FIVE)
    assert searched(server) == SearchResults(tuple(FIVE))
    # No more than 200: one archive refuses that. And once more, since nobody knows how long its pages are.
    assert [keys for _, keys in server.asked] == [
        {**KEYS, "limit": "200", "offset": "0"},
        {**KEYS, "limit": "200", "offset": "5"},
    ]


@pytest.mark.parametrize("warns", [True, False])
def test_pages_that_the_server_shortens_are_read_to_the_last(server: WebServer, *, warns: bool) -> None:
    server.found = paged(FIVE, most=2, warns=warns)
    assert searched(server) == SearchResults(tuple(FIVE))


def test_many_pages(server: WebServer) -> None:
    many = [row_of(Series("1.2", f"1.3.{number}")) for number in range(450)]
    server.found = paged(many)
    assert searched(server) == SearchResults(tuple(many))
    assert [keys["offset"] for _, keys in server.asked] == ["0", "200", "400", "450"]


def test_what_is_on_two_pages_is_one(server: WebServer) -> None:
    pages = {"0": FIVE[:2], "2": FIVE[1:4], "5": FIVE[4:]}
    server.found = lambda keys: rows(*pages.get(keys["offset"], []))
    assert searched(server) == SearchResults(tuple(FIVE))


@pytest.mark.parametrize(
    ("answer", "doubted"),
    [
        # It ignores where to begin, and gives everything at once: in one page that is not full, or a longer one.
        (rows(*FIVE), False),
        (rows(*(row_of(Series("1.2", f"1.3.{number}")) for number in range(250))), False),
        # The first of several pages, whatever is asked for.
        (rows(*FIVE, headers={"Warning": "299 server: more"}), True),
        (rows(*FIVE, headers={"Warning": '199 - "stale", 299 server "There are 3 additional results"'}), True),
        (rows(*FIVE, headers={"Warning": '199 - "2990"'}), False),
        (rows(*(row_of(Series("1.2", f"1.3.{number}")) for number in range(200))), True),
        (rows(*FIVE, status=206), True),
    ],
)
def test_a_server_that_ignores_where_to_begin_is_not_asked_for_ever(
    server: WebServer, answer: Answer, *, doubted: bool
) -> None:
    server.found = lambda _: answer
    results = searched(server)
    assert len(results.rows) == len(json.loads(answer.content))
    assert (results.doubt is not None and "there are more results" in results.doubt) is doubted
    assert len(server.asked) == 2


def test_a_server_that_hides_the_rest_says_so(server: WebServer) -> None:
    more = {"Warning": "299 server: There are 3 additional results that can be requested"}
    server.found = lambda keys: rows(*(FIVE[:2] if keys["offset"] == "0" else []), headers=more)
    results = searched(server)
    assert (len(results.rows), "there are more results" in (results.doubt or "")) == (2, True)


def test_a_server_that_makes_up_results_for_ever(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qido, "_MOST", 10)
    server.found = lambda keys: rows(row_of(Series("1.2", f"1.3.{keys['offset']}")))
    results = searched(server)
    assert (len(results.rows), len(server.asked)) == (10, 10)
    assert "named more than 10 results" in (results.doubt or "")


@pytest.mark.parametrize(
    ("later", "doubt"),
    [
        (Answer(status=404), None),
        (Answer(status=204), None),
        (Answer(), None),
        (Answer(status=400), "HTTP 400"),
        (Answer(LOGIN_PAGE, "text/html"), "web page"),
    ],
)
def test_a_later_page_that_fails_costs_nothing_that_was_found(
    server: WebServer, later: Answer, doubt: str | None
) -> None:
    server.found = lambda keys: rows(*FIVE[:2]) if keys["offset"] == "0" else later
    results = searched(server)
    assert results.rows == tuple(FIVE[:2])
    assert results.doubt is None if doubt is None else doubt in (results.doubt or "")


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Answer(status=401), ArchiveUnusableError, r"does not let Carina in \(HTTP 401\).*CARINA_DICOMWEB_TOKEN"),
        (Answer(status=404), PeerError, r"has no DICOMweb service at this address \(HTTP 404\)"),
        (
            Answer(status=302, headers={"Location": "/login"}),
            ArchiveUnusableError,
            r"sends Carina to another address \(HTTP 302\).*sign in",
        ),
        (Answer(LOGIN_PAGE, "text/html; charset=utf-8"), ArchiveUnusableError, "answers with a web page.*sign in"),
        # Whatever type it says.
        (Answer(b"\xef\xbb\xbf" + LOGIN_PAGE, "application/dicom+json"), ArchiveUnusableError, "with a web page"),
        (Answer(b'<?xml version="1.0"?><a/>', "application/dicom+xml"), PeerError, "no list in JSON"),
        (Answer(b'[{"0020', "application/dicom+json"), PeerError, "7 bytes that are no list in JSON"),
        (Answer(b"true"), PeerError, "no list in JSON"),
        (Answer("[é".encode("latin-1")), PeerError, "no list in JSON"),
    ],
)
def test_what_is_no_answer(server: WebServer, answer: Answer, error: type[PeerError], message: str) -> None:
    server.found = lambda _: answer
    with pytest.raises(error, match=message):
        searched(server)
    # A redirection is not followed: nobody knows where it leads.
    assert [path for path, _ in server.asked] == ["/web/series"]


@pytest.mark.parametrize(
    "answer",
    [
        rows(*FIVE, kind="text/plain"),
        rows(*FIVE, kind=""),
        rows(*FIVE, kind="application/dicom+json; charset=iso-8859-1"),
        Answer(b"\xef\xbb\xbf" + json.dumps(FIVE).encode()),
        Answer(json.dumps(FIVE).encode("utf-16")),
        Answer(gzip.compress(json.dumps(FIVE).encode()), headers={"Content-Encoding": "gzip"}),
        Answer(json.dumps([{**FIVE[0], "00081030": {"Value": ["é"]}}], ensure_ascii=False).encode("latin-1")),
    ],
    ids=["text", "no type", "another charset", "mark", "utf-16", "gzip", "latin-1"],
)
def test_an_answer_is_read_whatever_its_head_says(server: WebServer, answer: Answer) -> None:
    server.found = lambda _: answer
    assert searched(server).rows[0]["0020000E"] == FIVE[0]["0020000E"]


def test_nothing_is_an_answer(server: WebServer) -> None:
    server.found = lambda _: Answer(status=204)
    assert searched(server) == SearchResults(())


def test_an_answer_that_is_cut_off_is_none(server: WebServer) -> None:
    from requests import RequestException

    server.found = lambda _: rows(*FIVE, cut=20)
    with pytest.raises(RequestException):
        searched(server)


def test_a_passing_failure_is_tried_again(server: WebServer) -> None:
    answers: list[Any] = [Answer(status=503, headers={"Retry-After": "3600"}), rows(*FIVE), Answer(status=204)]
    server.found = lambda _: answers.pop(0)
    web = web_at(server.url)
    with open_session(web, tries=3) as session:
        # At once, not in the hour that it asks for.
        assert search(session, web, "series", KEYS) == SearchResults(tuple(FIVE))
    server.found = lambda _: Answer(status=503)
    with open_session(web) as session, pytest.raises(PeerError, match="HTTP 503"):
        search(session, web, "series", KEYS)
