"""Ages and sexes as tables write them become years, and F, M or O; what is not understood is left empty and counted."""

import re

import polars as pl

from carina.datasets.label_cells import is_unknown

_AGE = re.compile(r"(\d{1,4}(?:[.,]\d+)?)\s*([^\W\d]*)\.?")
# A year has 365.25 days, as in the header's age (PS3.5 6.2, AS).
_YEARS_IN = {
    **dict.fromkeys(("", "y", "yo", "yr", "yrs", "year", "years", "j", "jahr", "jahre", "años", "ans"), 1.0),
    **dict.fromkeys(("m", "mo", "mos", "month", "months", "mon"), 1 / 12),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 7 / 365.25),
    **dict.fromkeys(("d", "day", "days"), 1 / 365.25),
}
_OLDEST = 120.0
_SEXES = {
    **dict.fromkeys(("m", "male", "man", "boy", "männlich", "maennlich", "hombre", "masculino", "masculin"), "M"),
    **dict.fromkeys(("homme", "maschio", "男", "男性"), "M"),
    **dict.fromkeys(("f", "female", "woman", "girl", "w", "weiblich", "mujer", "femenino", "feminino"), "F"),
    **dict.fromkeys(("féminin", "femme", "femmina", "女", "女性"), "F"),
    **dict.fromkeys(("o", "other", "divers", "diverse", "x"), "O"),
}
# Source: ISO/IEC 5218. A table with 0 and 1 alone follows it or another rule, of which there are two.
_ISO_SEXES = {"1": "M", "2": "F"}
_ISO_UNKNOWN = frozenset({"0", "9"})


def read_ages(column: pl.Series, rows: pl.Series) -> tuple[pl.Series, tuple[str, ...]]:
    """Return ages in years, 0 to 120, null where there is none, and a note on those that are not understood.

    A number is in years, with a point or a comma; ``058Y``, ``18M``, ``3W`` and ``58 years`` say their unit. The note
    names lines, which `rows` holds.
    """
    meant = {text: _age(text) for text in column.drop_nulls().unique()}
    ages = column.replace_strict(meant, default=None, return_dtype=pl.Float64)
    lost = column.is_not_null() & ages.is_null()
    lost &= ~column.fill_null("").map_elements(is_unknown, return_dtype=pl.Boolean)
    return ages, _lost(lost, rows, "age", "it is not an age from 0 to 120 years")


def _age(text: str) -> float | None:
    found = _AGE.fullmatch(text.strip().casefold())
    unit = None if found is None else _YEARS_IN.get(found[2])
    if found is None or unit is None:
        return None
    years = float(found[1].replace(",", ".")) * unit
    return years if years <= _OLDEST else None


def read_sexes(column: pl.Series, rows: pl.Series) -> tuple[pl.Series, tuple[str, ...]]:
    """Return F, M or O, null where there is none, and a note on those that are not understood.

    Words are known in a few languages, and the numbers of ISO/IEC 5218 where both 1 and 2 are there. If a column holds
    another single letter or digit, its letters follow a rule that is not known (H and M, V and M), and all are left
    empty: the same letter means a man in one language and a woman in another.
    """
    values = {text: text.strip().casefold() for text in column.drop_nulls().unique()}
    known = dict(_SEXES)
    if {"1", "2"} <= set(values.values()):
        known |= _ISO_SEXES | dict.fromkeys(_ISO_UNKNOWN, "")
    strange = {value for value in values.values() if value not in known and not is_unknown(value)}
    if any(len(value) == 1 for value in strange):
        known = {word: sex for word, sex in known.items() if len(word) > 1}
        strange = {value for value in values.values() if value not in known and not is_unknown(value)}
    meant = {text: known.get(value) or None for text, value in values.items()}
    sexes = column.replace_strict(meant, default=None, return_dtype=pl.String)
    lost = column.fill_null("").map_elements(lambda text: text.strip().casefold() in strange, return_dtype=pl.Boolean)
    return sexes, _lost(lost, rows, "sex", "it does not surely mean F or M")


def _lost(lost: pl.Series, rows: pl.Series, what: str, why: str) -> tuple[str, ...]:
    if not lost.any():
        return ()
    count = int(lost.sum())
    where = f"in {count} row{'s' * (count > 1)}, first in row {rows.filter(lost)[0]}"
    return (f"The {what} was left empty {where}: {why}.",)
