"""The bundle: the sealed model folder, the one thing that goes from training to anywhere else.

::

    model.onnx              from tensor to logits
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
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carina import __version__
from carina.atomic import require_absent, whole_folder, write_text
from carina.engine import Backend
from carina.errors import BundleError, ConfigurationError
from carina.golden import Differences, Judge, Tolerances, compare_golden, write_golden
from carina.harmless import (
    last_part,
    require_self_contained,
    require_without_code,
    without_directories,
    without_folders,
)
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


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verified bundle was found to be.

    Attributes
    ----------
    name, version
        Of the bundle.
    sha256
        What stands for the whole of it, to be compared with a published one.
    engine, precision, threads
        What computed the golden examples.
    differences, tolerances
        How far they were missed at most, and how far they may be.
    bytes_of
        The size of each file.
    """

    name: str
    version: str
    sha256: str
    engine: str
    precision: str
    threads: int
    differences: Differences
    tolerances: Tolerances
    bytes_of: dict[str, int]

    @property
    def megabytes(self) -> float:
        """Return the size of the whole in MB (10^6 bytes)."""
        return sum(self.bytes_of.values()) / 1e6

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        content = asdict(self)
        return content | {"tolerances": self.tolerances.model_dump(), "megabytes": round(self.megabytes, 3)}


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
    seal = check_seal(folder, required=_REQUIRED, allowed=(LUNGS_FILE, GATE_FILE))
    described = _read_description(folder / BUNDLE_FILE, seal.read(BUNDLE_FILE))
    graphs = {ONNX_FILE: described.model_sha256}
    if described.preprocessing.crop == "lungs":
        graphs[LUNGS_FILE] = described.lungs_sha256 or ""
    described_sums = graphs if described.gate is None else {**graphs, GATE_FILE: described.gate.sha256}
    optional = {name for name in (LUNGS_FILE, GATE_FILE) if name in seal.sums}
    if {name: seal.sums.get(name) for name in described_sums} != described_sums or not optional <= set(described_sums):
        msg = f"{folder}: {BUNDLE_FILE} describes other graphs than lie there. Fetch or export the bundle again."
        raise BundleError(msg)
    for name in graphs:
        require_self_contained(folder / name)
    return described, seal


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


def export_bundle(run: Path, out: Path, *, name: str, version: str, write_card: WriteCard) -> Verification:
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
    }
    return write_bundle(run, out, describe_bundle(described), write_card=write_card)


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
        write_text(folder / BUNDLE_FILE, description.model_dump_json(indent=2) + "\n")
        write_golden(folder / GOLDEN_FILE, folder, description)
        write_text(folder / CARD_FILE, write_card(description))
        write_seal(folder)
        # The golden examples were made by the fastest engine; the other must give the same before anything is released.
        return verify_bundle(folder, backend="onnxruntime")


def verify_bundle(folder: Path, *, backend: Backend = "auto") -> Verification:
    """Return what a bundle is, after every byte was checked and its golden examples were recomputed here.

    Raises
    ------
    BundleError
        If the bundle is not as it was sealed, holds what must not travel, or gives other values than it must.
    """
    description, seal = open_bundle(folder)
    require_without_code(folder / KERAS_FILE)
    read_training_images(folder / TRAINING_IMAGES_FILE)
    judge = Judge(folder, description, backend=backend)
    differences, tolerances = compare_golden(folder / GOLDEN_FILE, judge, description), description.tolerances
    for quantity, difference in asdict(differences).items():
        allowed = getattr(tolerances, quantity)
        if not difference <= allowed:
            msg = (
                f"{folder}: on this machine ({judge.engine.name}) the golden examples are missed by {difference:.3g} "
                f"({quantity}); {allowed:.3g} is allowed. Do not use it here: try the other engine, or the library "
                "versions that bundle.json names."
            )
            raise BundleError(msg)
    return Verification(
        name=description.name,
        version=description.version,
        sha256=seal.sha256,
        engine=judge.engine.name,
        precision="float32",
        threads=judge.engine.threads,
        differences=differences,
        tolerances=tolerances,
        bytes_of={name: (folder / name).stat().st_size for name in (*seal.sums, SEAL_FILE)},
    )


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
