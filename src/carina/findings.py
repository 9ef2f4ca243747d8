"""The findings: names, order, short names, codes and the folder names under which data sets keep them."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

COVID_19 = "COVID-19"
NORMAL = "Normal"
VIRAL_PNEUMONIA = "Viral Pneumonia"
# What is abnormal and none of the three above: a model may learn it so as not to call it one of them.
OTHER_OPACITY = "Other opacity"
LUNG_OPACITY = "Lung Opacity"

# Codes of our own, in a scheme that is named as DICOM asks for (PS3.16 8.2: 99 and a name).
PRIVATE_SCHEME = "99CARINA"
_NO_LETTER = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\\]")


@dataclass(frozen=True, slots=True)
class Code:
    """A term of a coding scheme (PS3.3 8).

    Attributes
    ----------
    value
        At most 16 characters.
    scheme
        SCT (SNOMED CT), DCM (PS3.16 annex D), UCUM, or 99CARINA for our own.
    meaning
        For people, at most 64 characters.
    """

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding that Carina knows by name.

    Attributes
    ----------
    name
        The name shown to people and written to tables.
    short
        A name for tight places (plots on a phone, file names).
    folders
        Names under which public data sets keep it, lower case.
    code
        A standard term for it; none where no standard has one.
    """

    name: str
    short: str
    folders: tuple[str, ...]
    code: Code | None = None


# The order is that of the published baseline (alphabetical), so that confusion matrices line up.
KNOWN_FINDINGS = (
    Finding(COVID_19, "COVID", ("covid", "covid-19", "covid19", "covid_19"), Code("840539006", "SCT", "COVID-19")),
    Finding(NORMAL, "Normal", ("normal", "no finding", "no_finding"), Code("17621005", "SCT", "Normal")),
    Finding(
        VIRAL_PNEUMONIA,
        "Viral",
        ("viral pneumonia", "viral_pneumonia", "viral-pneumonia"),
        Code("75570004", "SCT", "Viral pneumonia"),
    ),
    # "Other" than what the model names: no standard has a term for that.
    Finding(OTHER_OPACITY, "Other", ("other opacity", "other_opacity", "other-opacity")),
    Finding(
        LUNG_OPACITY, "Opacity", ("lung_opacity", "lung opacity", "lung-opacity"), Code("112001", "DCM", "Opacity")
    ),
)
BASELINE_FINDINGS = (COVID_19, NORMAL, VIRAL_PNEUMONIA)

_BY_FOLDER = {folder: finding.name for finding in KNOWN_FINDINGS for folder in finding.folders}
_SHORT = {finding.name: finding.short for finding in KNOWN_FINDINGS}
_CODE = {finding.name: finding.code for finding in KNOWN_FINDINGS}
_RANK = {finding.name: rank for rank, finding in enumerate(KNOWN_FINDINGS)}


def canonical_finding(name: str) -> str:
    """Return the name under which Carina knows a finding; a name of the user's own comes back as it is.

    Surrounding white space and the case of known names do not matter: ``"COVID"``, ``"covid19"`` and
    ``"COVID-19"`` are one finding.
    """
    stripped = name.strip()
    return _BY_FOLDER.get(stripped.lower(), stripped)


def order_findings(names: Iterable[str]) -> tuple[str, ...]:
    """Return each name once, known findings first in their fixed order, the user's own after them by name."""
    return tuple(sorted(set(names), key=lambda name: (_RANK.get(name, len(_RANK)), name)))


def short_name(finding: str) -> str:
    """Return a name for tight places; a finding of the user's own is cut to twelve characters."""
    return _SHORT.get(finding, finding if len(finding) <= 12 else finding[:11] + "…")


def finding_code(finding: str) -> Code:
    """Return the term for a finding: a standard one, or one of the scheme 99CARINA.

    The value of the latter is made from the name alone, so that a finding of the user's own has the same code in every
    model that knows it: the word ``finding-`` and eight digits of the SHA-256 of the name.
    """
    standard = _CODE.get(finding)
    if standard is not None:
        return standard
    normal = unicodedata.normalize("NFC", finding)
    digits = hashlib.sha256(normal.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return Code(f"finding-{digits}", PRIVATE_SCHEME, dicom_text(normal) or "unnamed")


def dicom_text(text: str) -> str:
    """Return text as a short value in DICOM can hold it: at most 64 characters, without those that are none of it.

    A backslash parts values there (PS3.5 6.1.3, 6.2).
    """
    return _NO_LETTER.sub(" ", text).strip()[:64].rstrip()
