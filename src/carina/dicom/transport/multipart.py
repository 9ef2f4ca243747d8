"""A multipart message is taken apart as it comes in, a part at a time in memory. Source: RFC 2046 5.1.1."""

from collections.abc import Iterable, Iterator
from email.message import Message

# Of the headers of a part; those of DICOMweb have three lines.
_LONGEST_HEAD = 65_536
_LONGEST_BOUNDARY = 70


class MultipartError(ValueError):
    """A message is no multipart message, or ends in the middle."""


def boundary_of(content_type: str, beginning: bytes = b"") -> bytes:
    """Return the boundary that a Content-Type names or, where it names none, with which a message begins.

    Raises
    ------
    MultipartError
        If there is none.
    """
    message = Message()
    message["Content-Type"] = content_type
    named = message.get_param("boundary") if message.get_content_maintype() == "multipart" else None
    if isinstance(named, str):
        boundary = named.encode("ascii", "replace")
    else:
        line = beginning.lstrip(b"\r\n")[: _LONGEST_BOUNDARY + 4]
        boundary = line[2:].partition(b"\r\n")[0] if line.startswith(b"--") and b"\r\n" in line else b""
    if not boundary:
        msg = "no multipart message"
        raise MultipartError(msg)
    if len(boundary) > _LONGEST_BOUNDARY:
        msg = "a boundary that is too long"
        raise MultipartError(msg)
    return boundary


def read_parts(chunks: Iterable[bytes], boundary: bytes, largest: int) -> Iterator[bytes | None]:
    """Yield the content of each part, none for one that has more bytes than the largest; it is not kept.

    The message's body comes in pieces of any length.

    Raises
    ------
    MultipartError
        If the message ends in the middle. Parts that were whole were yielded before.
    """
    # A delimiter begins a line; before the first one there may be none.
    delimiter, stream = b"\r\n--" + boundary, _Stream(chunks)
    stream.push(b"\r\n")
    stream.skip_past(delimiter)
    while not stream.follows(b"--"):
        # To the end of the delimiter's line, and of the headers; there may be none of them.
        if stream.take_until(b"\r\n", _LONGEST_HEAD) is None:
            msg = "a delimiter that is none"
            raise MultipartError(msg)
        stream.push(b"\r\n")
        if stream.take_until(b"\r\n\r\n", _LONGEST_HEAD) is None:
            msg = "headers without end"
            raise MultipartError(msg)
        yield stream.take_until(delimiter, largest)


class _Stream:
    """Bytes that come in pieces, searched for what ends a section."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()

    def push(self, content: bytes) -> None:
        """Put bytes back, before all that follow."""
        self._held[:0] = content

    def _more(self) -> None:
        for chunk in self._chunks:
            if chunk:
                self._held += chunk
                return
        msg = "the message ends in the middle"
        raise MultipartError(msg)

    def follows(self, expected: bytes) -> bool:
        """Tell whether certain bytes come next."""
        while len(self._held) < len(expected):
            self._more()
        return self._held.startswith(expected)

    def skip_past(self, end: bytes) -> None:
        """Drop everything up to an end, and it as well."""
        self.take_until(end, 0)

    def take_until(self, end: bytes, largest: int) -> bytes | None:
        """Return what stands before an end, which is dropped; none where that is more than the largest."""
        parts: list[bytes] = []
        taken, too_large = 0, False
        while True:
            found = self._held.find(end)
            # An end may begin in the last bytes and go on in the next piece.
            sure = found if found >= 0 else max(0, len(self._held) - len(end) + 1)
            taken += sure
            if taken > largest:
                too_large, parts = True, []
            else:
                parts.append(bytes(self._held[:sure]))
            del self._held[:sure]
            if found >= 0:
                del self._held[: len(end)]
                return None if too_large else b"".join(parts)
            self._more()
