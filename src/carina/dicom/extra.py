"""The optional libraries of this room, and what to say where they are missing."""

from importlib.util import find_spec

from carina.errors import ConfigurationError


def require_highdicom() -> None:
    """Refuse to go on where highdicom is not installed.

    Raises
    ------
    ConfigurationError
        If it is not; the message says what to type.
    """
    _require("highdicom", "highdicom", "Writing DICOM answers")


def require_profile_table() -> None:
    """Refuse to go on where dicom-anonymizer, which holds the table of PS3.15 E.1-1, is not installed.

    Raises
    ------
    ConfigurationError
        If it is not; the message says what to type.
    """
    _require("dicomanonymizer", "dicom-anonymizer", "De-identifying")


def _require(module: str, library: str, purpose: str) -> None:
    if find_spec(module) is None:
        msg = f'{purpose} needs {library}, which is not installed. Type: pip install "carina-cxr[dicom]"'
        raise ConfigurationError(msg)
