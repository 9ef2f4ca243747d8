"""The bundle: the sealed model folder, the one thing that goes from training to anywhere else.

::

    model.onnx              from tensor to logits
    model.int8.onnx         the same in 8-bit integers, where it was proved to decide alike
    lungs.onnx              the lung segmenter, where the model is shown lungs alone
    gate.npz                what may be judged at all, where the run has a gate
    model.keras             the Keras model, to go on training from; never read where one predicts
    bundle.json             everything that predicting needs to know, and where the model comes from
    recipe.toml             the recipe with every default written out
    history.csv             a row an epoch
    training_images.txt     hashes of what it learned from: evaluation refuses a leak
    golden.npz              a few synthetic radiographs and what the model must give for them
    README.md               the model card
    SHA256SUMS              all of the above; written last, and checked in full whenever the bundle is opened

No path of the machine that it was made on stands in it, no pickle, no code and no reference to a file outside.
"""

import hashlib
import json
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carina import __version__
from carina.atomic import require_absent, whole_folder, write_text
from carina.engine import Backend, Precision, available_precisions, installed_backends
from carina.errors import BundleError, ConfigurationError
from carina.golden import (
    BF16_TOLERANCES,
    Differences,
    Judge,
    Tolerances,
    require_golden,
    widened_tolerances,
    write_golden,
)
from carina.harmless import (
    last_part,
    require_self_contained,
    require_without_code,
    without_directories,
    without_folders,
)
from carina.int8 import INT8_FILE, Int8Record
from carina.run_folder import (
    GATE_FILE,
    HISTORY_FILE,
    KERAS_FILE,
    LUNGS_FILE,
    ONNX_FILE,
    RECIPE_FILE,
    RUN_FILE,
    TRAINING_IMAGES_FILE,
    FinishedRun,
    open_run,
)
from carina.seal import SEAL_FILE, Seal, check_seal, write_seal
from carina.training_images import TrainingImages, read_training_images, write_training_images

BUNDLE_FILE = "bundle.json"
GOLDEN_FILE = "golden.npz"
CARD_FILE = "README.md"
RELEASED_NAME = "carina-mobilenetv2"

_REQUIRED = (
    *(ONNX_FILE, KERAS_FILE, BUNDLE_FILE, RECIPE_FILE, HISTORY_FILE, TRAINING_IMAGES_FILE, GOLDEN_FILE, CARD_FILE),
)
_FORMAT = "carina-bundle-1"
_PREPROCESSING_VERSION = 1
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_VERSION = r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,99}$"


class Recalibration(BaseModel):
    """Where a bundle's policy comes from, if not from training.

    Attributes
    ----------
    bundle_sha256
        Of the bundle that was recalibrated: what stands for the whole of it.
    dataset, data_fingerprint, images
        What it was recalibrated on.
    left_out_leaks, left_out_refused
        How many more there were that the model had been trained on, and that it does not judge.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle_sha256: str
    dataset: str
    data_fingerprint: str
    images: int
    left_out_leaks: int
    left_out_refused: int


class BundleDescription(FinishedRun):
    """What ``bundle.json`` holds; the other attributes are those of the run that the bundle was made from.

    Attributes
    ----------
    name, version
        Of the bundle. The recipe's own name stands in `recipe`.
    created
        When.
    carina
        The version of Carina that wrote it.
    recipe
        With every default written out.
    tolerances
        How far the golden examples may be missed elsewhere.
    recalibration
        Where the policy comes from, if not from training.
    int8
        The twin in 8-bit integers: what it costs, also where that was too much. None where none was tried.
    """

    # Narrower than a run's on purpose: neither file is taken for the other.
    format: Literal["carina-bundle-1"] = "carina-bundle-1"  # type: ignore[assignment]
    name: str = Field(pattern=_NAME)
    version: str = Field(pattern=_VERSION)
    created: datetime
    carina: str
    recipe: dict[str, Any]
    tolerances: Tolerances
    recalibration: Recalibration | None = None
    int8: Int8Record | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """How the golden examples came out in one way of computing.

    Attributes
    ----------
    engine, precision, threads
        What computed them.
    differences, tolerances
        How far they were missed at most, and how far they may be.
    """

    engine: str
    precision: str
    threads: int
    differences: Differences
    tolerances: Tolerances

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self) | {"tolerances": self.tolerances.model_dump()}


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verified bundle was found to be.

    Attributes
    ----------
    name, version
        Of the bundle.
    sha256
        What stands for the whole of it, to be compared with a published one.
    checks
        One for each way of computing that was asked for; the first is the one that predicting takes if nothing is said.
    int8
        What is known of the twin in 8-bit integers, also where it was refused.
    bytes_of
        The size of each file.
    """

    name: str
    version: str
    sha256: str
    checks: tuple[Check, ...]
    int8: Int8Record | None
    bytes_of: dict[str, int]

    @property
    def megabytes(self) -> float:
        """Return the size of the whole in MB (10^6 bytes)."""
        return sum(self.bytes_of.values()) / 1e6

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            **self.checks[0].to_json(),
            "checks": [check.to_json() for check in self.checks],
            "int8": None if self.int8 is None else self.int8.model_dump(),
            "bytes_of": self.bytes_of,
            "megabytes": round(self.megabytes, 3),
        }


@dataclass(frozen=True, slots=True)
class Twin:
    """A classifier's twin in 8-bit integers.

    Attributes
    ----------
    record
        What is known of it.
    graph
        The ONNX file; none where it was refused.
    """

    record: Int8Record
    graph: bytes | None


WriteCard = Callable[[BundleDescription], str]


def open_model(folder: Path) -> FinishedRun:
    """Return what a run or a bundle says of itself; a bundle was checked in full.

    Raises
    ------
    BundleError
        If the folder holds neither, or anything in a bundle is not as it was sealed.
    """
    return open_named_model(folder)[0]


def open_named_model(folder: Path) -> tuple[FinishedRun, str]:
    """Return what a run or a bundle says of itself, and what stands for the whole of it: hexadecimal SHA-256.

    That of a bundle is its seal's, to be compared with a published one; that of a run is the hash of ``run.json``,
    which names the graphs by theirs.

    Raises
    ------
    BundleError
        See `open_model`.
    """
    # A bundle that lost one of the two is a damaged bundle, not a run.
    if (folder / BUNDLE_FILE).exists() or (folder / SEAL_FILE).exists():
        described, seal = open_bundle(folder)
        return described, seal.sha256
    return open_run(folder), hashlib.sha256((folder / RUN_FILE).read_bytes()).hexdigest()


def open_bundle(folder: Path) -> tuple[BundleDescription, Seal]:
    """Return what a bundle says of itself, and its seal, after every byte of it was checked.

    Raises
    ------
    BundleError
        If a file is missing, changed, added or a link, a graph refers to another file, or the bundle was made by
        another version.
    """
    seal = check_seal(folder, required=_REQUIRED, allowed=(LUNGS_FILE, GATE_FILE, INT8_FILE))
    described = _read_description(folder / BUNDLE_FILE, seal.read(BUNDLE_FILE))
    graphs = {ONNX_FILE: described.model_sha256}
    if described.preprocessing.crop == "lungs":
        graphs[LUNGS_FILE] = described.lungs_sha256 or ""
    if described.int8 is not None and described.int8.accepted:
        graphs[INT8_FILE] = described.int8.sha256 or ""
    described_sums = graphs if described.gate is None else {**graphs, GATE_FILE: described.gate.sha256}
    optional = {name for name in (LUNGS_FILE, GATE_FILE, INT8_FILE) if name in seal.sums}
    if {name: seal.sums.get(name) for name in described_sums} != described_sums or not optional <= set(described_sums):
        msg = f"{folder}: {BUNDLE_FILE} describes other graphs than lie there. Fetch or export the bundle again."
        raise BundleError(msg)
    for name in graphs:
        require_self_contained(folder / name)
    return described, seal


def classifier_graph(model: FinishedRun, precision: Precision) -> tuple[str, str]:
    """Return the file of the classifier's graph for a precision, and its hash.

    Raises
    ------
    ConfigurationError
        If int8 is asked for and the model has no twin that may be used; the message says why.
    """
    if precision != "int8":
        return ONNX_FILE, model.model_sha256
    record = model.int8 if isinstance(model, BundleDescription) else None
    if record is None:
        msg = (
            f"{model.name} has no graph in 8-bit integers. Choose f32, or make one: carina export RUN --out BUNDLE "
            "--int8"
        )
        raise ConfigurationError(msg)
    if not record.accepted:
        msg = f"{model.name} cannot be used in 8-bit integers. {record.in_words()} Choose f32."
        raise ConfigurationError(msg)
    return INT8_FILE, record.sha256 or ""


def released_bundle() -> Path:
    """Return where the bundle that comes with Carina lies: inside an installed package, or in the repository.

    Raises
    ------
    BundleError
        If this copy of Carina came without.
    """
    package = Path(__file__).parent
    places = [package / "models" / RELEASED_NAME, package.parents[1] / "models" / RELEASED_NAME]
    for place in places:
        if (place / BUNDLE_FILE).is_file():
            return place
    msg = (
        f"This copy of Carina came without its model {RELEASED_NAME} (looked for at {places[0]} and {places[1]}). "
        "Name a run or a bundle, or install Carina from a release."
    )
    raise BundleError(msg)


def export_bundle(
    run: Path, out: Path, *, name: str, version: str, write_card: WriteCard, twin: Twin | None = None
) -> Verification:
    """Write a finished run as a sealed bundle, whole or not at all, and return what it was verified to be.

    Parameters
    ----------
    run
        A finished run.
    out
        The folder to write; it must not exist.
    name, version
        Of the bundle: letters, digits, dots, hyphens, underscores.
    write_card
        Gives the model card for what the bundle says of itself.
    twin
        The classifier in 8-bit integers, and what is known of it.

    Raises
    ------
    ConfigurationError
        If `out` exists, or `name` or `version` cannot be one.
    BundleError
        If the run is not finished or was changed, holds what must not travel, or the two engines do not agree.
    """
    require_absent(out, what="bundle")
    finished = open_run(run)
    try:
        recipe = without_folders(tomllib.loads((run / RECIPE_FILE).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        msg = f"{run / RECIPE_FILE} is missing or damaged. Train again."
        raise BundleError(msg) from None
    described = {
        **without_folders(finished.model_dump(mode="json")),
        "format": _FORMAT,
        "command": without_directories(finished.command),
        "dataset": last_part(finished.dataset),
        "name": name,
        "version": version,
        "created": datetime.now(UTC),
        "carina": __version__,
        "recipe": recipe,
        "tolerances": Tolerances(),
        "int8": None if twin is None else twin.record,
    }
    graph = None if twin is None else twin.graph
    return write_bundle(run, out, describe_bundle(described), write_card=write_card, int8_graph=graph)


def describe_bundle(fields: Mapping[str, Any]) -> BundleDescription:
    """Return the description with these fields.

    Raises
    ------
    ConfigurationError
        If one of them cannot be what it is to be, such as a name with a slash.
    """
    try:
        return BundleDescription.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        msg = f"The bundle's {where}: {problem['msg']}. Received: {problem['input']!r}."
        raise ConfigurationError(msg) from None


def write_bundle(
    source: Path,
    out: Path,
    description: BundleDescription,
    *,
    write_card: WriteCard,
    calibration_images: TrainingImages | None = None,
    int8_graph: bytes | None = None,
) -> Verification:
    """Write a bundle with the graphs of a run or another bundle; see `export_bundle`.

    Parameters
    ----------
    source
        Where the graphs lie.
    out, write_card
        See `export_bundle`.
    description
        What the bundle is to say of itself.
    calibration_images
        What its policy was chosen on, added to the images that it must not be judged by unawares.
    int8_graph
        The classifier in 8-bit integers, where the description has accepted it.
    """
    with whole_folder(out, what="bundle") as folder:
        graphs = (ONNX_FILE, LUNGS_FILE) if description.preprocessing.crop == "lungs" else (ONNX_FILE,)
        gate = () if description.gate is None else (GATE_FILE,)
        for name in (*graphs, *gate, HISTORY_FILE):
            _copy(source / name, folder / name)
        require_without_code(source / KERAS_FILE)
        _pack(source / KERAS_FILE, folder / KERAS_FILE)
        for name in graphs:
            require_self_contained(folder / name)
        images = read_training_images(source / TRAINING_IMAGES_FILE)
        write_training_images(
            folder / TRAINING_IMAGES_FILE, images if calibration_images is None else images + calibration_images
        )
        write_text(folder / RECIPE_FILE, tomli_w.dumps(description.recipe))
        write_golden(folder / GOLDEN_FILE, folder, description)
        if int8_graph is not None and description.int8 is not None and description.int8.accepted:
            (folder / INT8_FILE).write_bytes(int8_graph)
            require_self_contained(folder / INT8_FILE)
            judges = [_judge(folder, description, "int8", backend, None) for backend in installed_backends()]
            tolerances = widened_tolerances(folder / GOLDEN_FILE, judges, description, description.tolerances)
            record = description.int8.model_copy(update={"tolerances": tolerances})
            description = description.model_copy(update={"int8": record})
        write_text(folder / BUNDLE_FILE, description.model_dump_json(indent=2) + "\n")
        write_text(folder / CARD_FILE, write_card(description))
        write_seal(folder)
        # The golden examples were made by the fastest engine; the other must give the same before anything is released.
        return verify_bundle(folder, backend="onnxruntime")


def verify_bundle(
    folder: Path, *, backend: Backend = "auto", precision: Precision = "auto", threads: int | None = None
) -> Verification:
    """Return what a bundle is, after every byte was checked and its golden examples were recomputed here.

    Parameters
    ----------
    folder
        A bundle.
    backend
        What the examples are recomputed by; ``auto`` is every engine that is installed.
    precision
        What they are recomputed in; ``auto`` is every precision that the processor and the bundle have.
    threads
        See `carina.engine.load_engine`.

    Raises
    ------
    BundleError
        If the bundle is not as it was sealed, holds what must not travel, or gives other values than it must.
    ConfigurationError
        If the precision is not to be had.
    """
    description, seal = open_bundle(folder)
    require_without_code(folder / KERAS_FILE)
    read_training_images(folder / TRAINING_IMAGES_FILE)
    checks = []
    for engine, computed_in in _ways(description, backend, precision):
        judge = _judge(folder, description, computed_in, engine, threads)
        tolerances = _tolerances(description, judge.engine.precision)
        differences = require_golden(folder / GOLDEN_FILE, judge, description, tolerances)
        checks.append(Check(judge.engine.name, judge.engine.precision, judge.engine.threads, differences, tolerances))
    return Verification(
        name=description.name,
        version=description.version,
        sha256=seal.sha256,
        checks=tuple(checks),
        int8=description.int8,
        bytes_of={name: (folder / name).stat().st_size for name in (*seal.sums, SEAL_FILE)},
    )


def _ways(described: BundleDescription, backend: Backend, precision: Precision) -> Iterator[tuple[Backend, Precision]]:
    """Yield the engines and precisions that were asked for; all that this machine and this bundle have, if none was."""
    for engine in installed_backends() if backend == "auto" else (backend,):
        if precision != "auto":
            # That ONNX Runtime has no bf16 is no fault of the bundle; who names both is told.
            if backend == "auto" and precision == "bf16" and engine == "onnxruntime":
                continue
            yield engine, precision
            continue
        for computed_in in available_precisions(engine):
            yield engine, computed_in
        if described.int8 is not None and described.int8.accepted:
            yield engine, "int8"


def _judge(
    folder: Path, described: BundleDescription, precision: Precision, backend: Backend, threads: int | None
) -> Judge:
    graph, _ = classifier_graph(described, precision)
    return Judge(folder, described, graph=graph, backend=backend, precision=precision, threads=threads)


def _tolerances(described: BundleDescription, precision: str) -> Tolerances:
    if precision == "int8" and described.int8 is not None and described.int8.tolerances is not None:
        return described.int8.tolerances
    return BF16_TOLERANCES if precision == "bf16" else described.tolerances


def _read_description(path: Path, content: bytes) -> BundleDescription:
    try:
        told = json.loads(content)
        version = told["preprocessing"]["version"]
        if told["format"] != _FORMAT or version != _PREPROCESSING_VERSION:
            msg = (
                f"{path}: format {told['format']!r} with preprocessing version {version!r} is not known to Carina "
                f"{__version__}, which reads {_FORMAT!r} with {_PREPROCESSING_VERSION}. Install a Carina that knows it."
            )
            raise BundleError(msg)
        return BundleDescription.model_validate(told)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        msg = f"{path} cannot be read ({where}: {error.errors()[0]['msg']}). Fetch or export the bundle again."
    except (ValueError, KeyError, TypeError):
        msg = f"{path} is no description of a bundle. Fetch or export the bundle again."
    raise BundleError(msg)


def _pack(source: Path, target: Path) -> None:
    """Write a ZIP archive again, deflated: Keras stores its weights as they are, an eighth larger."""
    try:
        with ZipFile(source) as archive, ZipFile(target, "w", ZIP_DEFLATED, compresslevel=9) as packed:
            for name in archive.namelist():
                # Of no day, so that the same weights give the same file.
                packed.writestr(ZipInfo(name), archive.read(name), ZIP_DEFLATED, 9)
    except (FileNotFoundError, BadZipFile):
        msg = f"{source} is missing or damaged. Train or export the model again."
        raise BundleError(msg) from None


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        msg = f"{source} is missing. Train or export the model again."
        raise BundleError(msg) from None
