"""Images with what the model says of them."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.evaluation.predictions import groups_of
from carina.statistics.intervals import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Images with what the model says of them, as they are."""

    images_of: str  # what they are called: "the test split", or the name of a set from elsewhere
    rows: pl.DataFrame  # of the manifest: finding, source, view, sex, age and group are looked at
    probabilities: FloatArray  # float ``(n, findings)``, calibrated

    @property
    def groups(self) -> NDArray[np.int64]:
        """Return the patient or set of near-duplicates of each image: int64 ``(n,)``."""
        return groups_of(self.rows)
