"""What every machine of a cluster must have before it judges: this version of Carina, the bundle, its precision.

The bundle travels once to each machine, as an object of Ray. There it is written to the cache under the hash of its
seal, and every byte of it is compared with the seal whenever it is opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carina._version import __version__
from carina.errors import CarinaError, ConfigurationError
from carina.extras import require_libraries
from carina.inference.predictor import Predictor
from carina.inference.results import JsonLines, JudgedBy
from carina.runtime.engine import Backend, Precision
from carina.storage.atomic import whole_folder
from carina.storage.cache_folder import default_cache_folder

Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Model:
    """The model that every machine must judge with.

    Attributes
    ----------
    judged_by
        What its results depend on.
    engine
        Which engine computes it, with its version: another one may have another last digit.
    version
        Of Carina.
    prevalence
        As stated.
    answering
        Whether it also writes DICOM answers, for which each machine needs a library more.
    """

    judged_by: JudgedBy
    engine: str
    version: str
    prevalence: float | None
    answering: bool = False

    @classmethod
    def of(cls, predictor: Predictor, prevalence: float | None, *, answering: bool = False) -> "Model":
        """Return what a loaded model is."""
        return cls(JudgedBy.of(predictor, prevalence), predictor.engine.name, __version__, prevalence, answering)

    def load(self, files: Files) -> Predictor:
        """Return the model, loaded on this machine for one core.

        Raises
        ------
        ConfigurationError
            If this machine has another version of Carina or another processor, lacks a library, or gives another model.
        BundleError
            If the bundle did not arrive as it was sealed.
        """
        if __version__ != self.version:
            msg = f"it has Carina {__version__}, and the driver has {self.version}. Install the same on both."
            raise ConfigurationError(msg)
        if self.answering:
            require_libraries("Writing DICOM answers", "highdicom")
        folder = unpack(files, self.judged_by.bundle_sha256)
        backend: Backend = "openvino" if self.engine.startswith("OpenVINO") else "onnxruntime"
        precision: Precision = self.judged_by.precision  # type: ignore[assignment]
        predictor = Predictor(folder, backend=backend, precision=precision, threads=1)
        other = self.judged_by.difference(JudgedBy.of(predictor, self.prevalence))
        if other is not None:
            msg = f"it would judge with {other}. Delete {folder} there, and start again."
            raise ConfigurationError(msg)
        if predictor.engine.name != self.engine:
            msg = f"it has {predictor.engine.name}, and the driver has {self.engine}. Install the same on both."
            raise ConfigurationError(msg)
        return predictor

    def rows(self, predictor: Predictor) -> JsonLines:
        """Return what gives the values of rows."""
        return JsonLines(predictor, prevalence=self.prevalence)


def pack(bundle: Path) -> Files:
    """Return the files of a bundle."""
    return {path.name: path.read_bytes() for path in sorted(bundle.iterdir())}


def unpack(files: Files, sha256: str) -> Path:
    """Return the folder of a bundle in this machine's cache; it is written if it is not there."""
    folder = default_cache_folder() / "bundles" / sha256
    if not folder.is_dir():
        try:
            with whole_folder(folder, what="bundle") as temporary:
                for name, content in files.items():
                    (temporary / name).write_bytes(content)
        except (OSError, ConfigurationError):
            # Another process of this machine was faster.
            if not folder.is_dir():
                raise
    return folder


def complaint(model: Model, files: Files) -> str | None:
    """Return why this machine must not judge; none if nothing speaks against it."""
    try:
        model.load(files)
    except CarinaError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a machine is told by the machine's name
        return f"{type(error).__name__} while the model was loaded."
    return None


def node_name(node: Mapping[str, Any]) -> str:
    """Return what people know a machine by."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, {node['NodeID'][:8]})"
