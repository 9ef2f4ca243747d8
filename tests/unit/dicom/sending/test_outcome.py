"""Each reason that a file can have has a sentence, with the names and addresses that were typed."""

import inspect
import re

import pytest

from carina.dicom.sending import outcome, store_scu, stow, stow_answer
from carina.dicom.sending.outcome import meaning_of, not_read
from carina.dicom.transport.settings import Peer, Web, peer_at, web_at
from carina.dicom.transport.web import in_a_word

PEER = peer_at("10.0.0.5:104", called="PACS", calling="DESK")
WEB = web_at("https://pacs.example/dicom-web")


def test_every_reason_in_the_code_has_a_sentence() -> None:
    """A new reason without a sentence fails here."""
    sources = [inspect.getsource(each) for each in (outcome, store_scu, stow, stow_answer, in_a_word)]
    reasons = {word for source in sources for word in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source)}
    assert {"called-title-not-recognised", "tls-failed", "answer-says-nothing", "no-connection"} <= reasons
    for reason in sorted(reasons):
        others: list[Peer | Web] = [PEER] if "title" in reason else [PEER, WEB]
        for meaning in (meaning_of(reason, other) for other in others):
            assert re.fullmatch(r"[A-Z].*\.", meaning, re.IGNORECASE), reason
            assert "{" not in meaning


@pytest.mark.parametrize(
    ("reason", "other", "words"),
    [
        ("calling-title-not-recognised", PEER, "PACS at 10.0.0.5:104 does not know the AE title DESK."),
        ("called-title-not-recognised", PEER, "does not have the AE title PACS. Give its own AE title with --called."),
        ("status-0xA7FF", PEER, "PACS at 10.0.0.5:104 is out of resources"),
        ("status-0xC123", PEER, "cannot understand the file"),
        ("status-0x0122", PEER, "does not take this kind of object (SOP class)"),
        ("status-0xB001", PEER, "a status that the DICOM standard does not know"),
        ("warning-0xB001", WEB, "https://pacs.example/dicom-web stored the file with a warning"),
        ("status-0xB00E", WEB, "has an object with this SOP Instance UID already"),
        ("http-401", WEB, "does not let Carina in (HTTP 401)"),
        ("http-404", WEB, "has no DICOMweb service at this address (HTTP 404)"),
        ("http-413", WEB, "takes no request of this size (HTTP 413)"),
        ("http-503", WEB, "is busy or does not answer in time (HTTP 503)"),
        ("http-418", WEB, "does not answer as a DICOMweb server (HTTP 418)"),
    ],
)
def test_sentences(reason: str, other: Peer | Web, words: str) -> None:
    assert words in meaning_of(reason, other)


def test_files_that_cannot_be_read() -> None:
    told = [
        not_read(error).reason for error in (FileNotFoundError(), PermissionError(), IsADirectoryError(), OSError())
    ]
    assert told == ["not-found", "permission-denied", "unreadable-file", "unreadable-file"]
