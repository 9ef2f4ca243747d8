"""What the flag reaches in parts of the set: by source, by sex, by view, by age, and in children and adults.

A part without enough patients says so instead of giving a figure: see `FEWEST_PATIENTS`. Images of which something is
not known are a part of their own. Parts are looked at one by one, so that among many some differ by chance: of 20
intervals of 95 % one misses its true value on average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from carina.errors import ConfigurationError, DataError
from carina.statistics.curves import checked_scores
from carina.statistics.delong import delong_interval
from carina.statistics.intervals import (
    BoolArray,
    Estimate,
    FloatArray,
    IntArray,
    group_codes,
    not_applicable,
    proportion_interval,
)

# Of 10 patients all found, the interval runs from 0.72 to 1; of fewer it says next to nothing.
FEWEST_PATIENTS = 10
NOT_KNOWN = "not known"
ADULT_YEARS = 18
# Upper ends in years, and what lies below them.
_AGES = ((6, "0 to 5"), (18, "6 to 17"), (40, "18 to 39"), (60, "40 to 59"), (80, "60 to 79"), (np.inf, "80 and over"))
_SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}


@dataclass(frozen=True, slots=True)
class Subgroup:
    """What the flag reaches in one part of the set.

    Parameters
    ----------
    name
        Of the part.
    images, patients
        In it; each image is a patient of its own where patients are not known.
    with_finding, without_finding
        Images that show the finding, and that do not.
    sensitivity, specificity
        At the operating point. Not applicable where fewer than `FEWEST_PATIENTS` patients are on its side.
    auroc
        Not applicable where either side has fewer than `FEWEST_PATIENTS` patients.
    """

    name: str
    images: int
    patients: int
    with_finding: int
    without_finding: int
    sensitivity: Estimate
    specificity: Estimate
    auroc: Estimate


@dataclass(frozen=True, slots=True)
class Division:
    """The set divided by one property.

    Parameters
    ----------
    by
        ``source``, ``sex``, ``view``, ``age`` or ``children and adults``.
    known
        Number of images of which the property is known. With none there is nothing to compare.
    parts
        Ages by rising age, other parts by falling number of images; `NOT_KNOWN` last.
    """

    by: str
    known: int
    parts: tuple[Subgroup, ...]


def measure_subgroups(
    table: pl.DataFrame,
    positive: BoolArray,
    probability: FloatArray,
    threshold: float,
    groups: IntArray | None = None,
) -> tuple[Division, ...]:
    """Return what the decision ``probability >= threshold`` reaches in the parts of a prediction table.

    Parameters
    ----------
    table
        n rows with the columns source, sex, view (text) and age (years), any of them null or missing.
    positive
        bool (n,), whether the image shows the finding.
    probability
        float (n,), its probability.
    threshold
        The operating point, chosen elsewhere.
    groups
        int (n,) patient or duplicate group ids, or None.

    Raises
    ------
    DataError
        If the lengths differ or a probability is NaN.
    ConfigurationError
        If the threshold is not a finite number.
    """
    positive, probability = checked_scores(positive, probability)
    if table.height != len(positive):
        msg = f"The table has {table.height} rows for {len(positive)} images. Give one row an image."
        raise DataError(msg)
    if not np.isfinite(threshold):
        msg = f"The threshold is {threshold}. Give a finite number, such as 0.5."
        raise ConfigurationError(msg)
    codes = group_codes(groups, len(positive))
    codes = np.arange(len(positive)) if codes is None else codes
    divisions = []
    for by in _DIVISIONS:
        names = part_names(table, by)
        parts = tuple(
            _measure_part(name, names == name, positive, probability, threshold, codes) for name in _in_order(names)
        )
        divisions.append(Division(by, int((names != NOT_KNOWN).sum()), parts))
    return tuple(divisions)


def part_names(table: pl.DataFrame, by: str) -> NDArray[np.object_]:
    """Return the part that each row belongs to, such as ``PA`` by ``view``; `NOT_KNOWN` where the table is silent."""
    column, name_of = _DIVISIONS[by]
    values = table[column].to_list() if column in table.columns else [None] * table.height
    return np.array([name_of(value) for value in values], dtype=object)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) and value.strip() else NOT_KNOWN


def _sex(value: Any) -> str:
    text = _text(value)
    return _SEXES.get(text.lower(), text)


def _age(value: Any) -> str:
    if not _is_age(value):
        return NOT_KNOWN
    return next(name for end, name in _AGES if value < end)


def _maturity(value: Any) -> str:
    if not _is_age(value):
        return NOT_KNOWN
    return "adults (18 and over)" if value >= ADULT_YEARS else "children (under 18)"


def _is_age(value: Any) -> bool:
    # A negative age, or one of 999 for "not known", is no age.
    return isinstance(value, int | float) and 0 <= value <= 130


_DIVISIONS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "source": ("source", _text),
    "sex": ("sex", _sex),
    "view": ("view", _text),
    "age": ("age", _age),
    "children and adults": ("age", _maturity),
}
_FIXED = {name: place for place, name in enumerate(("children (under 18)", *(name for _, name in _AGES)))}


def _in_order(names: Any) -> list[str]:
    found, counts = np.unique(names.astype(str), return_counts=True)
    size = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return sorted(size, key=lambda name: (name == NOT_KNOWN, _FIXED.get(name, len(_FIXED)), -size[name], name))


def _measure_part(
    name: str,
    rows: BoolArray,
    positive: BoolArray,
    probability: FloatArray,
    threshold: float,
    codes: IntArray,
) -> Subgroup:
    sides = (
        (rows & positive, "with", probability >= threshold),
        (rows & ~positive, "without", probability < threshold),
    )
    figures, missing = [], None
    for side, word, right in sides:
        too_few = _too_few(len(np.unique(codes[side])), word)
        missing = missing or too_few
        hits, among = int(right[side].sum()), int(side.sum())
        figures.append(
            not_applicable(too_few, numerator=hits, denominator=among)
            if too_few
            else proportion_interval(right[side], codes[side])
        )
    area = not_applicable(missing) if missing else delong_interval(positive[rows], probability[rows], codes[rows])
    having, lacking = (int(side.sum()) for side, _, _ in sides)
    return Subgroup(name, int(rows.sum()), len(np.unique(codes[rows])), having, lacking, figures[0], figures[1], area)


def _too_few(patients: int, word: str) -> str | None:
    if patients >= FEWEST_PATIENTS:
        return None
    if patients == 0:
        return f"no image {word} this finding"
    return f"too few: {patients} patients {word} this finding, {FEWEST_PATIENTS} are the least"
