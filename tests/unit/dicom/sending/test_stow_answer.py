"""A STOW-RS answer is a success only where it says, in JSON or XML, that the instance was stored."""

import json
from typing import Any

import pytest

from carina.dicom.sending.outcome import TAKEN, Outcome
from carina.dicom.sending.stow_answer import outcome_of
from dicom_archives import LOGIN_PAGE

UID, OTHER = "1.2.3", "1.2.4"
SAYS_NOTHING, NOT_UNDERSTOOD = (Outcome("try again", f"answer-{said}") for said in ("says-nothing", "not-understood"))


def item(uid: str | None = UID, **numbers: int) -> dict[str, Any]:
    attributes: dict[str, Any] = {} if uid is None else {"00081155": {"vr": "UI", "Value": [uid]}}
    return {**attributes, **{tag[1:]: {"vr": "US", "Value": [value]} for tag, value in numbers.items()}}


def as_json(**sequences: list[dict[str, Any]]) -> bytes:
    return json.dumps({tag[1:]: {"vr": "SQ", "Value": items} for tag, items in sequences.items()}).encode()


def as_xml(**sequences: list[dict[str, Any]]) -> bytes:
    def attribute(tag: str, content: str) -> str:
        return f'<DicomAttribute tag="{tag}" vr="XX">{content}</DicomAttribute>'

    def one(number: int, each: dict[str, Any]) -> str:
        inner = [attribute(tag, f'<Value number="1">{said["Value"][0]}</Value>') for tag, said in each.items()]
        return f'<Item number="{number}">{"".join(inner)}</Item>'

    written = [attribute(tag[1:], "".join(map(one, range(1, 9), items))) for tag, items in sequences.items()]
    namespace = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
    model = f'<NativeDicomModel xmlns="{namespace}">{"".join(written)}</NativeDicomModel>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{model}'.encode()


@pytest.mark.parametrize("write", [as_json, as_xml])
@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (200, {"x00081199": [item()]}, TAKEN),
        (202, {"x00081199": [item()]}, TAKEN),
        (200, {"x00081199": [item()], "x00081198": []}, TAKEN),
        (202, {"x00081199": [item(x00081196=0xB000)]}, Outcome("taken", "warning-0xB000")),
        (202, {"x00081199": [item(x00081196=0xB006)]}, Outcome("taken", "warning-0xB006")),
        (200, {"x00081199": [item(OTHER)]}, Outcome("taken", "under-another-uid")),
        # It is there already, as the standard says so and as Azure does.
        (409, {"x00081198": [item(x00081197=0x0111)]}, Outcome("already there", "status-0x0111")),
        (409, {"x00081198": [item(x00081197=45070)]}, Outcome("already there", "status-0xB00E")),
        (200, {"x00081198": [item(x00081197=45070)]}, Outcome("already there", "status-0xB00E")),
        # The next attempt may succeed.
        (409, {"x00081198": [item(x00081197=45071)]}, Outcome("try again", "status-0xB00F")),
        (202, {"x00081198": [item(x00081197=0xA700)]}, Outcome("try again", "status-0xA700")),
        (409, {"x00081198": [item(x00081197=0x0110)]}, Outcome("try again", "status-0x0110")),
        (409, {"x00081198": [item()]}, Outcome("try again", "status-0x0110")),
        (409, {"x00081198": [item(x00081197=0xC000)]}, Outcome("refused", "status-0xC000")),
        (200, {"x00081198": [item(x00081197=0x0122)]}, Outcome("refused", "status-0x0122")),
        # About whatever UID, or none: one instance was sent.
        (409, {"x00081198": [item(OTHER, x00081197=0xA900)]}, Outcome("refused", "status-0xA900")),
        (202, {"x0008119A": [item(None, x00081197=0xC122)]}, Outcome("refused", "status-0xC122")),
        (202, {"x00081199": [item(OTHER)], "x00081198": [item(x00081197=0xA900)]}, Outcome("refused", "status-0xA900")),
        (202, {"x00081199": [item()], "x00081198": [item(OTHER, x00081197=0xA900)]}, TAKEN),
        # One duplicate and one failure are no duplicate.
        (
            409,
            {"x00081198": [item(OTHER, x00081197=0xA900), item(x00081197=0x0111)]},
            Outcome("refused", "status-0xA900"),
        ),
        (200, {}, SAYS_NOTHING),
        (202, {"x00081199": []}, SAYS_NOTHING),
        (409, {}, Outcome("refused", "http-409")),
        # No such status tells what was stored.
        (500, {"x00081199": [item()]}, Outcome("try again", "http-500")),
    ],
)
def test_what_an_answer_says(write: Any, status: int, said: dict[str, Any], expected: Outcome) -> None:
    kind = "application/dicom+json" if write is as_json else "application/dicom+xml"
    assert outcome_of(status, kind, write(**said), UID) == expected
    # The type may be wrong; the content counts.
    assert outcome_of(status, "text/plain", write(**said), UID) == expected


@pytest.mark.parametrize(
    ("status", "content", "kind", "expected"),
    [
        (200, b"", "", SAYS_NOTHING),
        (202, b"", "application/dicom+json", SAYS_NOTHING),
        (204, b"", "", SAYS_NOTHING),
        (200, LOGIN_PAGE, "text/html", Outcome("refused", "web-page-instead-of-answer")),
        (200, LOGIN_PAGE, "application/dicom+json", Outcome("refused", "web-page-instead-of-answer")),
        (200, b"<HTML><p>Log in", "text/html", Outcome("refused", "web-page-instead-of-answer")),
        (200, b"OK", "text/plain", NOT_UNDERSTOOD),
        (200, b"[1]", "application/json", NOT_UNDERSTOOD),
        (200, b"[]", "application/json", NOT_UNDERSTOOD),
        (200, b'{"00081199": {"Value": [', "application/dicom+json", NOT_UNDERSTOOD),
        (200, b'{"00081199": {"Value": 7}}', "application/dicom+json", SAYS_NOTHING),
        (200, b'{"00081199": 7}', "application/dicom+json", SAYS_NOTHING),
        (200, b"<NativeDicomModel>", "application/dicom+xml", NOT_UNDERSTOOD),
        (409, b"", "", Outcome("refused", "http-409")),
        (302, b"", "", Outcome("refused", "http-302")),
        (401, LOGIN_PAGE, "text/html", Outcome("refused", "http-401")),
        (413, b"", "", Outcome("refused", "http-413")),
        (429, b"", "", Outcome("try again", "http-429")),
        (503, b"", "", Outcome("try again", "http-503")),
    ],
)
def test_a_status_alone_is_no_success(status: int, content: bytes, kind: str, expected: Outcome) -> None:
    assert outcome_of(status, kind, content, UID) == expected


def test_a_list_with_one_answer_is_one() -> None:
    inner = as_json(x00081199=[item()])
    assert outcome_of(200, "application/json", b"[" + inner + b"]", UID) == TAKEN
    assert outcome_of(200, "application/json", b"\xef\xbb\xbf" + inner, UID) == TAKEN


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_xml_that_defines_entities_is_not_read(encoding: str) -> None:
    text = as_xml(x00081199=[item()]).decode()
    assert outcome_of(200, "application/dicom+xml", text.encode(), UID) == TAKEN
    defined = text.replace("\n", '\n<!DOCTYPE a [<!ENTITY b "c">]>', 1).replace('encoding="utf-8"', "")
    assert outcome_of(200, "application/dicom+xml", defined.encode(encoding), UID) == NOT_UNDERSTOOD
