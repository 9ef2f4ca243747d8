"""What a classifier's twin in 8-bit integers changes: both judge the same images, on every engine that runs here."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carina.bundles.int8_twin import Parity
from carina.decisions.policy import Policy
from carina.decisions.triage import decide
from carina.errors import DataError
from carina.runtime.engine import Engine, installed_backends, load_engine
from carina.statistics.curves import auroc

Batches = Callable[[], Iterator[NDArray[np.float32]]]


def measure_parity(
    graph: Path, twin: Path, batches: Batches, truth: NDArray[np.integer], policy: Policy
) -> tuple[Parity, ...]:
    """Return what the twin changes, on each engine that is installed.

    Parameters
    ----------
    batches
        Gives the tensors, float32 ``(n, size, size, 3)`` each, as often as it is called.
    truth
        The place of each image's finding among the policy's, int ``(images,)``.

    Raises
    ------
    DataError
        If no finding is there on some images and missing on others.
    """
    measured = []
    for backend in installed_backends():
        before, after = (load_engine(path, backend=backend) for path in (graph, twin))
        measured.append(compare(_logits(before, batches), _logits(after, batches), truth, policy, engine=after.name))
    return tuple(measured)


def compare(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    truth: NDArray[np.integer],
    policy: Policy,
    *,
    engine: str,
) -> Parity:
    """Return what other logits of the same images change; see `measure_parity`.

    Parameters
    ----------
    before, after
        float ``(images, findings)``: of the classifier, and of what is to take its place.

    Raises
    ------
    DataError
        See `measure_parity`.
    """
    old, new = policy.probabilities(before), policy.probabilities(after)
    pairs = list(zip(decide(old, policy), decide(new, policy), strict=True))
    return Parity(
        engine=engine,
        images=len(truth),
        auroc_cost=_macro_auroc(old, truth) - _macro_auroc(new, truth),
        changed=sum(one != other for one, other in pairs),
        findings_changed=sum(one[0] != other[0] for one, other in pairs),
        largest_difference=float(np.abs(new - old).max()),
    )


def _logits(engine: Engine, batches: Batches) -> NDArray[np.float32]:
    return np.concatenate([outputs["logits"] for outputs in engine.stream(batches())])


def _macro_auroc(probabilities: NDArray[np.float64], truth: NDArray[np.integer]) -> float:
    there = [truth == finding for finding in range(probabilities.shape[1])]
    each = [auroc(has, probabilities[:, i]) for i, has in enumerate(there) if has.any() and not has.all()]
    if not each:
        msg = "All images are of one finding: no AUROC, and so no parity, can be measured. Name other images."
        raise DataError(msg)
    return float(np.mean(each))
