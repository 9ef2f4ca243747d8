"""Radiographs are found and fetched by DICOMweb: what cannot be asked for or did not arrive is told."""

import gzip
from collections.abc import Iterator, Sequence

import pytest

from carina.dicom.fetching import dicomweb
from carina.dicom.fetching.dicomweb import WebArchive
from carina.dicom.fetching.query import Delivery, Found, Missing, Series
from carina.dicom.fetching.wanted import Wanted
from carina.dicom.transport.settings import web_at
from carina.errors import ArchiveUnusableError, PeerError
from dicom_archives import (
    LOGIN_PAGE,
    MULTIPART,
    Answer,
    WebServer,
    as_file,
    multipart,
    paged,
    row_of,
    rows,
    series_of,
    web_server,
)
from dicom_stand_in import make_image

WANTED = Wanted("20260102", ("CR",))
ONE, TWO, LARGE = as_file(make_image(1)), as_file(make_image(2)), as_file(make_image(3, side=400))


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as made:
        yield made


def archive(server: WebServer) -> WebArchive:
    return WebArchive(web_at(server.url), 100_000)


def test_series_are_found_once_with_their_number_of_images(server: WebServer) -> None:
    found = archive(server).find(Wanted("20260101-20260102", ("CR", "DX")))
    assert found == Found(tuple(series_of(n) for n in range(3)))
    assert [series.images for series in found.series] == [1, 1, 1]
    assert {keys["Modality"] for _, keys in server.asked} == {"CR", "DX"}
    assert {keys["StudyDate"] for _, keys in server.asked} == {"20260101-20260102"}


def test_where_the_number_of_images_is_not_said_they_are_listed(server: WebServer) -> None:
    server.found = paged([row_of(series_of(1))])
    server.instances = paged([{"00080018": {"Value": [f"1.2.{number}"]}} for number in range(3)], most=2)
    (series,) = archive(server).find(WANTED).series
    assert series.images == 3
    where = f"/web/studies/{series.study}/series/{series.series}/instances"
    assert [path for path, _ in server.asked].count(where) == 3
    server.instances = lambda _: Answer(status=404)
    assert archive(server).find(WANTED).series[0].images is None


def test_modalities_and_dates_of_others_are_left_out_and_counted(server: WebServer) -> None:
    answers = [
        row_of(series_of(1, 1), x00080060=["OT", "CR"]),
        row_of(series_of(2, 1), x00080060="cr", x00080020="20260102"),
        row_of(series_of(3, 1), x00080060="CT"),
        row_of(series_of(4, 1), x00080060="CR", x00080020="20260103"),
    ]
    server.found = paged(answers)
    assert archive(server).find(WANTED) == Found((series_of(1), series_of(2)), unfit=2)


@pytest.mark.parametrize("uid", ["../../../etc", "1.2?x=", "", "1.2.840.ABC.5", "1." + "2" * 63, "*"])
def test_uids_that_are_none_lead_nowhere_and_are_told(server: WebServer, uid: str) -> None:
    server.found = paged([row_of(Series("1.2", uid, 1)), row_of(series_of(1, 1)), row_of(Series(uid, "1.3", 1))])
    found = archive(server).find(WANTED)
    assert found.series == (series_of(1),)
    assert [missing.code for missing in found.missing] == ["not-a-uid", "not-a-uid"]
    assert [(missing.study, missing.series) for missing in found.missing] == [
        ("1.2", uid or None),
        (uid or None, "1.3"),
    ]
    assert all("a UID has digits and dots" in missing.message for missing in found.missing)
    assert {path for path, _ in server.asked} == {"/web/series"}


def test_two_uids_in_one_are_none(server: WebServer) -> None:
    series = row_of(series_of(1, 1))
    series["0020000E"]["Value"].append("1.2.3")
    padded = row_of(Series("1.2\0", " 1.3", 1))
    server.found = paged([series, padded])
    found = archive(server).find(WANTED)
    assert found.series == (Series("1.2", "1.3"),)
    assert [missing.code for missing in found.missing] == ["not-a-uid"]


@pytest.mark.parametrize("content", [b'["text"]', b'[{"0020000D": {"Value": []}}]', b'[{"0020000D": 7}]', b"{}"])
def test_a_result_without_uids_is_told(server: WebServer, content: bytes) -> None:
    server.found = lambda _: Answer(content)
    found = archive(server).find(WANTED)
    assert (found.series, [missing.code for missing in found.missing]) == ((), ["not-a-uid"])


def test_one_search_that_fails_does_not_cost_the_other(server: WebServer) -> None:
    answer = server.found
    server.found = lambda keys: answer(keys) if keys["Modality"] == "CR" else Answer(status=400)
    found = archive(server).find(Wanted("20260102", ("CR", "DX")))
    assert len(found.series) == 3
    (missing,) = found.missing
    assert missing.code == "search-incomplete"
    assert missing.message.startswith("The search for DX failed: http")
    assert "(HTTP 400)" in missing.message


def test_a_search_that_hides_the_rest_is_told(server: WebServer) -> None:
    server.found = lambda _: rows(row_of(series_of(1, 1)), headers={"Warning": "299 server: more"})
    (missing,) = archive(server).find(Wanted("20260102", ("CR", "DX"))).missing
    assert missing == Missing("search-incomplete", missing.message)


def test_an_archive_that_is_not_there(server: WebServer) -> None:
    asked = archive(server)
    server.shutdown()
    server.server_close()
    for ask in (lambda: asked.find(WANTED), lambda: asked.fetch(series_of(1), lambda _: None)):
        with pytest.raises(ArchiveUnusableError, match=r"does not answer as a DICOMweb server \(no-connection\)"):
            ask()


def fetched(server: WebServer, answer: Answer) -> tuple[list[bytes], Delivery]:
    server.given = lambda _: answer
    kept: list[bytes] = []

    def keep(parts: Sequence[bytes]) -> None:
        kept.append(b"".join(parts))

    return kept, archive(server).fetch(series_of(1), keep)


@pytest.mark.parametrize(
    ("answer", "kept", "said"),
    [
        (multipart(ONE, TWO), [ONE, TWO], Delivery()),
        (multipart(ONE, b"no DICOM", LARGE, TWO), [ONE, TWO], Delivery(unusable=2)),
        (multipart(ONE, status=206), [ONE], Delivery(partial=True)),
        (multipart(), [], Delivery()),
        (Answer(status=204, kind=""), [], Delivery()),
        (Answer(), [], Delivery()),
        # One object without a message around it.
        (Answer(ONE, "application/dicom"), [ONE], Delivery()),
        (Answer(ONE, ""), [ONE], Delivery()),
        (Answer(LARGE, "application/dicom"), [], Delivery(unusable=1)),
        # A good message with a head that is wrong, or none.
        (multipart(ONE, kind="multipart/related; type=application/dicom; boundary=xyz"), [ONE], Delivery()),
        (multipart(ONE, TWO, kind='multipart/related; type="application/dicom"'), [ONE, TWO], Delivery()),
        (multipart(ONE, kind="application/octet-stream"), [ONE], Delivery()),
        (
            Answer(gzip.compress(multipart(ONE).content), MULTIPART, headers={"Content-Encoding": "gzip"}),
            [ONE],
            Delivery(),
        ),
    ],
)
def test_objects_are_kept_as_they_came(server: WebServer, answer: Answer, kept: list[bytes], said: Delivery) -> None:
    assert fetched(server, answer) == (kept, said)


def test_a_message_in_chunks(server: WebServer) -> None:
    body = multipart(ONE, TWO).content
    pieces = [body[start : start + 5000] for start in range(0, len(body), 5000)]
    chunked = b"".join(b"%x\r\n" % len(piece) + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
    head = {"Transfer-Encoding": "chunked", "Connection": "close"}
    assert fetched(server, Answer(chunked, MULTIPART, headers=head)) == ([ONE, TWO], Delivery())


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Answer(status=404), PeerError, r"does not give what it found \(HTTP 404\)"),
        (Answer(status=403), ArchiveUnusableError, r"does not let Carina in \(HTTP 403\)"),
        (Answer(status=302), ArchiveUnusableError, r"sends Carina to another address \(HTTP 302\)"),
        (Answer(LOGIN_PAGE, "text/html"), ArchiveUnusableError, "answers with a web page"),
        (Answer(LOGIN_PAGE, MULTIPART), ArchiveUnusableError, "answers with a web page"),
        (Answer(b"What?", "text/plain"), PeerError, "not understood: no multipart message"),
        (Answer(b"--" + b"x" * 100 + b"\r\n", "multipart/related"), PeerError, "no multipart message"),
    ],
)
def test_what_is_no_series(server: WebServer, answer: Answer, error: type[PeerError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        fetched(server, answer)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (multipart(ONE, TWO, cut=2000), "connection-lost"),
        (multipart(ONE, TWO, cut=2000, stall_s=1), "connection-lost"),
        (Answer(multipart(ONE, TWO).content[:-2000], MULTIPART), "the message ends in the middle"),
    ],
)
def test_what_was_whole_before_the_message_ended_is_kept(
    server: WebServer, answer: Answer, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of what comes in one piece nothing is had if it is cut off.
    monkeypatch.setattr(dicomweb, "_CHUNK", 1000)
    monkeypatch.setattr(dicomweb, "TIMEOUT", (10.0, 0.3))
    server.given = lambda _: answer
    kept: list[Sequence[bytes]] = []
    with pytest.raises(PeerError, match=message) as caught:
        archive(server).fetch(series_of(1), kept.append)
    assert kept == [[ONE]]
    # The next series may arrive.
    assert not isinstance(caught.value, ArchiveUnusableError)
