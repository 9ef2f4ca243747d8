"""What a UID is: one answer for all that read one from a file or an archive."""

import re

_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*")


def bare_uid(value: object) -> str:
    """Return a UID without the zeros and white space that fill it up; nothing where there is none."""
    return value.strip("\0 \t\r\n") if isinstance(value, str) else ""


def is_uid(value: object) -> bool:
    """Return whether something is valid as a UID: 1 to 64 digits and dots, a digit at either side of each dot.

    What fills it up is to be taken off before (`bare_uid`). Parts that begin with a zero are let through, which PS3.5
    9.1 forbids: archives hold many such UIDs, and they mean nothing else. Letters, several UIDs in one, and more than
    64 characters are not.
    """
    return isinstance(value, str) and _UID.fullmatch(value) is not None
