"""Files go to a DICOMweb server by STOW-RS (PS3.18 10.5), one a request, as they are.

dicomweb-client's own sending reads all files into memory, encodes them anew, marks their ends with a text that stands
in its source and may stand in a file, and repeats a request with what is left of its body.
"""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from carina.dicom.network.sending import SENT, Outcome
from carina.dicom.network.settings import Web
from carina.dicom.network.web import TIMEOUT, in_a_word, open_session

_LONGEST_ANSWER = 1_000_000
# Source: PS3.18 table 10.5.3-1; 202: stored, or not, with remarks.
_TELLS_MORE = frozenset({200, 202, 409})
_PASSING = frozenset({202, 408, 425, 429, 500, 502, 503, 504, 507})
_FAILED, _FAILURE_REASON = "00081198", "00081197"
# Source: PS3.7 C.4.2, duplicate SOP instance: it is there already.
_DUPLICATE = 0x0111


class StowSender:
    """Sends files to a DICOMweb server.

    Parameters
    ----------
    web
        Where to.
    """

    def __init__(self, web: Web) -> None:
        self._url = f"{web.url}/studies"
        self._web = web

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        """Return what became of each file, in the same order."""
        with open_session(self._web) as session:
            return [self._send_one(session, path) for path in paths]

    def _send_one(self, session: Any, path: Path) -> Outcome:
        from requests import RequestException  # noqa: PLC0415  # of dicomweb-client

        try:
            with path.open("rb") as stream:
                stream.seek(128)
                if stream.read(4) != b"DICM":
                    return Outcome("not-a-dicom-file", lasting=True)
                stream.seek(0)
                body = _Body(stream, path.stat().st_size)
                headers = {
                    "Content-Type": f'multipart/related; type="application/dicom"; boundary="{body.boundary}"',
                    "Accept": "application/dicom+json",
                }
                with session.post(
                    self._url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True
                ) as answer:
                    return _outcome(answer.status_code, _beginning(answer))
        except RequestException as error:
            return Outcome(in_a_word(error))
        except OSError:
            return Outcome("unreadable-file", lasting=True)


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


def _beginning(answer: Any) -> bytes:
    content = b""
    for part in answer.iter_content(65_536):
        content += part
        if len(content) > _LONGEST_ANSWER:
            break
    return content


def _outcome(status: int, content: bytes) -> Outcome:
    """Return what an answer says of the one file that was sent."""
    reasons = _failures(content) if status in _TELLS_MORE else None
    if reasons:
        if all(reason == _DUPLICATE for reason in reasons):
            return SENT
        passing = 0xA700 <= reasons[0] <= 0xA7FF or reasons[0] == 0x0110
        return Outcome(f"status-0x{reasons[0]:04X}", lasting=not passing)
    # 202 may hide a failure in an answer that is not understood.
    if status == 200 or (status == 202 and reasons is not None):
        return SENT
    return Outcome(f"http-{status}", lasting=status not in _PASSING)


def _failures(content: bytes) -> list[int] | None:
    """Return the reasons for failure that an answer names, 0x0110 (processing) where it gives none for one.

    None where the answer is not understood.
    """
    try:
        said = json.loads(content)
        said = said[0] if isinstance(said, list) else said
        items = said.get(_FAILED, {}).get("Value", [])
        return [int((item.get(_FAILURE_REASON, {}).get("Value") or [0x0110])[0]) for item in items]
    except (ValueError, TypeError, AttributeError, IndexError):
        return None
