"""What STOW-RS, QIDO-RS and WADO-RS share: a session with limits, certificates and a token, and how it is refused."""

import os
import time
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from carina.dicom.transport.settings import Web
from carina.errors import ArchiveUnusableError, PeerError

# To connect, and between two bytes.
TIMEOUT = (10.0, 60.0)
TOKEN = "CARINA_DICOMWEB_TOKEN"  # noqa: S105  # its name
# Statuses after which the same may succeed.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
_REDIRECTIONS = frozenset({301, 302, 303, 307, 308})
_OTHER_REFUSALS: tuple[tuple[frozenset[int], str], ...] = (
    (frozenset({404, 405, 410}), "has no DICOMweb service at this address {status}. Check the path in the address."),
    (frozenset({409, 422}), "cannot take or find what was asked {status}, and does not say why. Look into its log."),
    (frozenset({413}), "takes no request of this size {status}. Have the limit raised there, or in its proxy."),
    (frozenset({406, 415}), "does not take this kind of object or transfer syntax {status}. Have it enabled there."),
    (frozenset({408, 425, 429, 503, 504}), "is busy or does not answer in time {status}. Try again later."),
    (frozenset({507}), "has no room left {status}. Tell whoever runs it."),
)
_UNKNOWN_REFUSAL = "does not answer as a DICOMweb server {status}. Check its address and that it runs."
# For a whole answer that is no image.
_ANSWER_S = 300.0
# A data set in DICOM's JSON.
Row = dict[str, Any]


def open_session(web: Web, *, tries: int = 1) -> requests.Session:
    """Return a session for a server; its certificate is always checked.

    More than one of the `tries` is for requests without a body: what was read of it does not come again.
    """
    session = requests.Session()
    tls = web.tls
    if tls.ca is not None:
        # With each request: a session's own setting yields to REQUESTS_CA_BUNDLE in the environment.
        session.request = partial(session.request, verify=str(tls.ca))  # type: ignore[method-assign]
    if tls.certificate is not None:
        session.cert = (str(tls.certificate), str(tls.key))
    if token := os.environ.get(TOKEN):
        # As an authentication, not a header: those are replaced by what ~/.netrc says.
        session.auth = partial(_show_token, token)
    # A server may ask for a pause of any length, and nobody would know what is waited for.
    retry = Retry(
        tries - 1,
        backoff_factor=0.5,
        status_forcelist=PASSING,
        allowed_methods={"GET"},
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def in_a_word(error: Exception) -> str:
    """Return why a request failed."""
    exceptions = requests.exceptions
    if isinstance(error, exceptions.SSLError):
        return "tls-failed"
    if isinstance(error, exceptions.Timeout):
        return "no-answer"
    if error.args and isinstance(error.args[0], ReadTimeoutError):
        # It stopped in the middle of an answer; requests calls that a failed connection.
        return "connection-lost"
    return "no-connection" if isinstance(error, exceptions.ConnectionError) else "connection-lost"


def refusal(web: Web, status: int) -> PeerError:
    """Return what is said of an HTTP status that is not a success."""
    if status in (401, 403):
        return ArchiveUnusableError(
            f"{web.url} does not let Carina in (HTTP {status}). Check the password in ~/.netrc, or whether the token "
            f"in {TOKEN} has expired."
        )
    if status in _REDIRECTIONS:
        return ArchiveUnusableError(
            f"{web.url} sends Carina to another address (HTTP {status}), which is not followed. Servers do so when "
            f"somebody has to sign in: check the address, and whether the token in {TOKEN} has expired."
        )
    said = next((said for statuses, said in _OTHER_REFUSALS if status in statuses), _UNKNOWN_REFUSAL)
    return PeerError(f"{web.url} {said.format(status=f'(HTTP {status})')}")


def page_for_people(web: Web) -> PeerError:
    """Return what is said of a web page where data was asked for."""
    return ArchiveUnusableError(
        f"{web.url} answers with a web page and not with data. Servers do so when somebody has to sign in: check the "
        f"address, and whether the token in {TOKEN} has expired."
    )


def is_web_page(content_type: str, beginning: bytes) -> bool:
    """Tell whether an answer is a web page, by its type or, where that is wrong, by how it begins."""
    kind = content_type.partition(";")[0].strip().lower()
    start = beginning.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower()
    return kind in ("text/html", "application/xhtml+xml") or start.startswith((b"<!doctype html", b"<html"))


def read_answer(answer: requests.Response, most: int) -> bytes:
    """Return the content of an answer, cut off after one byte more than `most`.

    Raises
    ------
    requests.RequestException
        If it ends in the middle, or takes more than five minutes.
    """
    content, until = bytearray(), time.monotonic() + _ANSWER_S
    for part in answer.iter_content(65_536):
        content += part
        if len(content) > most:
            break
        if time.monotonic() > until:
            raise requests.exceptions.ReadTimeout
    return bytes(content[: most + 1])


def values(row: Row, tag: str) -> list[Any]:
    """Return the values of an attribute of a data set in DICOM's JSON, none where it has none."""
    attribute = row.get(tag)
    given = attribute.get("Value") if isinstance(attribute, dict) else None
    return given if isinstance(given, list) else []


def _show_token(token: str, request: Any) -> Any:
    request.headers["Authorization"] = f"Bearer {token}"
    return request
