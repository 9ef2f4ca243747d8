"""Passwords: how they are kept, and which are refused.

Argon2id with the parameters of RFC 9106 for machines with little memory (64 MiB, three passes), which are those of
argon2-cffi. At most two are computed at a time, so that many logins at once do not take the machine's memory.
"""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from carina.errors import ConfigurationError

# Source: OWASP ASVS 5.0, 6.2.1 and 6.2.9.
SHORTEST, LONGEST = 12, 128
_COMMON = frozenset(("password", "passwort", "radiology", "radiologie", "hospital", "krankenhaus", "qwertyuiop"))
_hasher = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1)
_two_at_a_time = threading.BoundedSemaphore(2)


def hash_password(password: str, name: str = "") -> str:
    """Return what is kept of a new password.

    Raises
    ------
    ConfigurationError
        If it is too short, too long, or easily guessed.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        msg = f"A password has {SHORTEST} to {LONGEST} characters. This one has {len(password)}. Choose another one."
        raise ConfigurationError(msg)
    folded = password.casefold().strip("0123456789!?.-_ ")
    if len(set(password)) < 5 or folded in _COMMON or (name and name.casefold() in folded and len(folded) < 16):
        msg = "This password is easily guessed. Choose another one: four words that do not belong together will do."
        raise ConfigurationError(msg)
    with _two_at_a_time:
        return _hasher.hash(password)


def matches(kept: str | None, password: str) -> bool:
    """Return whether a password is the one of which this is kept; without any it takes as long to say no."""
    if len(password) > LONGEST:
        return False
    with _two_at_a_time:
        try:
            return _hasher.verify(kept or _nobody(), password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


_made: list[str] = []


def _nobody() -> str:
    if not _made:
        _made.append(_hasher.hash("nobody has this password"))
    return _made[0]
