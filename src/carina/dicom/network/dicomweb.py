"""An archive that is asked by QIDO-RS and answers by WADO-RS (PS3.18 10.4, 10.6).

dicomweb-client asks; objects are fetched here, since it decodes what it gets, and an object that means harm is to be
opened by the judge's process alone.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from dicomweb_client import DICOMwebClient

from carina.dicom.network.multipart import MultipartError, boundary_of, read_parts
from carina.dicom.network.query import Keep, Series, Wanted, is_uid
from carina.dicom.network.settings import Web
from carina.dicom.network.web import TIMEOUT, in_a_word, open_session
from carina.errors import PeerError

_Result = TypeVar("_Result")
_PAGE = 500
# A server that gives the same page for ever is not asked for ever.
_MOST = 100_000
_STUDY, _SERIES = "0020000D", "0020000E"
_CHUNK = 1_048_576
# Any transfer syntax: as the object is stored.
_OBJECTS = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class WebArchive:
    """A DICOMweb server.

    Parameters
    ----------
    web
        Its address.
    object_bytes
        The largest object that is taken.
    """

    def __init__(self, web: Web, object_bytes: int) -> None:
        self._web = web
        self._object_bytes = object_bytes
        self._session = open_session(web)
        self._client = DICOMwebClient(web.url, session=self._session, timeout=TIMEOUT)
        # Of its own accord it tries for half a minute, also an address that was mistyped.
        self._client.set_http_retry_params(max_attempts=3, wait_exponential_multiplier=500)

    def find(self, wanted: Wanted) -> list[Series]:
        """Return the series that fit; see `carina.dicom.network.query.Archive`."""
        return self._asked(lambda: self._find(wanted))

    def _find(self, wanted: Wanted) -> list[Series]:
        found: dict[Series, None] = {}
        for modality in wanted.modalities:
            offset, news = 0, True
            while news and len(found) < _MOST:
                page = self._client.search_for_series(
                    search_filters={"StudyDate": wanted.dates, "Modality": modality}, limit=_PAGE, offset=offset
                )
                before = len(found)
                found.update(dict.fromkeys(filter(None, map(_series, page))))
                offset += len(page)
                news = len(found) > before and len(page) >= _PAGE
        return list(found)

    def fetch(self, series: Series, keep: Keep) -> int:
        """Fetch a series; see `carina.dicom.network.query.Archive`."""
        return self._asked(lambda: self._fetch(series, keep))

    def _fetch(self, series: Series, keep: Keep) -> int:
        url = f"{self._web.url}/studies/{series.study}/series/{series.series}"
        with self._session.get(
            url, headers={"Accept": _OBJECTS}, timeout=TIMEOUT, stream=True, allow_redirects=False
        ) as answer:
            if answer.status_code not in (200, 206):
                msg = f"{self._web.url} does not give a series that it found (HTTP {answer.status_code})."
                raise PeerError(msg)
            boundary = boundary_of(answer.headers.get("Content-Type", ""))
            lost = 0
            for part in read_parts(answer.iter_content(_CHUNK), boundary, self._object_bytes):
                if part is None or part[128:132] != b"DICM":
                    lost += 1
                else:
                    keep([part])
            return lost

    def _asked(self, ask: Callable[[], _Result]) -> _Result:
        """Return what a request gives, or say in one sentence why it gives nothing."""
        from requests import RequestException  # noqa: PLC0415  # of dicomweb-client

        try:
            return ask()
        except RequestException as error:
            status = getattr(error.response, "status_code", None)
            reason = in_a_word(error) if status is None else f"HTTP {status}"
            msg = (
                f"{self._web.url} does not answer as a DICOMweb server ({reason}). Check its address and that it runs."
            )
            raise PeerError(msg) from None
        except (MultipartError, ValueError, TypeError) as error:
            msg = f"{self._web.url} gave an answer that is not understood ({type(error).__name__})."
            raise PeerError(msg) from None


def _series(item: Any) -> Series | None:
    """Return a series that a server names, if its UIDs are ones: they become part of an address."""
    try:
        study, series = item[_STUDY]["Value"][0], item[_SERIES]["Value"][0]
    except (KeyError, IndexError, TypeError):
        return None
    return Series(study, series) if is_uid(study) and is_uid(series) else None
