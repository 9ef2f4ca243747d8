"""Every error that Carina raises on purpose.

::

    CarinaError
     ├─ InputError            one image cannot be judged; the rest of a batch goes on
     ├─ DataError             a data set or manifest is wrong
     │   └─ LeakError         a test set holds images that the model learned from
     ├─ BundleError           a run or bundle is missing, incomplete or altered
     ├─ ConfigurationError    a recipe, option or argument is wrong
     └─ PeerError             another system on the network does not answer, or says no
         └─ ArchiveUnusableError  for a reason that everything that is asked of it has in common

A message says what is wrong with the value that was seen, where, and what to do. It never holds
patient data.
"""

from typing import Literal

InputErrorCode = Literal[
    "not-found",
    "permission-denied",
    "not-a-file",
    "empty-file",
    "unreadable-file",
    "unsupported-format",
    "truncated",
    "too-large",
    "too-small",
    "implausible-shape",
    "animated",
    "constant-image",
    "not-finite",
    "no-display-range",
    "not-a-radiograph",
    "no-image",
    "missing-attribute",
    "decoder-unavailable",
    "too-slow",
    "own-answer",
    "identity-in-pixels",
    "written-before",
    "companion-object",
    "unsafe-path",
]


class CarinaError(Exception):
    """The root of all errors that Carina raises on purpose."""


class InputError(CarinaError):
    """One image cannot be judged.

    Parameters
    ----------
    message
        What is wrong and what to do, one line. The path is shown with it.
    code
        The same in a word, for programs.
    """

    def __init__(self, message: str, code: InputErrorCode) -> None:
        super().__init__(message)
        self.code: InputErrorCode = code

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, InputErrorCode]]:
        """Come back whole from another process, where an exception is otherwise rebuilt from its message alone."""
        return type(self), (str(self), self.code)


class DataError(CarinaError):
    """A data set or a manifest is wrong."""


class LeakError(DataError):
    """A test set holds images that the model learned from."""


class BundleError(CarinaError):
    """A run or a bundle is missing, incomplete or altered."""


class ConfigurationError(CarinaError):
    """A recipe, an option or an argument is wrong."""


class PeerError(CarinaError):
    """Another system on the network does not answer, or says no."""


class ArchiveUnusableError(PeerError):
    """An archive fails for a reason that every series has in common: it is not there, or does not know who asks."""
