"""Parts of the set: by hand, with what is not known, and without figures where patients are too few."""

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from carina.errors import ConfigurationError, DataError
from carina.statistics.delong import delong_interval
from carina.statistics.intervals import proportion_interval
from carina.statistics.subgroups import FEWEST_PATIENTS, Division, Subgroup, measure_subgroups


def made(n: int = 120, seed: int = 0) -> tuple[pl.DataFrame, NDArray[np.bool_], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.5
    probability = np.clip(rng.random(n) * 0.7 + 0.3 * positive, 0, 1)
    table = pl.DataFrame(
        {
            "source": np.where(np.arange(n) % 3 == 0, "a", "b"),
            "sex": [["M", "male", "f", None, " "][i % 5] for i in range(n)],
            "view": ["PA" if i % 2 else None for i in range(n)],
            "age": [[3.0, 17.99, 18.0, 70.0, None, -1.0, 999.0, 95.0][i % 8] for i in range(n)],
        }
    )
    return table, positive, probability


def parts(divisions: tuple[Division, ...], by: str) -> dict[str, Subgroup]:
    return {part.name: part for division in divisions if division.by == by for part in division.parts}


def test_figures_of_a_part_are_those_of_its_images() -> None:
    table, positive, probability = made()
    groups = np.arange(120) // 2
    divisions = measure_subgroups(table, positive, probability, 0.5, groups)
    assert [division.by for division in divisions] == ["source", "sex", "view", "age", "children and adults"]
    part = parts(divisions, "source")["a"]
    rows = np.arange(120) % 3 == 0
    having = rows & positive
    assert part.sensitivity == proportion_interval((probability >= 0.5)[having], groups[having])
    assert part.specificity == proportion_interval((probability < 0.5)[rows & ~positive], groups[rows & ~positive])
    assert part.auroc == delong_interval(positive[rows], probability[rows], groups[rows])
    assert (part.images, part.with_finding, part.without_finding) == (40, having.sum(), (rows & ~positive).sum())
    assert part.patients == len(np.unique(groups[rows]))


def test_every_image_is_in_one_part_of_each_division() -> None:
    table, positive, probability = made()
    for division in measure_subgroups(table, positive, probability, 0.5):
        assert sum(part.images for part in division.parts) == 120
        assert division.known == 120 - sum(part.images for part in division.parts if part.name == "not known")
    divisions = measure_subgroups(table, positive, probability, 0.5)
    assert [part.name for part in divisions[0].parts] == ["b", "a"]
    assert {name: part.images for name, part in parts(divisions, "sex").items()} == {
        "male": 48,
        "female": 24,
        "not known": 48,
    }
    assert list(parts(divisions, "view")) == ["PA", "not known"]
    # An age below 0 or of 999 years is no age; 17.99 is a child's.
    assert {name: part.images for name, part in parts(divisions, "age").items()} == {
        "0 to 5": 15,
        "6 to 17": 15,
        "18 to 39": 15,
        "60 to 79": 15,
        "80 and over": 15,
        "not known": 45,
    }
    assert list(parts(divisions, "age"))[-1] == "not known"
    assert {name: part.images for name, part in parts(divisions, "children and adults").items()} == {
        "children (under 18)": 30,
        "adults (18 and over)": 45,
        "not known": 45,
    }


def test_too_few_patients_say_so_whatever_the_images() -> None:
    # 9 patients with 4 images each, and 10 with one.
    groups = np.concatenate([np.repeat(np.arange(9), 4), 100 + np.arange(10)])
    positive = np.array([True] * 36 + [False] * 10)
    table = pl.DataFrame({"source": ["a"] * 46})
    (part,) = measure_subgroups(table, positive, np.linspace(1, 0, 46), 0.5, groups)[0].parts
    assert part.sensitivity.value is None
    assert part.sensitivity.note == "too few: 9 patients with this finding, 10 are the least"
    assert (part.sensitivity.numerator, part.sensitivity.denominator) == (23, 36)
    assert part.specificity.value == 1
    assert part.auroc.value is None
    assert FEWEST_PATIENTS == 10
    (part,) = measure_subgroups(table[:36], positive[:36], np.linspace(1, 0, 36), 0.5, groups[:36])[0].parts
    assert part.specificity.note == "no image without this finding"


def test_missing_columns_are_not_known() -> None:
    divisions = measure_subgroups(
        pl.DataFrame({"image": ["x"] * 30}), np.arange(30) % 2 == 0, np.linspace(0, 1, 30), 0.5
    )
    assert all([part.name for part in division.parts] == ["not known"] for division in divisions)
    assert all(division.known == 0 for division in divisions)


def test_refuses() -> None:
    table, positive, probability = made()
    with pytest.raises(DataError, match="has 119 rows for 120 images"):
        measure_subgroups(table[:119], positive, probability, 0.5)
    with pytest.raises(ConfigurationError, match="threshold is nan"):
        measure_subgroups(table, positive, probability, float("nan"))
