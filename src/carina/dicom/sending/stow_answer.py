"""What a DICOMweb server answers to STOW-RS, in JSON or XML (PS3.18 10.5.3, PS3.3 C.36.1).

A status alone is no answer: pages for signing in, proxies and caches say 200 as well.
"""

import json
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from carina.dicom.sending.outcome import BEING_WRITTEN, DUPLICATE, TAKEN, THERE, Outcome, is_passing
from carina.dicom.transport.web import PASSING, Row, is_web_page, values

# Source: PS3.18 table 10.5.3-1: in these an answer tells what became of each instance.
_TELLS = frozenset({200, 202, 409})
_REFERENCED, _FAILED, _OTHER_FAILURES = "00081199", "00081198", "0008119A"
_UID, _FAILURE_REASON, _WARNING_REASON = "00081155", "00081197", "00081196"
# For an instance that failed without a reason: processing failure.
_NO_REASON = 0x0110


def outcome_of(status: int, content_type: str, content: bytes, uid: str) -> Outcome:
    """Return what an answer, by its HTTP status and its body, says of the one instance of this UID that was sent."""
    said = _read(content) if status in _TELLS else None
    if said is not None and (told := _told(said, uid)) is not None:
        return told
    if not 200 <= status < 300:
        return Outcome("try again" if status in PASSING else "refused", f"http-{status}")
    if is_web_page(content_type, content):
        return Outcome("refused", "web-page-instead-of-answer")
    return Outcome("try again", "answer-says-nothing" if said is not None or not content else "answer-not-understood")


def _told(said: Row, uid: str) -> Outcome | None:
    """Return what a data set says of the one instance that was sent; none where it says nothing of any."""
    stored = list(_items(said, _REFERENCED))
    ours = [item for item in stored if _first(item, _UID) == uid]
    failed = [*_items(said, _FAILED), *_items(said, _OTHER_FAILURES)]
    # A failure is about it, whatever UID it names, unless it is said to be stored.
    if failed and not ours:
        return _failure([_number(item, _FAILURE_REASON, _NO_REASON) for item in failed])
    if not stored:
        return None
    if warning := _number((ours or stored)[0], _WARNING_REASON, 0):
        return Outcome("taken", f"warning-0x{warning:04X}")
    # An archive may give an instance another UID.
    return TAKEN if ours else Outcome("taken", "under-another-uid")


def _failure(reasons: list[int]) -> Outcome:
    reason = reasons[0]
    said = f"status-0x{reason:04X}"
    if all(each in (DUPLICATE, THERE) for each in reasons):
        return Outcome("already there", said)
    if is_passing(reason) or reason == BEING_WRITTEN:
        return Outcome("try again", said)
    return Outcome("refused", said)


def _read(content: bytes) -> Row | None:
    """Return the data set in an answer, in the shape of DICOM's JSON; none where it is not understood."""
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    try:
        if start == b"<":
            said = _of_xml(ET.fromstring(content)) if _is_plain(content) else None  # noqa: S314  # it defines nothing
        else:
            said = json.loads(content)
    except (ValueError, ET.ParseError):
        return None
    # Some put it into a list.
    said = said[0] if isinstance(said, list) and said else said
    return said if isinstance(said, dict) else None


def _is_plain(content: bytes) -> bool:
    """Tell whether XML defines nothing of its own: a short text can define one that fills the memory."""
    # A NUL would be of another encoding, in which this is not seen.
    return b"<!" not in content and b"\0" not in content


def _of_xml(element: ET.Element) -> Row:
    """Return what the Native DICOM Model says, in the shape of DICOM's JSON (PS3.19 A.1)."""
    dataset: Row = {}
    for attribute in _children(element, "DicomAttribute"):
        items = [_of_xml(item) for item in _children(attribute, "Item")]
        texts = [(value.text or "").strip() for value in _children(attribute, "Value")]
        dataset[attribute.get("tag", "").upper()] = {"Value": items or texts}
    return dataset


def _children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    # With and without the namespace.
    return (child for child in element if child.tag.rpartition("}")[2] == name)


def _items(said: Row, tag: str) -> Iterator[Row]:
    return (item for item in values(said, tag) if isinstance(item, dict))


def _first(item: Row, tag: str) -> str:
    return str(next(iter(values(item, tag)), "")).strip(" \0")


def _number(item: Row, tag: str, default: int) -> int:
    """Return a number that an item holds, the default where it holds none."""
    try:
        return int(_first(item, tag))
    except ValueError:
        return default
