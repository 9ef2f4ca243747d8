"""A bundle is verified: every byte, and its golden examples in each way of computing that this machine has."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from carina.bundles.bundle import GOLDEN_FILE, Ancestor, BundleDescription, classifier_graph, open_bundle
from carina.bundles.golden import (
    BF16_TOLERANCES,
    Differences,
    Tolerances,
    compare_golden,
    quantities_missed,
    require_golden,
)
from carina.bundles.int8_twin import Int8Record
from carina.bundles.pipeline import Pipeline, load_pipeline
from carina.bundles.run_folder import KERAS_FILE, TRAINING_IMAGES_FILE
from carina.bundles.safety import require_without_code
from carina.bundles.training_images import read_training_images
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
        One for each way of computing that was asked for; the first is the one that predicting takes if nothing is said.
    int8
        What is known of the twin in 8-bit integers, also where it was refused.
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
    int8: Int8Record | None
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
        if self.int8 is not None:
            lines.append(self.int8.in_words())
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
            "int8": None if self.int8 is None else self.int8.model_dump(),
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
        What they are recomputed in; ``auto`` is every precision that the processor and the bundle have. If bf16 alone
        misses them and nobody asked for it, that is said in the summary and is no error.
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
        tolerances = _tolerances(description, pipeline.engine.precision)
        # Nobody predicts in bf16 who does not ask for it, so a model that bf16 changes too much is sound without it.
        asked = precision != "auto" or pipeline.engine.precision != "bf16"
        golden = folder / GOLDEN_FILE
        differences = (
            require_golden(golden, pipeline, description, tolerances)
            if asked
            else compare_golden(golden, pipeline, description)
        )
        checks.append(
            Check(pipeline.engine.name, pipeline.engine.precision, pipeline.engine.threads, differences, tolerances)
        )
    return Verification(
        name=description.name,
        version=description.version,
        flag_finding=description.policy.flag_finding,
        sha256=seal.sha256,
        checks=tuple(checks),
        int8=description.int8,
        lineage=description.lineage,
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


def pipeline_of(
    folder: Path, described: BundleDescription, precision: Precision, backend: Backend, threads: int | None
) -> Pipeline:
    """Return a bundle's pipeline with its classifier in a precision, on an engine."""
    graph, _ = classifier_graph(described, precision)
    return load_pipeline(folder, described, graph=graph, backend=backend, precision=precision, threads=threads)


def _tolerances(described: BundleDescription, precision: str) -> Tolerances:
    if precision == "int8" and described.int8 is not None and described.int8.tolerances is not None:
        return described.int8.tolerances
    return BF16_TOLERANCES if precision == "bf16" else described.tolerances
