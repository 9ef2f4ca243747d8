"""How the images of each finding spread over the priorities that triage gives them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from carina.decisions.policy import Policy
from carina.decisions.triage import PRIORITIES, READING_PLACES, Priority, choose_triage
from carina.evaluation.predictions import findings_of, probabilities_of, truth_of
from carina.evaluation.reading_room.waiting_times import Priorities, mix_at
from carina.statistics.intervals import IntArray

# As a worklist is sorted. What could not be judged is counted with the second readings, whose place it has.
READING_ORDER: tuple[Priority, ...] = tuple(name for name in PRIORITIES if name != "not-assessable")
FLAGGED_BANDS = 2


@dataclass(frozen=True, slots=True, eq=False)
class PrioritySpread:
    """Images of each finding at each priority."""

    findings: tuple[str, ...]  # k names
    priorities: tuple[str, ...]  # c names, the one that is read first in front
    flagged: int  # how many of the first priorities count as flagged
    images: IntArray  # int (k, c)

    def arriving(self, finding: str, prevalence: float | None = None) -> Priorities:
        """Return the spread of what arrives, where the flagged finding has a prevalence; by default that of the set.

        Findings without an image are left out: how triage would treat them is not known.

        Raises
        ------
        ConfigurationError
            If the prevalence leaves [0, 1], or asks for images that the set does not have.
        """
        counts = self.images.sum(axis=1)
        mix = mix_at(counts, self.findings.index(finding), prevalence)
        seen = counts > 0
        return Priorities(
            tuple(name for name, some in zip(self.findings, seen, strict=True) if some),
            mix[seen],
            self.priorities,
            self.images[seen] / counts[seen, None],
            self.flagged,
        )


def spread_of_flag(table: pl.DataFrame, finding: str, threshold: float) -> PrioritySpread:
    """Return how the flag ``probability >= threshold`` alone spreads the images of a prediction table."""
    findings = findings_of(table)
    below = probabilities_of(table)[:, findings.index(finding)] < threshold
    return _spread(table, below.astype(np.int_), ("flagged", "not flagged"), 1)


def priorities_of(table: pl.DataFrame, policy: Policy, prevalence: float | None = None) -> list[Priority]:
    """Return the priority that triage gives to each row of a prediction table; parameters as `spread_of_bands`."""
    findings = findings_of(table)
    assessable = table["assessable"].to_list() if "assessable" in table.columns else [True] * table.height
    return [
        choose_triage(
            dict(zip(findings, row, strict=True)),
            policy,
            prevalence=prevalence,
            refused=None if judged else "no two lungs were found",
        ).priority
        for row, judged in zip(probabilities_of(table).tolist(), assessable, strict=True)
    ]


def spread_of_bands(table: pl.DataFrame, policy: Policy, prevalence: float | None = None) -> PrioritySpread:
    """Return how triage spreads the images of a prediction table over `READING_ORDER`.

    Parameters
    ----------
    table
        A prediction table; without the column assessable all images are.
    prevalence
        At which the bands keep their promises; see `carina.decisions.triage.choose_triage`.

    Raises
    ------
    ConfigurationError
        If the prevalence leaves [0, 1].
    """
    places = [READING_PLACES[priority] for priority in priorities_of(table, policy, prevalence)]
    return _spread(table, np.array(places, dtype=np.int_), READING_ORDER, FLAGGED_BANDS)


def _spread(table: pl.DataFrame, places: IntArray, priorities: tuple[str, ...], flagged: int) -> PrioritySpread:
    findings = findings_of(table)
    shape = (len(findings), len(priorities))
    images = np.bincount(truth_of(table) * shape[1] + places, minlength=shape[0] * shape[1]).reshape(shape)
    return PrioritySpread(findings, priorities, flagged, images)
