"""Optional libraries, and what to say where they are missing."""

from importlib.util import find_spec

from carina.errors import ConfigurationError


def require_libraries(purpose: str, *libraries: str, extra: str = "dicom") -> None:
    """Refuse where a library is not installed; `extra` is what brings it.

    Raises
    ------
    ConfigurationError
        If one is missing; the message says what to type.
    """
    # "dicom-anonymizer" is imported as dicomanonymizer.
    missing = [library for library in libraries if find_spec(library.replace("-", "")) is None]
    if missing:
        msg = f'{purpose} needs {" and ".join(missing)}. Install it with: pip install "carina-cxr[{extra}]"'
        raise ConfigurationError(msg)
