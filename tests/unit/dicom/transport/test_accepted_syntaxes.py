"""What is accepted over the network is what can be read and answered."""

import pytest

from carina.dicom.transport import accepted_syntaxes as syntaxes
from carina.radiographs.dicom.syntaxes import CODINGS


def test_what_is_accepted_is_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    deflated = {uid for uid, coding in CODINGS.items() if coding == "deflated"}
    monkeypatch.setattr(syntaxes, "find_spec", lambda _: object())
    assert set(syntaxes.transfer_syntaxes()) == CODINGS.keys() - deflated
    # JPEG lossless is decoded by GDCM alone.
    monkeypatch.setattr(syntaxes, "find_spec", lambda _: None)
    lossless = {"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"}
    assert set(syntaxes.transfer_syntaxes()) == CODINGS.keys() - deflated - lossless


def test_an_association_has_room_for_all() -> None:
    # C-GET proposes each class in each syntax; PS3.8 9.3.2 has odd identifiers up to 255.
    assert 1 + len(syntaxes.STORAGE_CLASSES) * len(syntaxes.transfer_syntaxes()) <= 128
