"""Files go to a DICOMweb server by STOW-RS (PS3.18 10.5), one a request, as they are.

The body is read from the file as it is sent, and a request is never repeated by a library: it would go on with what is
left of the body.
"""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import requests

from carina.dicom.sending.outcome import NOT_DICOM, Outcome, not_read
from carina.dicom.sending.stow_answer import outcome_of
from carina.dicom.transport.file_meta import read_meta
from carina.dicom.transport.settings import Web
from carina.dicom.transport.web import TIMEOUT, in_a_word, open_session, read_answer

_LONGEST_ANSWER = 1_000_000


class StowSender:
    """Sends files to a DICOMweb server."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        """Return what became of each file, in the same order."""
        with open_session(self._web) as session:
            return [self._send_one(session, path) for path in paths]

    def _send_one(self, session: requests.Session, path: Path) -> Outcome:
        try:
            if (meta := read_meta(path, "MediaStorageSOPInstanceUID")) is None:
                return NOT_DICOM
            with path.open("rb") as stream:
                body = _Body(stream, path.stat().st_size)
                headers = {
                    "Content-Type": f'multipart/related; type="application/dicom"; boundary="{body.boundary}"',
                    "Accept": "application/dicom+json, application/dicom+xml;q=0.5",
                }
                with session.post(
                    f"{self._web.url}/studies",
                    data=body,
                    headers=headers,
                    timeout=TIMEOUT,
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    content = read_answer(answer, _LONGEST_ANSWER)
                    return outcome_of(answer.status_code, answer.headers.get("Content-Type", ""), content, meta[0])
        except requests.RequestException as error:
            return Outcome("try again", in_a_word(error))
        except OSError as error:
            return not_read(error)


class _Body:
    """A request's body around one file, read as it is sent; requests takes it for a file of known length."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        # Random, so that no file can hold it by intent.
        self.boundary = secrets.token_hex(24)
        self._head = f"--{self.boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
        self._tail = f"\r\n--{self.boundary}--\r\n".encode("ascii")
        self._stream = stream
        self._size = size

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def read(self, count: int = -1) -> bytes:
        """Return the next bytes: the head, the file, the tail."""
        if self._head:
            part, self._head = self._head, b""
            return part
        if part := self._stream.read(count):
            return part
        part, self._tail = self._tail, b""
        return part
