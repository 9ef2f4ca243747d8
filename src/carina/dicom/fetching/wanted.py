"""What is looked for in an archive: a date or a range of dates, and modalities."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from carina.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for.

    Attributes
    ----------
    dates
        StudyDate, or a range, as DICOM has them: ``20260102``, ``20260101-20260131``, ``20260101-``.
    modalities
        Modality of the series, one of these.
    """

    dates: str
    modalities: tuple[str, ...] = ("CR", "DX")

    def has_modality(self, given: Sequence[object]) -> bool:
        """Tell whether one of the modalities that an archive names is wanted; so is what it names none for.

        Not every archive heeds every key, writes in capitals, or has one modality for a series.
        """
        names = {str(name).strip().upper() for name in given} - {""}
        return not names or not names.isdisjoint(self.modalities)

    def has_date(self, given: object) -> bool:
        """Tell whether a StudyDate that an archive names is wanted; so is what is no date."""
        # The dots are those of ACR-NEMA.
        day = str(given or "").strip().replace(".", "")
        if not re.fullmatch(r"\d{8}", day):
            return True
        first, dash, last = self.dates.partition("-")
        return first <= day <= (last or "99999999") if dash else day == first


def dates_of(text: str, *, today: date | None = None) -> str:
    """Return a date or a range of dates as DICOM has them.

    `text` is ``20260102``, ``20260101-20260131``, open at one end, ``today`` or ``yesterday``.

    Raises
    ------
    ConfigurationError
        If it is none.
    """
    today = today or date.today()
    known = {"today": today, "yesterday": today - timedelta(days=1)}
    if text in known:
        return known[text].strftime("%Y%m%d")
    found = re.fullmatch(r"(\d{8})?(-)?(\d{8})?", text)
    try:
        given = [] if found is None else [date.fromisoformat(part) for part in (found[1], found[3]) if part]
    except ValueError:
        given = []
    if found is None or not given or (len(given) == 2 and not found[2]):
        msg = f"{text!r} is no date. Write 20260102, 20260101-20260131, today or yesterday."
        raise ConfigurationError(msg)
    if given != sorted(given):
        msg = f"The range {text} ends before it begins. Write the earlier date first: {found[3]}-{found[1]}."
        raise ConfigurationError(msg)
    return text


def modalities_of(text: str) -> tuple[str, ...]:
    """Return modalities from a comma-separated list.

    Raises
    ------
    ConfigurationError
        If one is none.
    """
    modalities = tuple(part.strip().upper() for part in text.split(","))
    if not all(re.fullmatch(r"[A-Z0-9_]{2,16}", modality) for modality in modalities):
        msg = f"{text!r} are no modalities. Write them as in CR,DX."
        raise ConfigurationError(msg)
    return modalities
