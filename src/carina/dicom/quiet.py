"""Libraries for DICOM, kept from saying what a file holds: their warnings and errors repeat its values."""

import logging
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.config import disable_value_validation
from pydicom.errors import BytesLengthException, InvalidDicomError

from carina.errors import CarinaError, InputError

# Filters of warnings and the validation of values are the whole process's: one thread at a time.
_ONE_AT_A_TIME = threading.RLock()
# What broken values raise in pydicom and highdicom. A full disk, memory that is used up and Ctrl-C are none of them.
FROM_VALUES = (
    *(ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, LookupError, NotImplementedError),
    *(RecursionError, TypeError, ValueError, struct.error, BytesLengthException, InvalidDicomError),
)


@contextmanager
def silenced(*libraries: str) -> Iterator[None]:
    """Let some libraries neither warn nor write to the log while this lasts."""
    logs = [logging.getLogger(name) for name in libraries]
    levels = [log.level for log in logs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for log in logs:
            log.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)


@contextmanager
def quiet(message: str) -> Iterator[None]:
    """Run what handles values of a file without a word, and turn an error about them into one that says `message`.

    Raises
    ------
    InputError
        If anything is wrong with a value.
    """
    # Both write to the log what they warn of, and highdicom at level INFO the UIDs of what it copies.
    with _ONE_AT_A_TIME, silenced("pydicom", "highdicom"), disable_value_validation():
        try:
            yield
        except CarinaError:
            raise
        except FROM_VALUES:
            raise InputError(message, "unreadable-file") from None
        except OSError as error:
            # pydicom's own, where a sequence ends too early; the system's have a number.
            if error.errno is not None:
                raise
            raise InputError(message, "unreadable-file") from None
