"""What a cell of a table says that an image shows: one finding, several, or that nobody knows."""

import re
from collections import Counter
from collections.abc import Mapping

import polars as pl

from carina.errors import DataError
from carina.findings import order_findings
from carina.wording import counted

# Between the findings of one image, as NIH's table writes them.
SEVERAL = "|"
_BETWEEN = re.compile(r"[|;,\n]")
# Labels that say that nobody labelled the image, or was sure: unknown is not negative.
_UNKNOWN = frozenset(
    "-1|-1.0|nan|none|null|nil|na|n.a.|n/a|#n/a|<na>|?|-|unknown|uncertain|unclear|unsure|not sure|undetermined|"
    "undefined|todo|unlabelled|unlabeled|not labelled|not labeled|no label|missing|not available|not known".split(
        SEVERAL
    )
) | {""}
_TOLD = 5


def is_unknown(label: str) -> bool:
    """Return whether a label says that the finding is not known, as an empty cell, -1, NA, ? and *uncertain* do."""
    return label.strip().casefold() in _UNKNOWN


def read_label(cell: str) -> str:
    """Return the findings that a cell names, as they are written, joined by a vertical bar.

    Between several there may be vertical bars, semicolons, commas or line breaks, and the whole may be a list of
    Python's: ``"['Effusion', 'Nodule']"``. A cell that says that the finding is not known comes back as it is.
    """
    text = cell.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    parts = [part.strip().strip("'\"").strip() for part in _BETWEEN.split(text)]
    return SEVERAL.join(dict.fromkeys(part for part in parts if part))


def parts_of(finding: str) -> tuple[str, ...]:
    """Return the findings that `read_label` joined."""
    return tuple(finding.split(SEVERAL))


def rename_label(finding: str, renames: Mapping[str, str]) -> str:
    """Return what becomes of an image's findings by renaming: several that get one name are one finding.

    A name for the whole (``"COVID-19|ARDS"``) goes before names for its parts.
    """
    if finding in renames:
        return renames[finding]
    return SEVERAL.join(order_findings(renames.get(part, part) for part in parts_of(finding)))


def leave_out_unclear(images: pl.DataFrame, before: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame, tuple[str, ...]]:
    """Return the images with one known finding, those without, and a note on how many were left out and why.

    ``before`` are the findings before renaming: what a user named is meant, even if its name is among the unknown ones.

    Raises
    ------
    DataError
        If no image is left.
    """
    several = images["finding"].str.contains(SEVERAL, literal=True)
    words = {word: any(is_unknown(part) for part in parts_of(word)) for word in before.unique()}
    unknown = before.replace_strict(words, return_dtype=pl.Boolean) & (before == images["finding"])
    several &= ~unknown
    notes = []
    if unknown.any():
        gone = counted(int(unknown.sum()), "image was", "images were")
        notes.append(f"{gone} left out, since the finding is not known: {_counted(before.filter(unknown))}.")
    if several.any():
        gone = counted(int(several.sum()), "image was", "images were")
        counts = _counted(images["finding"].filter(several))
        notes.append(
            f"{gone} left out, since several findings are named: {counts}. To take them, give "
            "the findings one name with --rename."
        )
    unclear = unknown | several
    if not images.is_empty() and unclear.all():
        msg = f"No image has one known finding. {' '.join(notes)}"
        raise DataError(msg)
    return images.filter(~unclear), images.filter(unclear), tuple(notes)


def _counted(findings: pl.Series) -> str:
    counts = Counter(findings.to_list()).most_common()
    told = ", ".join(f"{name or 'empty cell'} ({count})" for name, count in counts[:_TOLD])
    more = len(counts) - _TOLD
    return told if more <= 0 else f"{told} and {more} other{'s' * (more > 1)}"
