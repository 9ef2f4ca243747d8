"""Text as it is searched: both databases then find the same, whatever the case, the accents and the punctuation."""

import re
import unicodedata
from typing import Any

# Of one text. PostgreSQL's index takes 2,704 bytes for all three, and a letter has up to four.
_LONGEST = 200
# DICOM separates the parts of a name by ^ and =; people write commas and spaces.
_BETWEEN = re.compile(r"[\s^=,;]+")


# The columns of a study in which a search looks.
SEARCHED = ("patient_name", "patient_id", "accession_number")


def fold(*texts: str | None) -> str:
    """Return texts as one, for a search: lower case, no accents, no control characters, one space between words.

    "Müller^Anna" and "MULLER, anna" give the same.
    """
    return " ".join(filter(None, (_folded(text) for text in texts if text)))


def folded_study(context: Any) -> str:
    """Return what is searched of a study whose row is added."""
    values = context.get_current_parameters()
    return fold(*(values.get(name) for name in SEARCHED))


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    letters = (letter for letter in plain if not unicodedata.combining(letter))
    words = _BETWEEN.sub(" ", "".join(letter if letter.isprintable() else " " for letter in letters))
    return words.strip()[:_LONGEST].rstrip()
