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
    if find_spec("highdicom") is None:
        msg = 'Writing DICOM answers needs highdicom, which is not installed. Type: pip install "carina-cxr[dicom]"'
        raise ConfigurationError(msg)
