"""Values as a file has them, and whether they have the form of their type.

A name that stands where a number, a date or a code belongs is no such value, and is not kept. Source: PS3.5 6.2.
"""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np

from carina.radiographs.dicom.uids import bare_uid, is_uid
from carina.radiographs.dicom.values import number_in

_FORMS: Mapping[str, re.Pattern[str]] = {
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9 _]{1,16}"),
    "DA": re.compile(r"\d{8}"),
    "DS": re.compile(r"(?=.{1,16}$)[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"),
    "DT": re.compile(r"\d{8}(\d{2}){0,3}(\.\d{1,6})?([+-]\d{4})?"),
    "IS": re.compile(r"[+-]?\d{1,12}"),
    "TM": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"),
}
_NUMBERS: Mapping[str, str] = {
    "US": "u2",
    "SS": "i2",
    "UL": "u4",
    "SL": "i4",
    "UV": "u8",
    "SV": "i8",
    "FL": "f4",
    "FD": "f8",
}
FORMED = frozenset(_FORMS)
NUMERIC = frozenset(_NUMBERS)
# An array of numbers without a limit of its own could hold anything, letters too.
_MOST_NUMBERS = 64


def words_of(raw: bytes) -> list[str]:
    """Return the values of text that has no letters beyond ASCII, without padding; none where it has."""
    try:
        return [word.strip(" \0") for word in raw.decode("ascii").split("\\")]
    except UnicodeDecodeError:
        return []


def formed(vr: str, raw: bytes, most: int | None) -> list[str] | None:
    """Return values that have the form of their type (one of `FORMED`), an empty one for none; nothing if one has not.

    Nothing comes back either if there are more than `most`. Of decimal numbers (DS) those without the form are empty,
    and nothing comes back where all are.
    """
    words = words_of(raw.upper() if vr == "CS" else raw)
    if not words or (most is not None and len(words) > most):
        return None
    if vr == "DS":
        # Of several windows one may be broken: the others stay in their places.
        words = [word if _FORMS[vr].fullmatch(word) else _with_point(word) for word in words]
        return words if any(words) or not raw.strip(b" \0\\") else None
    return words if all(not word or _FORMS[vr].fullmatch(word) for word in words) else None


def _with_point(word: str) -> str:
    """Return a number that has a decimal comma, and nothing of what is no number."""
    number = number_in(word)
    text = "" if number is None else f"{number:.9g}"
    return text if _FORMS["DS"].fullmatch(text) else ""


def uids_of(raw: bytes) -> list[str] | None:
    """Return values that are UIDs, an empty one for none; nothing if one is no UID."""
    words = [bare_uid(word) for word in words_of(raw)]
    return words if words and all(not word or is_uid(word) for word in words) else None


def numbers_of(vr: str, raw: bytes, most: int | None, *, little: bool) -> list[Any] | None:
    """Return binary numbers; nothing if there is a broken one, or more than there may be."""
    kind = np.dtype(("<" if little else ">") + _NUMBERS[vr])
    if len(raw) % kind.itemsize or len(raw) // kind.itemsize > (_MOST_NUMBERS if most is None else most):
        return None
    return list(np.frombuffer(raw, kind).tolist())


def earlier(vr: str, word: str, shift: timedelta) -> str | None:
    """Return a date, or a date and time, as many days earlier; none where it is no day of the calendar."""
    if not word:
        return word
    try:
        day = date(int(word[:4]), int(word[4:6]), int(word[6:8])) - shift
    except (ValueError, OverflowError):
        return None
    return day.strftime("%Y").zfill(4) + day.strftime("%m%d") + (word[8:] if vr == "DT" else "")
