"""What replaces a patient, a UID and a span of days: computed with a key, so that the same key gives the same.

Who has the key can find out whether an image is of a patient whose number he knows; who has not can go no way back.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from carina.dicom.computed_uids import derived_uid
from carina.errors import ConfigurationError

_KEY_BYTES = 32
_KEY = re.compile(r"carina-deidentification-key-1 ([0-9a-f]{64})\n?")
_MOST_KEY_BYTES = 1024
# Ten years: over several, a season or an epidemic no longer tells the day.
_MOST_DAYS = 3650
_PSEUDONYM_LETTERS = 16


class Pseudonyms:
    """Pseudonyms of one key of 32 bytes; by default it is drawn at random, and lost with this object."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES) if key is None else key

    def patient(self, *identity: str) -> str:
        """Return what replaces a patient: ``CARINA-`` and 80 bits as 16 letters and digits."""
        letters = base64.b32encode(self._digest("patient", *identity)).decode("ascii")
        return f"CARINA-{letters[:_PSEUDONYM_LETTERS]}"

    def uid(self, uid: str) -> str:
        """Return the UID that replaces another: ``2.25.`` and a number (PS3.5 B.2)."""
        return derived_uid("deidentified", self._digest("uid", uid).hex())

    def shift(self, *identity: str) -> timedelta:
        """Return by how much earlier everything of a patient is to be dated: 1 to 3,650 days."""
        return timedelta(days=1 + int.from_bytes(self._digest("shift", *identity)) % _MOST_DAYS)

    def _digest(self, *words: str) -> bytes:
        # JSON, so that no two lists of words look the same joined.
        return hmac.digest(self._key, json.dumps(words).encode("ascii"), hashlib.sha256)


def read_or_create_key(path: Path) -> bytes:
    """Return the key in a file, which is made, for its owner alone, where there is none.

    Raises
    ------
    ConfigurationError
        If the file holds no key, or others may read it.
    OSError
        If it cannot be read or made.
    """
    with suppress(FileExistsError):
        key = secrets.token_bytes(_KEY_BYTES)
        path.parent.mkdir(parents=True, exist_ok=True)
        with create_private(path) as stream:
            stream.write(f"carina-deidentification-key-1 {key.hex()}\n")
            stream.flush()
            os.fsync(stream.fileno())
        return key
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        msg = f"The key {path} may be read by others. Type: chmod 600 {path}"
        raise ConfigurationError(msg)
    with path.open("rb") as stream:
        found = _KEY.fullmatch(stream.read(_MOST_KEY_BYTES).decode("ascii", "replace"))
    if found is None:
        msg = f"{path} holds no key that Carina made. Name another file; one that does not exist becomes a new key."
        raise ConfigurationError(msg)
    return bytes.fromhex(found[1])


def create_private(path: Path) -> TextIO:
    """Open a new text file that only its owner may read.

    Raises
    ------
    FileExistsError
        If there is something of that name.
    """
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8", newline="")
