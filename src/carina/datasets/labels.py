"""A table of labels for DICOM files: a finding for each study or patient."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from carina.datasets.label_cells import read_label
from carina.datasets.published_labels import advice_on
from carina.datasets.table_columns import (
    Field,
    advice_for,
    choose_columns,
    column_of_images,
    columns_of,
    plain,
    require_columns,
)
from carina.datasets.table_reading import Table, read_table
from carina.errors import DataError
from carina.findings import canonical_finding, finding_key
from carina.radiographs.dicom.identity import Identifier, Identity, identifier_digest

# A study is the more exact: both being there, it is taken.
_IDENTIFIERS: tuple[Identifier, ...] = ("StudyInstanceUID", "PatientID")


@dataclass(frozen=True, slots=True)
class Label:
    """What a table says of one study or patient."""

    finding: str  # as the table writes it
    source: str | None  # the hospital or collection; none where the table does not say
    row: int  # its line, as an editor counts them; the header is line 1


@dataclass(frozen=True, slots=True)
class Labels:
    """A table of labels."""

    path: Path
    identifier: Identifier  # what its rows are of
    of_digest: dict[str, Label]  # the label of each, by `carina.radiographs.dicom.identity.identifier_digest`
    notes: tuple[str, ...]  # what was left out, a sentence each

    def digest_of(self, identity: Identity) -> str | None:
        """Return by what an image's label is looked up."""
        return identity.study if self.identifier == "StudyInstanceUID" else identity.patient


def names_images(path: Path, columns: Mapping[str, str]) -> bool:
    """Return whether a table names images by their paths, and not studies or patients.

    Raises
    ------
    DataError, ConfigurationError
        As `read_labels`.
    """
    table = read_table(path)
    return "path" in choose_columns(table, columns) or column_of_images(table) is not None


def read_labels(
    path: Path, *, columns: Mapping[str, str] | None = None, ignore_unknown_columns: bool = False
) -> Labels:
    """Return a table of labels with the columns StudyInstanceUID or PatientID, finding and, perhaps, source.

    No message holds a value of the first column. A finding is as `carina.datasets.label_cells.read_label` gives it.

    For `columns` and `ignore_unknown_columns` see `carina.datasets.listing.list_source`.

    Raises
    ------
    DataError
        If it cannot be read, a column is missing or unknown, a row has no identifier, or two rows contradict each
        other.
    ConfigurationError
        If a column was named that it does not have.
    """
    table = read_table(path)
    identifier = _identifier_column(table)
    if identifier is None:
        named = choose_columns(table, columns or {})
        missing: list[Field] = ["path", *(field for field in _FIELDS[:1] if field not in named)]
        msg = (
            f"{path} has no column path, StudyInstanceUID or PatientID. {columns_of(table)} "
            f"{advice_on(table.cells.columns) or advice_for(table, missing)}"
        )
        raise DataError(msg)
    kind, column = identifier
    chosen = {field: name for field, name in choose_columns(table, columns or {}).items() if field in _FIELDS}
    require_columns(table, chosen, ("finding",), advice_on(table.cells.columns))
    used = {column, *chosen.values()}
    left_out = [name for name in table.cells.columns if name not in used]
    unknown = [name for name in left_out if plain(name) not in _PLAIN_IDENTIFIERS]
    if unknown and not (ignore_unknown_columns or columns):
        msg = (
            f"{path} has unknown columns: {', '.join(unknown)}. Known: {', '.join(_IDENTIFIERS)}, finding, source. "
            "Rename them, or pass --ignore-unknown-columns."
        )
        raise DataError(msg)
    notes = (*table.notes, *((f"Columns left out: {', '.join(left_out)}.",) if left_out else ()))
    values, findings = table.cells[column], table.cells[chosen["finding"]]
    sources = table.cells[chosen["source"]] if "source" in chosen else [None] * table.cells.height
    found: dict[str, Label] = {}
    for row, value, finding, source in zip(table.rows, values, findings, sources, strict=True):
        digest = identifier_digest(kind, value or "")
        if digest is None:
            msg = f"{path}, row {row}: it has no {kind}. Correct or remove the row."
            raise DataError(msg)
        label = Label(read_label(finding or ""), source, row)
        earlier = found.setdefault(digest, label)
        one, other = (finding_key(canonical_finding(each.finding)) for each in (earlier, label))
        if (one, earlier.source) != (other, label.source):
            msg = (
                f"{path}, rows {earlier.row} and {row}: the same {kind} with two findings or sources. Keep one of them."
            )
            raise DataError(msg)
    return Labels(path, kind, found, notes)


def _identifier_column(table: Table) -> tuple[Identifier, str] | None:
    """Return by what a table's rows are looked up, and the name of that column."""
    for kind in _IDENTIFIERS:
        for name in table.cells.columns:
            if plain(name) == plain(kind):
                return kind, name
    return None


_PLAIN_IDENTIFIERS = frozenset(map(plain, _IDENTIFIERS))
_FIELDS: tuple[Field, ...] = ("finding", "source")
