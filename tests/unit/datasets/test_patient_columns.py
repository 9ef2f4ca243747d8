"""Ages and sexes as tables write them, and what is left empty and counted."""

from typing import Any

import polars as pl
import pytest

from carina.datasets.patient_columns import read_ages, read_sexes


def ages(*cells: Any) -> tuple[Any, ...]:
    return read_ages(pl.Series(cells, dtype=pl.String), pl.Series(range(2, len(cells) + 2)))


def sexes(*cells: Any) -> tuple[Any, ...]:
    return read_sexes(pl.Series(cells, dtype=pl.String), pl.Series(range(2, len(cells) + 2)))


@pytest.mark.parametrize(
    ("cell", "years"),
    [
        *(("58", 58.0), ("058Y", 58.0), ("58 years", 58.0), ("58,5", 58.5), ("58.5 yr.", 58.5), ("0", 0.0)),
        *(("018M", 1.5), ("6 months", 0.5), ("3W", 21 / 365.25), ("10 days", 10 / 365.25), ("120", 120.0)),
    ],
)
def test_ages(cell: str, years: float) -> None:
    found, notes = ages(cell, None)
    assert found.to_list() == [pytest.approx(years), None]
    assert notes == ()


def test_ages_that_are_not_understood_are_left_empty_and_counted() -> None:
    found, notes = ages("58", "old", "nan", "", "inf", "411", "-3", "40-50", "?", "90+")
    assert found.to_list() == [58.0] + [None] * 9
    assert notes == ("The age was left empty in 6 rows, first in row 3: it is not an age from 0 to 120 years.",)


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (("M", "f", None), ["M", "F", None]),
        (("Male", "Female", "Unknown", "?"), ["M", "F", None, None]),
        (("m", "w", "divers"), ["M", "F", "O"]),
        (("weiblich", "männlich"), ["F", "M"]),
        (("1", "2", "0", "9"), ["M", "F", None, None]),
    ],
)
def test_sexes(cells: tuple[Any, ...], found: list[Any]) -> None:
    assert sexes(*cells)[0].to_list() == found
    assert sexes(*cells)[1] == ()


@pytest.mark.parametrize("cells", [("0", "1", "1"), ("H", "M", "H"), ("V", "M", "V"), ("K", "M", "M")])
def test_letters_of_an_unknown_rule_are_left_empty_and_counted(cells: tuple[str, str, str]) -> None:
    found, notes = sexes(*cells)
    assert found.to_list() == [None] * 3
    assert notes == ("The sex was left empty in 3 rows, first in row 2: it does not surely mean F or M.",)


def test_one_word_that_is_not_understood_does_not_spoil_the_others() -> None:
    found, notes = sexes("M", "F", "not asked")
    assert found.to_list() == ["M", "F", None]
    assert "in 1 row, first in row 4" in notes[0]
