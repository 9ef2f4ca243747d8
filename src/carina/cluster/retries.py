"""A remote file is asked for again, with growing pauses, before it becomes an error."""

import re
import time
from collections.abc import Callable
from typing import TypeVar

import fsspec

from carina.errors import InputError
from carina.radiographs.read import check_size

_Result = TypeVar("_Result")

# An object store that is asked too often, or a network that is away for a moment, is back within these.
PAUSES_S = (0.5, 2.0, 8.0, 30.0)
# What a store calls its error, such as (SlowDown) or (ExpiredToken); the rest of its words may quote an address.
_CODE = re.compile(r"\((\w+)\)")


def with_pauses(ask: Callable[[], _Result], *, final: tuple[type[Exception], ...] = (FileNotFoundError,)) -> _Result:
    """Return what a function returns; if it raises `OSError`, it is asked again after each of `PAUSES_S`.

    Raises
    ------
    OSError
        What it raised the last time, or the first time if that is one of `final`.
    """
    for pause in PAUSES_S:
        try:
            return ask()
        except final:
            raise
        except OSError:
            time.sleep(pause)
    return ask()


def fetch(address: str) -> bytes:
    """Return the bytes at an address.

    Raises
    ------
    InputError
        If there is no such file, it is larger than an image may be, or it could not be read in all tries.
    """
    fresh = False

    def ask() -> bytes:
        nonlocal fresh
        # After a refusal the credentials are read again: they may have expired and been renewed.
        system, place = fsspec.core.url_to_fs(address, skip_instance_cache=fresh)
        try:
            return bytes(system.cat_file(place))
        except PermissionError:
            fresh = True
            raise
        except FileNotFoundError:
            raise
        except Exception as error:
            # Libraries of stores have errors of their own for what is a failed reading.
            raise OSError(str(error)) from error

    try:
        content = with_pauses(ask)
    except FileNotFoundError:
        msg = "there is no such file. Check the address."
        raise InputError(msg, "not-found") from None
    except OSError as error:
        refused = isinstance(error, PermissionError)
        msg = f"it could not be read in {len(PAUSES_S) + 1} tries ({_word_of(error)})."
        raise InputError(msg, "permission-denied" if refused else "unreadable-file") from None
    check_size(len(content))
    return content


def _word_of(error: BaseException) -> str:
    """Return a store's own word for what went wrong, or else what Python calls it."""
    cause: BaseException | None = error
    while cause is not None:
        if said := _CODE.search(str(cause)):
            return said[1]
        cause = cause.__cause__
    return type(error).__name__
