"""A bundle is verified: every byte, and its golden examples in each way of computing that this machine has."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from carina.bundles.bundle import (
    GOLDEN_FILE,
    Ancestor,
    BundleDescription,
    choose_precision,
    classifier_graph,
    in_precision,
    open_bundle,
)
from carina.bundles.golden import Differences, Tolerances, quantities_missed, require_golden
from carina.bundles.pipeline import Pipeline, load_pipeline
from carina.bundles.run_folder import KERAS_FILE, TRAINING_IMAGES_FILE
from carina.bundles.safety import require_without_code
from carina.bundles.training_images import read_training_images
from carina.bundles.twin import Twin
from carina.notebook import boxed, lines_html
from carina.runtime.engine import Backend, Precision, available_precisions, installed_backends
from carina.storage.seal import SEAL_FILE
from carina.wording import counted


@dataclass(frozen=True, slots=True)
class Check:
    """How the golden examples came out in one way of computing: how far they were missed, and how far they may be."""

    engine: str
    precision: str
    threads: int
    differences: Differences
    tolerances: Tolerances

    @property
    def usable(self) -> bool:
        """Return whether the golden examples were missed by no more than is allowed."""
        return not quantities_missed(self.differences, self.tolerances)

    def summary(self) -> str:
        """Return how far the golden examples were missed, and whether that is too far."""
        of, may = self.differences, self.tolerances
        return (
            f"Golden examples on {self.engine} ({self.precision}, {counted(self.threads, 'thread')}): missed by at "
            f"most {of.logit:.2g} of a logit ({may.logit:g} allowed) and {of.probability:.2g} of a probability "
            f"({may.probability:g} allowed)."
            f"{'' if self.usable else f' Too far: do not use --precision {self.precision} on this machine.'}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self) | {"tolerances": self.tolerances.model_dump(), "usable": self.usable}


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verified bundle was found to be.

    Attributes
    ----------
    name, version, flag_finding
        Of the bundle, and the finding that it flags.
    sha256
        The hash of its seal, to be compared with a published one.
    checks
        One for each way of computing that was asked for, f32 first.
    twins
        What is known of other precisions, also of those that were refused.
    usual
        The precision that predicting takes here if nothing is said.
    lineage
        The bundles that it was made from, the oldest first.
    bytes_of
        The size of each file.
    """

    name: str
    version: str
    flag_finding: str
    sha256: str
    checks: tuple[Check, ...]
    twins: tuple[Twin, ...]
    usual: str
    lineage: tuple[Ancestor, ...]
    bytes_of: dict[str, int]

    @property
    def megabytes(self) -> float:
        """Return the size of the whole in MB (10^6 bytes)."""
        return sum(self.bytes_of.values()) / 1e6

    def summary(self) -> str:
        """Return name, size, flagged finding, ancestors, how the golden examples came out, and the seal, by line."""
        size = f"{self.megabytes:.1f} MB in {len(self.bytes_of)} files"
        lines = [f"{self.name} {self.version}, {size}, each as sealed.", f"Flagged finding: {self.flag_finding}."]
        lines.extend(each.in_words() for each in self.lineage)
        lines.extend(check.summary() for check in self.checks)
        lines.extend(each.in_words() for each in self.twins)
        lines.append(f"Without --precision, images are judged in {self.usual} here.")
        return "\n".join([*lines, f"Seal: {self.sha256}"])

    def _repr_html_(self) -> str:
        """Return the summary for a notebook."""
        return boxed(lines_html(self.summary()))

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "name": self.name,
            "version": self.version,
            "flag_finding": self.flag_finding,
            "sha256": self.sha256,
            **self.checks[0].to_json(),
            "checks": [check.to_json() for check in self.checks],
            "twins": [each.model_dump(exclude={"policy"}) for each in self.twins],
            "usual_precision": self.usual,
            "lineage": [each.model_dump() for each in self.lineage],
            "bytes_of": self.bytes_of,
            "megabytes": round(self.megabytes, 3),
        }


def verify_bundle(
    folder: Path, *, backend: Backend = "auto", precision: Precision = "auto", threads: int | None = None
) -> Verification:
    """Return what a bundle is, after every byte was checked and its golden examples were recomputed here.

    Parameters
    ----------
    backend
        What the examples are recomputed by; ``auto`` is every engine that is installed.
    precision
        What they are recomputed in; ``auto`` is every precision that the processor and the bundle have.
    threads
        See `carina.runtime.engine.load_engine`.

    Raises
    ------
    BundleError
        If the bundle is not as it was sealed, holds what must not travel, or gives other values than it must.
    ConfigurationError
        If the precision is not available.
    """
    description, seal = open_bundle(folder)
    require_without_code(folder / KERAS_FILE)
    read_training_images(folder / TRAINING_IMAGES_FILE)
    checks = []
    for engine, computed_in in _ways(description, backend, precision):
        pipeline = pipeline_of(folder, description, computed_in, engine, threads)
        tolerances = _tolerances(description, computed_in, pipeline.engine.name)
        model = in_precision(description, computed_in)
        differences = require_golden(folder / GOLDEN_FILE, pipeline, model, tolerances)
        checks.append(
            Check(pipeline.engine.name, pipeline.engine.precision, pipeline.engine.threads, differences, tolerances)
        )
    return Verification(
        name=description.name,
        version=description.version,
        flag_finding=description.policy.flag_finding,
        sha256=seal.sha256,
        checks=tuple(checks),
        twins=description.twins,
        usual=choose_precision(description, "auto", backend),
        lineage=description.lineage,
        bytes_of={name: (folder / name).stat().st_size for name in (*seal.sums, SEAL_FILE)},
    )


def _ways(described: BundleDescription, backend: Backend, precision: Precision) -> Iterator[tuple[Backend, Precision]]:
    """Yield the engines and precisions that were asked for; all that this machine and this bundle have, if none was."""
    asked = choose_precision(described, precision, backend)
    for engine in installed_backends() if backend == "auto" else (backend,):
        if precision != "auto":
            # That ONNX Runtime has no bf16 is no fault of the bundle; who names both is told.
            if backend == "auto" and precision == "bf16" and engine == "onnxruntime":
                continue
            yield engine, asked
            continue
        yield engine, "f32"
        for computed_in in described.offered:
            if computed_in == "int8" or computed_in in available_precisions(engine):
                yield engine, computed_in


def pipeline_of(
    folder: Path, described: BundleDescription, precision: Precision, backend: Backend, threads: int | None
) -> Pipeline:
    """Return a bundle's pipeline with its classifier in a precision, on an engine."""
    graph, _ = classifier_graph(described, precision)
    return load_pipeline(folder, described, graph=graph, backend=backend, precision=precision, threads=threads)


def golden_engine(precision: str) -> Backend:
    """Return the engine that makes the golden examples of a precision."""
    return "openvino" if precision == "bf16" else "onnxruntime"


def _tolerances(described: BundleDescription, precision: Precision, engine: str) -> Tolerances:
    """Return how far golden examples may be missed: integers by another engine alone."""
    twin = described.twin(precision)
    same = precision == "int8" and engine.startswith("ONNX Runtime")
    return described.tolerances if twin is None or twin.tolerances is None or same else twin.tolerances
