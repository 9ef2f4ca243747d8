"""What STOW-RS, QIDO-RS and WADO-RS share: a session with time limits, certificates and a token."""

import os
from functools import partial
from typing import Any

from dicomweb_client.session_utils import create_session

from carina.dicom.network.settings import Web

# To connect, and between two bytes.
TIMEOUT = (10.0, 60.0)
TOKEN = "CARINA_DICOMWEB_TOKEN"  # noqa: S105  # its name


def open_session(web: Web) -> Any:
    """Return a session (of requests) for a server; its certificate is always checked."""
    session = create_session()
    tls = web.tls
    if tls.ca is not None:
        # With each request: a session's own setting yields to REQUESTS_CA_BUNDLE in the environment.
        session.request = partial(session.request, verify=str(tls.ca))
    if tls.certificate is not None:
        session.cert = (str(tls.certificate), str(tls.key))
    if token := os.environ.get(TOKEN):
        # As an authentication, not a header: those are replaced by what ~/.netrc says.
        session.auth = _Bearer(token)
    return session


def in_a_word(error: Exception) -> str:
    """Return why a request (of requests) failed."""
    from requests import exceptions  # noqa: PLC0415  # of dicomweb-client

    if isinstance(error, exceptions.SSLError):
        return "tls-failed"
    if isinstance(error, exceptions.Timeout):
        return "no-answer"
    return "no-connection" if isinstance(error, exceptions.ConnectionError) else "connection-lost"


class _Bearer:
    """Shows a token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
