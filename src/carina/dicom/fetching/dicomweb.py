"""An archive that is asked by QIDO-RS and answers by WADO-RS (PS3.18 10.4, 10.6).

Objects are not decoded here: one that means harm is to be opened by the judge's process alone.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import TypeVar

import requests

from carina.dicom.fetching.qido import search
from carina.dicom.fetching.query import Delivery, Found, Keep, Missing, Series, not_a_uid
from carina.dicom.fetching.wanted import Wanted
from carina.dicom.transport.multipart import MultipartError, boundary_of, read_parts
from carina.dicom.transport.settings import Web
from carina.dicom.transport.web import (
    TIMEOUT,
    Row,
    in_a_word,
    is_web_page,
    open_session,
    page_for_people,
    refusal,
    values,
)
from carina.errors import ArchiveUnusableError, PeerError
from carina.radiographs.dicom.uids import bare_uid, is_uid

_Result = TypeVar("_Result")
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_MODALITY, _STUDY_DATE, _IMAGES = "00080060", "00080020", "00201209"
_CHUNK = 1_048_576
# Any transfer syntax: as the object is stored.
_OBJECTS = 'multipart/related; type="application/dicom"; transfer-syntax=*'
# Of a DICOM file, up to behind its four letters.
_HEAD = 132


class WebArchive:
    """A DICOMweb server, and the largest object that is taken from it."""

    def __init__(self, web: Web, object_bytes: int) -> None:
        self._web = web
        self._object_bytes = object_bytes
        self._session = open_session(web, tries=3)

    def find(self, wanted: Wanted) -> Found:
        """Return the series that fit; see `carina.dicom.fetching.query.Archive`."""
        return self._asked(lambda: self._find(wanted))

    def _find(self, wanted: Wanted) -> Found:
        rows, missing = dict[str, Row](), dict[str, Missing]()
        for number, modality in enumerate(wanted.modalities):
            try:
                results = search(self._session, self._web, "series", {"StudyDate": wanted.dates, "Modality": modality})
            except (PeerError, requests.RequestException) as error:
                if not number:
                    raise
                doubt: str | None = f"The search for {modality} failed: {self._in_words(error)}"
            else:
                doubt = results.doubt
                rows.update((f"{values(row, _STUDY)} {values(row, _SERIES)}", row) for row in results.rows)
            if doubt is not None:
                missing[doubt] = Missing("search-incomplete", doubt)
        series, unfit = dict[Series, None](), 0
        for name, row in rows.items():
            study_uid, series_uid = _text(row, _STUDY), _text(row, _SERIES)
            if not (wanted.has_modality(values(row, _MODALITY)) and wanted.has_date(_text(row, _STUDY_DATE))):
                unfit += 1
            elif is_uid(study_uid) and is_uid(series_uid):
                series[Series(study_uid, series_uid, self._images(row, study_uid, series_uid))] = None
            else:
                # They would become a part of an address.
                message = not_a_uid("A series", self._web.url)
                missing[name] = Missing("not-a-uid", message, study_uid or None, series_uid or None)
        return Found(tuple(series), tuple(missing.values()), unfit)

    def _images(self, row: Row, study_uid: str, series_uid: str) -> int | None:
        """Return how many images a series has, by what is said of it or, if nothing is, by their list."""
        try:
            return int(_text(row, _IMAGES))
        except ValueError:
            pass
        try:
            results = search(self._session, self._web, f"studies/{study_uid}/series/{series_uid}/instances", {})
        except (PeerError, requests.RequestException):
            return None
        uids = {_text(row, _INSTANCE) for row in results.rows} - {""}
        return len(uids) if uids and results.doubt is None else None

    def fetch(self, series: Series, keep: Keep) -> Delivery:
        """Fetch a series; see `carina.dicom.fetching.query.Archive`."""
        return self._asked(lambda: self._fetch(series, keep))

    def _fetch(self, series: Series, keep: Keep) -> Delivery:
        url = f"{self._web.url}/studies/{series.study}/series/{series.series}"
        with self._session.get(
            url, headers={"Accept": _OBJECTS}, timeout=TIMEOUT, stream=True, allow_redirects=False
        ) as answer:
            if answer.status_code == 204:
                return Delivery()
            if answer.status_code not in (200, 206):
                error = refusal(self._web, answer.status_code)
                if isinstance(error, ArchiveUnusableError):
                    raise error
                msg = f"{self._web.url} does not give what it found (HTTP {answer.status_code})."
                raise PeerError(msg)
            unusable = 0
            for part in self._parts(answer):
                if part is None or part[128:_HEAD] != b"DICM":
                    unusable += 1
                else:
                    keep([part])
            return Delivery(unusable=unusable, partial=answer.status_code == 206)

    def _parts(self, answer: requests.Response) -> Iterator[bytes | None]:
        """Yield the objects in an answer, none for one that is too large, whatever its Content-Type says."""
        kind, chunks, beginning = answer.headers.get("Content-Type", ""), answer.iter_content(_CHUNK), b""
        while len(beginning) < _HEAD and (chunk := next(chunks, None)) is not None:
            beginning += chunk
        if is_web_page(kind, beginning):
            raise page_for_people(self._web)
        if beginning[128:_HEAD] == b"DICM":
            # One object alone, without a multipart message around it.
            yield _whole(chain([beginning], chunks), self._object_bytes)
        elif beginning:
            yield from read_parts(chain([beginning], chunks), boundary_of(kind, beginning), self._object_bytes)

    def _asked(self, ask: Callable[[], _Result]) -> _Result:
        """Return what a request gives, or say in one sentence why it gives nothing."""
        try:
            return ask()
        except requests.RequestException as error:
            kind = PeerError if in_a_word(error) == "connection-lost" else ArchiveUnusableError
            raise kind(self._in_words(error)) from None
        except MultipartError as error:
            msg = f"{self._web.url} gave an answer that is not understood: {error}."
            raise PeerError(msg) from None

    def _in_words(self, error: Exception) -> str:
        if isinstance(error, PeerError):
            return str(error)
        return (
            f"{self._web.url} does not answer as a DICOMweb server ({in_a_word(error)}). Check its address and that it "
            "runs."
        )


def _text(row: Row, tag: str) -> str:
    """Return an attribute as text, nothing where it has none; several values stay several, and are no UID."""
    return "\\".join(bare_uid(str(value)) for value in values(row, tag))


def _whole(chunks: Iterator[bytes], largest: int) -> bytes | None:
    """Return all that comes, none where it is more than the largest."""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > largest:
            return None
    return bytes(content)
