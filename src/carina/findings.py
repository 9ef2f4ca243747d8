"""The findings: names, order, short names and the folder names under which data sets keep them."""

from collections.abc import Iterable
from dataclasses import dataclass

COVID_19 = "COVID-19"
NORMAL = "Normal"
VIRAL_PNEUMONIA = "Viral Pneumonia"
# What is abnormal and none of the three above: a model may learn it so as not to call it one of them.
OTHER_OPACITY = "Other opacity"
LUNG_OPACITY = "Lung Opacity"


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
    """

    name: str
    short: str
    folders: tuple[str, ...]


# The order is that of the published baseline (alphabetical), so that confusion matrices line up.
KNOWN_FINDINGS = (
    Finding(COVID_19, "COVID", ("covid", "covid-19", "covid19", "covid_19")),
    Finding(NORMAL, "Normal", ("normal", "no finding", "no_finding")),
    Finding(VIRAL_PNEUMONIA, "Viral", ("viral pneumonia", "viral_pneumonia", "viral-pneumonia")),
    Finding(OTHER_OPACITY, "Other", ("other opacity", "other_opacity", "other-opacity")),
    Finding(LUNG_OPACITY, "Opacity", ("lung_opacity", "lung opacity", "lung-opacity")),
)
BASELINE_FINDINGS = (COVID_19, NORMAL, VIRAL_PNEUMONIA)

_BY_FOLDER = {folder: finding.name for finding in KNOWN_FINDINGS for folder in finding.folders}
_SHORT = {finding.name: finding.short for finding in KNOWN_FINDINGS}
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
