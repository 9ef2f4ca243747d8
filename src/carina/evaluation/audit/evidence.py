"""Whether the model needs what its activation maps mark: cells are taken away, or kept alone, and it is asked again.

Comprehensiveness and sufficiency as DeYoung et al. 2020 (ERASER, arXiv:1911.03429) define them, averaged over several
numbers of cells; on images this is the deletion and insertion of Petsiuk et al. 2018 (RISE, arXiv:1806.07421).
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.evaluation.audit.audit_results import ExplanationTest
from carina.evaluation.audit.looks import Looker
from carina.evaluation.audit.share import mean_estimates
from carina.evaluation.predictions import groups_of
from carina.inference.explanation.explain import Explanation
from carina.progress import Progress
from carina.radiographs.preprocess import to_tensor
from carina.runtime.engine import load_engine
from carina.runtime.streams import batched
from carina.statistics.intervals import FloatArray, IntArray
from carina.statistics.subgroups import FEWEST_PATIENTS

# Shares of the cells that are taken away, or kept, as in ERASER, which has 1 % as well: no map has a hundred cells.
_SHARES = (0.05, 0.1, 0.2, 0.5)
_BATCH = 8


def try_explanations(
    looker: Looker, rows: pl.DataFrame, *, replicates: int, seed: int, progress: Progress
) -> tuple[ExplanationTest, ...]:
    """Return what the probability of the called finding loses without its evidence, and with nothing else.

    What is taken away is filled with the mean grey of what the network is shown of the same image: darker or lighter
    than that would be a sign of its own.

    Parameters
    ----------
    looker
        Of the model.
    rows
        Images to try it on, with the columns of a manifest.
    replicates, seed
        Of the bootstrap; the seed also draws the random cells.
    progress
        Told how many images are done.

    Returns
    -------
    All images first, then each finding that is called for `FEWEST_PATIENTS` patients or more. Nothing if the graph has
    no output ``contributions``.
    """
    model = looker.model
    engine = load_engine(model.graph)
    if "contributions" not in engine.outputs:
        return ()
    frames = looker.frames(rows)
    tensors = (to_tensor(np.stack(group), model.preprocessing.pixel_range) for group in batched(frames, _BATCH))
    outputs = list(engine.stream(tensors))
    logits, contributions = (np.concatenate([out[name] for out in outputs]) for name in ("logits", "contributions"))
    probabilities = model.policy.probabilities(logits)
    called = probabilities.argmax(axis=1)
    rng = np.random.default_rng(seed)

    def variants(place: int) -> NDArray[np.float32]:
        explanation = Explanation(
            model.findings,
            contributions[place],
            logits[place],
            model.policy.calibration,
            (0.0, 0.0, 1.0, 1.0),
            None,
            frames[place],
        )
        evidence = explanation.evidence(model.findings[called[place]])
        orders = np.stack([np.argsort(-evidence, axis=None, kind="stable"), rng.permutation(evidence.size)])
        altered = altered_frames(frames[place], orders, evidence.shape)
        return to_tensor(altered.reshape(-1, *frames[place].shape), model.preprocessing.pixel_range)

    losses = []
    for place, out in enumerate(engine.stream(variants(place) for place in range(len(frames)))):
        after = model.policy.probabilities(out["logits"])[:, called[place]].reshape(2, 2, -1).mean(axis=2)
        losses.append(probabilities[place, called[place]] - after)
        progress(place + 1, len(frames))
    before = probabilities.max(axis=1)
    groups = groups_of(rows)
    return _summed_up(before, np.stack(losses), called, groups, model.findings, replicates, seed)


def altered_frames(shown: NDArray[np.uint8], orders: IntArray, grid: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return an image with the first cells of each order taken away, and with these alone.

    uint8 ``(2, orders, numbers of cells, height, width)``: taken away is 0 of the first axis, kept alone is 1.

    Parameters
    ----------
    shown
        uint8 ``(height, width)``.
    orders
        int ``(orders, cells)``: cells in the order in which they are taken, numbered by rows.
    grid
        Rows and columns of cells that divide the image evenly.
    """
    cells = grid[0] * grid[1]
    down, across = (np.arange(pixels) * parts // pixels for pixels, parts in zip(shown.shape, grid, strict=True))
    cell_of = down[:, np.newaxis] * grid[1] + across
    # At which place of each order the cell of each pixel is taken.
    taken_at = np.argsort(orders, axis=1)[:, cell_of]
    counts = np.unique([max(1, round(share * cells)) for share in _SHARES])
    first = taken_at[:, np.newaxis] < counts[:, np.newaxis, np.newaxis]
    neutral = np.uint8(round(float(shown.mean())))
    return np.stack([np.where(first, neutral, shown), np.where(first, shown, neutral)])


def _summed_up(
    before: FloatArray,
    losses: FloatArray,
    called: IntArray,
    groups: IntArray,
    findings: tuple[str, ...],
    replicates: int,
    seed: int,
) -> tuple[ExplanationTest, ...]:
    """Return the means, over all images and for each finding; losses are ``(n, deleted or kept, marked or random)``."""
    (marked, drawn), (alone, drawn_alone) = np.moveaxis(losses, 0, -1)
    columns = np.stack([before, marked, drawn, marked - drawn, alone, drawn_alone, drawn_alone - alone], axis=1)
    tests = []
    for finding in (None, *range(len(findings))):
        rows = np.ones(len(called), dtype=np.bool_) if finding is None else called == finding
        if finding is None or len(np.unique(groups[rows])) >= FEWEST_PATIENTS:
            means = mean_estimates(
                columns[rows], called[rows], groups[rows], replicates=replicates, seed=seed, signed=True
            )
            name = None if finding is None else findings[finding]
            tests.append(ExplanationTest(name, int(rows.sum()), *means))
    return tuple(tests)
