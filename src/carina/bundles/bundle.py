"""The bundle: the sealed model folder, the one thing that goes from training to anywhere else.

::

    model.onnx              from tensor to logits
    model.int8.onnx         the same in 8-bit integers, where it was shown to be no worse
    lungs.onnx              the lung segmenter, where the model is shown lungs alone or has a gate
    gate.npz                what may be judged at all, where the run has a gate
    model.keras             the Keras model, to go on training from; never read where one predicts
    bundle.json             everything that predicting needs to know, and where the model comes from
    recipe.toml             the recipe with every default written out
    history.csv             one row per epoch
    training_images.txt     hashes of what it learned from: evaluation refuses a leak
    golden.npz              a few synthetic radiographs and what the model must give for them
    README.md               the model card
    SHA256SUMS              all of the above; written last, and checked in full whenever the bundle is opened

It holds no path of the machine that it was made on, no pickle, no code and no reference to a file outside.
"""

import hashlib
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from carina._version import __version__
from carina.bundles.golden import Tolerances
from carina.bundles.run_folder import (
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
from carina.bundles.safety import require_self_contained
from carina.bundles.twin import INT8_FILE, Twin, TwinPrecision
from carina.errors import BundleError, ConfigurationError
from carina.places import MARKERS, kind_of, wrong_place
from carina.runtime.engine import Backend, Precision, computes_fast
from carina.storage.seal import Seal, check_seal
from carina.wording import counted

BUNDLE_FILE = MARKERS["bundle"]
GOLDEN_FILE = "golden.npz"
CARD_FILE = "README.md"
RELEASED_NAME = "carina-mobilenetv2"

_OF_RUN = (ONNX_FILE, KERAS_FILE, RECIPE_FILE, HISTORY_FILE, TRAINING_IMAGES_FILE)
_REQUIRED = (*_OF_RUN, BUNDLE_FILE, GOLDEN_FILE, CARD_FILE)
FORMAT = "carina-bundle-1"
_FASTEST: tuple[TwinPrecision, ...] = ("int8", "bf16")
_PREPROCESSING_VERSION = 1
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_VERSION = r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,99}$"


class Recalibration(BaseModel, frozen=True, extra="forbid"):
    """Where a bundle's policy comes from, if not from training.

    Attributes
    ----------
    bundle_sha256
        Of the bundle that was recalibrated: the hash of its seal.
    dataset, data_fingerprint, images
        What it was recalibrated on.
    left_out_leaks, left_out_refused
        How many more there were that the model had been trained on, and that it does not judge.
    """

    bundle_sha256: str
    dataset: str
    data_fingerprint: str
    images: int
    left_out_leaks: int
    left_out_refused: int


class Adaptation(BaseModel, frozen=True, extra="forbid"):
    """On which films the last layer was fitted again. Nothing here names a hospital, a folder or a patient.

    Attributes
    ----------
    data_fingerprint, images, patients, per_finding
        The films: a hash over all of them, how many, of how many patients (or groups of copies), with which findings.
    first_file, last_file
        The days on which the first and the last of their files were written.
    left_out_leaks, left_out_refused
        How many more there were that the model had been trained on, and that it does not judge.
    strength
        Of the ridge that drew the weights towards those of the parent.
    macro_auroc_before, macro_auroc_after, gain_low, gain_high
        On held-out films of the site, over the findings that the parent knows, too, and the 95 % interval of the
        difference.
    """

    data_fingerprint: str
    images: int
    patients: int
    per_finding: dict[str, int]
    first_file: date
    last_file: date
    left_out_leaks: int
    left_out_refused: int
    strength: float
    macro_auroc_before: float
    macro_auroc_after: float
    gain_low: float
    gain_high: float


class Ancestor(BaseModel, frozen=True, extra="forbid"):
    """A bundle that a bundle was made from.

    Attributes
    ----------
    name, version, sha256
        Of that bundle; the hash is that of its seal.
    by, images
        What was done to it, and on how many images.
    """

    name: str
    version: str
    sha256: str
    by: Literal["recalibrate", "adapt"]
    images: int

    def in_words(self) -> str:
        """Return it as a sentence."""
        return (
            f"Made from {self.name} {self.version} (seal {self.sha256[:16]}…) by carina {self.by} on "
            f"{counted(self.images, 'image')}."
        )


class BundleDescription(FinishedRun):
    """What ``bundle.json`` holds; the other attributes are those of the run that the bundle was made from.

    Attributes
    ----------
    name, version, created, carina
        Of the bundle (the recipe's own name is in `recipe`), and of the Carina that wrote it.
    recipe
        With every default written out.
    tolerances
        How far the golden examples may be missed elsewhere.
    recalibration, adaptation
        Where the policy comes from, if not from training, and on which films the last layer was fitted again, if it
        was. ``model.keras`` and the recipe are then the parent's.
    lineage
        The bundles that it was made from, the oldest first. Bundles of Carina 0.3 do not say it.
    twins
        The precisions beside f32 that were tried, each with its own policy where it may be used; `policy` is that of
        f32.
    int8
        What Carina 0.3 knew of a twin that judged by the thresholds of f32. It may lie there and is not used.
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
    adaptation: Adaptation | None = None
    lineage: tuple[Ancestor, ...] = ()
    twins: tuple[Twin, ...] = ()
    int8: dict[str, Any] | None = Field(default=None, exclude=True)

    def twin(self, precision: str) -> Twin | None:
        """Return what is known of a precision beside f32; none where it was not tried."""
        return next((each for each in self.twins if each.precision == precision), None)

    @property
    def offered(self) -> tuple[TwinPrecision, ...]:
        """Return the precisions beside f32 that may be used, the fastest first."""
        return tuple(each for each in _FASTEST if (twin := self.twin(each)) is not None and twin.accepted)


def open_model(folder: Path) -> FinishedRun:
    """Return what a run or a bundle says of itself; a bundle was checked in full.

    Raises
    ------
    BundleError
        If the folder holds neither, or anything in a bundle is not as it was sealed.
    """
    return open_named_model(folder)[0]


def open_named_model(folder: Path) -> tuple[FinishedRun, str]:
    """Return what a run or a bundle says of itself, and the SHA-256 that names all of it, hexadecimal.

    That of a bundle is its seal's, to be compared with a published one; that of a run is the hash of ``run.json``,
    which names the graphs by theirs.

    Raises
    ------
    BundleError
        See `open_model`.
    """
    kind = kind_of(folder)
    if kind == "bundle":
        described, seal = open_bundle(folder)
        return described, seal.sha256
    if kind != "finished run":
        raise BundleError(wrong_place(folder, "model"))
    return open_run(folder), hashlib.sha256((folder / RUN_FILE).read_bytes()).hexdigest()


def open_bundle(folder: Path) -> tuple[BundleDescription, Seal]:
    """Return what a bundle says of itself, and its seal, after every byte of it was checked.

    Raises
    ------
    BundleError
        If the folder is no bundle, a file is missing, changed, added or a link, a graph refers to another file, or the
        bundle was made by another version.
    """
    if kind_of(folder) != "bundle":
        raise BundleError(wrong_place(folder, "bundle"))
    seal = check_seal(folder, required=_REQUIRED, allowed=(LUNGS_FILE, GATE_FILE, INT8_FILE))
    described = _read_description(folder / BUNDLE_FILE, seal.read(BUNDLE_FILE))
    graphs = {ONNX_FILE: described.model_sha256}
    if described.has_segmenter:
        graphs[LUNGS_FILE] = described.lungs_sha256 or ""
    if "int8" in described.offered and (twin := described.twin("int8")) is not None:
        graphs[INT8_FILE] = twin.sha256 or ""
    described_sums = graphs if described.gate is None else {**graphs, GATE_FILE: described.gate.sha256}
    optional = {name for name in (LUNGS_FILE, GATE_FILE, INT8_FILE) if name in seal.sums}
    if described.int8 is not None and described.int8.get("accepted"):
        optional.discard(INT8_FILE)
    if {name: seal.sums.get(name) for name in described_sums} != described_sums or not optional <= set(described_sums):
        msg = f"{folder}: {BUNDLE_FILE} describes other graphs than lie there. Fetch or export the bundle again."
        raise BundleError(msg)
    for name in graphs:
        require_self_contained(folder / name)
    return described, seal


def choose_precision(model: FinishedRun, precision: Precision, backend: Backend) -> Precision:
    """Return the precision to compute in: the one that is named, or the fastest that model and processor both have.

    Raises
    ------
    ConfigurationError
        If one is named that the model does not offer; the message says why.
    """
    offered = model.offered if isinstance(model, BundleDescription) else ()
    if precision == "auto":
        return next((each for each in offered if computes_fast(each, backend)), "f32")
    if precision == "f32" or precision in offered:
        return precision
    record = model.twin(precision) if isinstance(model, BundleDescription) else None
    if record is not None:
        msg = f"{model.name} cannot be used in {precision}. {record.in_words()} Choose f32."
        raise ConfigurationError(msg)
    how = "Choose f32, or make one: export its run again with --int8."
    msg = f"{model.name} has no thresholds for {precision}: they are fitted for each precision. {how}"
    raise ConfigurationError(msg)


def in_precision(model: FinishedRun, precision: Precision) -> FinishedRun:
    """Return what a model says of itself in a precision that it offers: its policy is then the one for that precision.

    `precision` is f32 or one of `BundleDescription.offered`.
    """
    twin = model.twin(precision) if isinstance(model, BundleDescription) else None
    return model if twin is None or twin.policy is None else model.model_copy(update={"policy": twin.policy})


def classifier_graph(model: FinishedRun, precision: Precision) -> tuple[str, str]:
    """Return the file of the classifier's graph for a precision that the model offers, and its hash."""
    twin = model.twin(precision) if isinstance(model, BundleDescription) else None
    if twin is None or twin.sha256 is None:
        return ONNX_FILE, model.model_sha256
    return INT8_FILE, twin.sha256


def released_bundle() -> Path:
    """Return where the bundle that comes with Carina lies: inside an installed package, or in the repository.

    Raises
    ------
    BundleError
        If this copy of Carina came without.
    """
    package = Path(__file__).parents[1]
    places = [package / "models" / RELEASED_NAME, package.parents[1] / "models" / RELEASED_NAME]
    for place in places:
        if (place / BUNDLE_FILE).is_file():
            return place
    msg = (
        f"This copy of Carina came without its model {RELEASED_NAME} (looked for at {places[0]} and {places[1]}). "
        "Name a run or a bundle, or install Carina from a release."
    )
    raise BundleError(msg)


def _read_description(path: Path, content: bytes) -> BundleDescription:
    try:
        told = json.loads(content)
        version = told["preprocessing"]["version"]
        if told["format"] != FORMAT or version != _PREPROCESSING_VERSION:
            msg = (
                f"{path}: format {told['format']!r} with preprocessing version {version!r} is not known to Carina "
                f"{__version__}, which reads {FORMAT!r} with {_PREPROCESSING_VERSION}. Install a Carina that knows it."
            )
            raise BundleError(msg)
        return BundleDescription.model_validate(told)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        msg = f"{path} cannot be read ({where}: {error.errors()[0]['msg']}). Fetch or export the bundle again."
    except (ValueError, KeyError, TypeError):
        msg = f"{path} is no description of a bundle. Fetch or export the bundle again."
    raise BundleError(msg)
