"""Names for what is written: UIDs that are computed, so that the same answer has the same UID every time.

An answer that is written or sent again after a crash is then no second answer: a PACS knows its UID. And no two
answers that differ share one: a PACS would keep the older.
"""

import hashlib
import json

from carina.errors import InputError
from carina.radiographs.dicom.uids import bare_uid, is_uid


def derived_uid(*parts: str) -> str:
    """Return the UID of these words, in their order: ``2.25.`` and the decimal number of a UUID.

    The UUID is made of the first 128 bits of a SHA-256, six of which then say that it is one of version 8.

    Source: PS3.5 B.2 (UUID derived UID), RFC 9562 5.8 (version 8) and 4 (bits of version and variant).
    """
    # JSON, so that no two lists of words look the same joined.
    digest = hashlib.sha256(json.dumps(parts).encode("ascii")).digest()
    number = int.from_bytes(digest[:16])
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0x3 << 62) | 2 << 62
    return f"2.25.{number}"


def required_uid(keyword: str, value: object, consequence: str) -> str:
    """Return the UID of an image without what fills it up; `consequence` says what cannot be done without it.

    Raises
    ------
    InputError
        If it is missing or not valid.
    """
    uid = bare_uid(value)
    if not is_uid(uid):
        is_so = "is not valid in DICOM" if value else "is missing"
        msg = f"its {keyword} {is_so}, so that {consequence}. Fetch the image again from where it came from."
        raise InputError(msg, "missing-attribute")
    return uid


# Of this software as a whole, in the file meta information of all that it writes.
IMPLEMENTATION_CLASS_UID = derived_uid("carina", "implementation class")
CODING_SCHEME_UID = derived_uid("carina", "coding scheme")
