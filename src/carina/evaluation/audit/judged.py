"""Images with what the model says of them."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.statistics.intervals import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Images with what the model says of them, as they are.

    Attributes
    ----------
    images_of
        What they are called: "the test split", or the name of a set from elsewhere.
    rows
        Of the manifest: finding, source, view, sex, age and group are looked at.
    probabilities
        float ``(n, findings)``, calibrated.
    """

    images_of: str
    rows: pl.DataFrame
    probabilities: FloatArray

    @property
    def groups(self) -> NDArray[np.int64]:
        """Return the patient or set of near-duplicates of each image: int64 ``(n,)``."""
        return self.rows["group"].to_numpy().astype(np.int64)
