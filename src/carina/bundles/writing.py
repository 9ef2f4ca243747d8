"""A bundle is written: from a finished run or another bundle, whole or not at all, and verified before it counts."""

import shutil
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import tomli_w
from pydantic import ValidationError

from carina._version import __version__
from carina.bundles.bundle import BUNDLE_FILE, CARD_FILE, FORMAT, GOLDEN_FILE, BundleDescription, in_precision
from carina.bundles.golden import Tolerances, widened_tolerances, write_golden
from carina.bundles.run_folder import (
    GATE_FILE,
    HISTORY_FILE,
    KERAS_FILE,
    LUNGS_FILE,
    ONNX_FILE,
    RECIPE_FILE,
    TRAINING_IMAGES_FILE,
    open_run,
)
from carina.bundles.safety import (
    last_part,
    require_self_contained,
    require_without_code,
    without_directories,
    without_folders,
)
from carina.bundles.training_images import TrainingImages, read_training_images, write_training_images
from carina.bundles.twin import INT8_FILE, Twin
from carina.bundles.verification import Verification, golden_engine, pipeline_of, verify_bundle
from carina.errors import BundleError, ConfigurationError
from carina.runtime.engine import available_precisions, installed_backends
from carina.storage.atomic import require_absent, whole_folder, write_text
from carina.storage.seal import write_seal

# At least twice what rounding every step of a classifier to bf16 changed: processors round it in different places.
BF16_TOLERANCES = Tolerances(logit=2.0, probability=0.4)

WriteCard = Callable[[BundleDescription], str]


@dataclass(frozen=True, slots=True)
class Twins:
    """What is known of a classifier in other precisions, and the ONNX file of int8; none where that was refused."""

    records: tuple[Twin, ...] = ()
    graph: bytes | None = None


def export_bundle(
    run: Path, out: Path, *, name: str, version: str, write_card: WriteCard, twins: Twins | None = None
) -> Verification:
    """Write a finished run as a sealed bundle, whole or not at all, and return what it was verified to be.

    Parameters
    ----------
    run, out
        A finished run, and the folder to write, which must not exist.
    name, version
        Of the bundle: letters, digits, dots, hyphens, underscores.
    write_card
        Gives the model card for what the bundle says of itself.
    twins
        The classifier in other precisions.

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
        "format": FORMAT,
        "command": without_directories(finished.command),
        "dataset": last_part(finished.dataset),
        "name": name,
        "version": version,
        "created": datetime.now(UTC),
        "carina": __version__,
        "recipe": recipe,
        "tolerances": Tolerances(),
        "twins": () if twins is None else twins.records,
    }
    graph = None if twins is None else twins.graph
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
    more_images: TrainingImages | None = None,
    graph: bytes | None = None,
    int8_graph: bytes | None = None,
) -> Verification:
    """Write a bundle with the graphs of a run or another bundle; see `export_bundle`.

    Parameters
    ----------
    source, description
        Where the graphs lie, and what the bundle is to say of itself.
    more_images
        What it learned from, or its policy was chosen on, since: it must not be judged by them unawares.
    graph, int8_graph
        The classifier, where it is another than the source's; and in 8-bit integers, where the description offers it.
    """
    with whole_folder(out, what="bundle") as folder:
        graphs = (ONNX_FILE, LUNGS_FILE) if description.has_segmenter else (ONNX_FILE,)
        gate = () if description.gate is None else (GATE_FILE,)
        for name in (*graphs, *gate, HISTORY_FILE):
            _copy(source / name, folder / name)
        require_without_code(source / KERAS_FILE)
        _pack(source / KERAS_FILE, folder / KERAS_FILE)
        if graph is not None:
            (folder / ONNX_FILE).write_bytes(graph)
        for name in graphs:
            require_self_contained(folder / name)
        images = read_training_images(source / TRAINING_IMAGES_FILE)
        write_training_images(folder / TRAINING_IMAGES_FILE, images if more_images is None else images + more_images)
        write_text(folder / RECIPE_FILE, tomli_w.dumps(description.recipe))
        if int8_graph is not None and "int8" in description.offered:
            (folder / INT8_FILE).write_bytes(int8_graph)
            require_self_contained(folder / INT8_FILE)
        description = _write_golden(folder, description)
        write_text(folder / BUNDLE_FILE, description.model_dump_json(indent=2) + "\n")
        write_text(folder / CARD_FILE, write_card(description))
        write_seal(folder)
        # The golden examples were made by the fastest engine; the other must give the same before anything is released.
        return verify_bundle(folder, backend="onnxruntime")


def _write_golden(folder: Path, description: BundleDescription) -> BundleDescription:
    """Write the golden examples of each precision, and return the description with how far they may be missed."""
    path = folder / GOLDEN_FILE
    made = [
        (in_precision(description, each), pipeline_of(folder, description, each, golden_engine(each), None))
        for each in description.offered
    ]
    write_golden(path, folder, description, made)
    records = []
    for twin in description.twins:
        if twin.accepted:
            model = in_precision(description, twin.precision)
            pipelines = [
                pipeline_of(folder, description, twin.precision, backend, None)
                for backend in installed_backends()
                if twin.precision in (*available_precisions(backend), "int8")
            ]
            least = BF16_TOLERANCES if twin.precision == "bf16" else description.tolerances
            widened = widened_tolerances(path, pipelines, model, least)
            records.append(twin.model_copy(update={"tolerances": widened}))
        else:
            records.append(twin)
    return description.model_copy(update={"twins": tuple(records)})


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
