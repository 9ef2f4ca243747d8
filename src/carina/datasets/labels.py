"""A table of labels for DICOM files: a finding for each study or patient."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from carina.errors import DataError
from carina.findings import canonical_finding, finding_key
from carina.radiographs.dicom.identity import Identifier, Identity, identifier_digest

# A study is the more exact: both being there, it is taken.
_IDENTIFIERS: tuple[Identifier, ...] = ("StudyInstanceUID", "PatientID")


@dataclass(frozen=True, slots=True)
class Label:
    """What a table says of one study or patient.

    Attributes
    ----------
    finding
        As the table writes it.
    source
        The hospital or collection; none where the table does not say.
    row
        Where it stands, as an editor counts the lines, the header being line 1.
    """

    finding: str
    source: str | None
    row: int


@dataclass(frozen=True, slots=True)
class Labels:
    """A table of labels.

    Attributes
    ----------
    path
        Where it lies.
    identifier
        What its rows are of.
    of_digest
        The label of each, by `carina.radiographs.dicom.identity.identifier_digest`.
    notes
        What was left out, a sentence each.
    """

    path: Path
    identifier: Identifier
    of_digest: dict[str, Label]
    notes: tuple[str, ...]

    def digest_of(self, identity: Identity) -> str | None:
        """Return by what an image's label is looked up."""
        return identity.study if self.identifier == "StudyInstanceUID" else identity.patient


def read_labels(path: Path, *, ignore_unknown_columns: bool = False) -> Labels:
    """Return a table of labels: a CSV with the columns StudyInstanceUID or PatientID, finding and, perhaps, source.

    No message holds a value of the first column.

    Raises
    ------
    DataError
        If it cannot be read, a column is missing or unknown, a row is not whole, or two rows contradict each other.
    """
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        msg = f"{path} cannot be read as a table ({type(error).__name__}). Check that it is a CSV file."
        raise DataError(msg) from None
    identifier = next((name for name in _IDENTIFIERS if name in table.columns), None)
    if identifier is None or "finding" not in table.columns:
        wanted = "StudyInstanceUID or PatientID" if identifier is None else "finding"
        msg = f"{path} has no column {wanted}. It has: {', '.join(table.columns)}."
        raise DataError(msg)
    unknown = [name for name in table.columns if name not in (*_IDENTIFIERS, "finding", "source")]
    if unknown and not ignore_unknown_columns:
        msg = (
            f"{path} has unknown columns: {', '.join(unknown)}. Known: {', '.join(_IDENTIFIERS)}, finding, source. "
            "Rename them, or pass --ignore-unknown-columns."
        )
        raise DataError(msg)
    left_out = unknown + [name for name in _IDENTIFIERS if name in table.columns and name != identifier]
    notes = (f"Columns left out: {', '.join(left_out)}.",) if left_out else ()
    sources = table["source"] if "source" in table.columns else [None] * table.height
    found: dict[str, Label] = {}
    for row, (value, finding, source) in enumerate(
        zip(table[identifier], table["finding"], sources, strict=True), start=2
    ):
        digest, named = identifier_digest(identifier, value or ""), (finding or "").strip()
        if digest is None or not named:
            what = "finding; an unknown finding is not a normal one" if digest else identifier
            msg = f"{path}, row {row}: it has no {what}. Correct or remove the row."
            raise DataError(msg)
        label = Label(named, (source or "").strip() or None, row)
        earlier = found.setdefault(digest, label)
        one, other = (finding_key(canonical_finding(each.finding)) for each in (earlier, label))
        if (one, earlier.source) != (other, label.source):
            msg = (
                f"{path}, rows {earlier.row} and {row}: the same {identifier} with two findings or sources. Keep one "
                "of them."
            )
            raise DataError(msg)
    return Labels(path, identifier, found, notes)
