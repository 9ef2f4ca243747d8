"""Which extra of the package brings a library that is not installed here, and what to say where one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from carina.errors import CarinaError, ConfigurationError

# By the name that is imported. What predicting needs comes with the package itself and is not here.
_EXTRAS = {
    **dict.fromkeys(("polars", "scipy", "openpyxl", "matplotlib", "kagglehub", "jinja2", "markupsafe"), "evaluate"),
    **dict.fromkeys(("keras", "tensorflow", "tf2onnx", "onnx"), "train"),
    **dict.fromkeys(("highdicom", "pynetdicom", "dicomanonymizer", "requests", "jpeg_ls"), "dicom"),
    **dict.fromkeys(("huggingface_hub", "model_signing"), "hub"),
    **dict.fromkeys(("ray", "fsspec", "pyarrow"), "cluster"),
    **dict.fromkeys(("sqlalchemy", "alembic", "fastapi", "uvicorn", "argon2", "authlib", "prometheus_client"), "serve"),
    "psycopg": "postgresql",
    "mlflow": "mlflow",
    "openvino": "openvino",
}


def missing_library(error: ModuleNotFoundError, purpose: str, extra: str | None = None) -> CarinaError | None:
    """Return the error for a library that an extra brings; None where none does, which is a fault of Carina.

    Parameters
    ----------
    error
        What Python raised.
    purpose
        What needs the library: the first word of the message, such as ``carina.evaluate``.
    extra
        The extra to name; by default the smallest one that brings the library.
    """
    library = (error.name or "").split(".")[0]
    if library not in _EXTRAS:
        return None
    return ConfigurationError(
        f'{purpose} needs {library}. Install it with: pip install "carina-cxr[{extra or _EXTRAS[library]}]"'
    )


@contextmanager
def needed_for(purpose: str, extra: str | None = None) -> Iterator[None]:
    """Turn the import of a missing library into the error that names its extra; see `missing_library`.

    Raises
    ------
    ConfigurationError
        If a library of an extra is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        said = missing_library(error, purpose, extra)
        if said is None:
            raise
        raise said from None


def require_libraries(purpose: str, *libraries: str, extra: str | None = None) -> None:
    """Refuse, before anything is done, where a library is not installed.

    Parameters
    ----------
    purpose
        What needs them: the first words of the message.
    libraries
        By the names that are imported.
    extra
        The extra to name; by default the one that brings the first that is missing.

    Raises
    ------
    ConfigurationError
        If one is missing; the message says what to type.
    """
    missing = [library for library in libraries if find_spec(library) is None]
    if missing:
        brings = extra or _EXTRAS[missing[0]]
        msg = f'{purpose} needs {" and ".join(missing)}. Install it with: pip install "carina-cxr[{brings}]"'
        raise ConfigurationError(msg)
