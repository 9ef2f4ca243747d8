"""Which of a source's images are taken, and under which finding: renamed findings, views, a half of the patients."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import polars as pl
from pydantic import BaseModel, ConfigDict

from carina.datasets.label_cells import SEVERAL, parts_of, read_label, rename_label
from carina.datasets.naming import resolve_finding, tell_counts
from carina.datasets.published_labels import PublishedLabels, Uncertain
from carina.errors import ConfigurationError, DataError
from carina.findings import canonical_finding, order_findings
from carina.wording import counted

Half = Literal["development", "final"]
SplitFrom = Literal["folders", "column"]
UNKNOWN_VIEW = "unknown"
# How manifests write that they do not know the view, beside leaving the cell empty.
_NO_VIEW = "?"
# Another salt would put other patients into the halves: a set that was looked at would no longer be the kept one's
# complement.
_HALF_SALT = "carina half "


class Choices(BaseModel):
    """What was asked to be taken of a source, under the names by which Carina knows findings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    findings: tuple[str, ...] | None = None  # which, by their new names; none where none was named
    rename: dict[str, str] = {}  # findings that got another name, old to new
    views: tuple[str, ...] | None = None  # which, as named; none where all were taken
    half: Half | None = None  # of the patients; none where all were taken
    columns: dict[str, str] = {}  # a table's names for fields, by field, where the user named some
    labels_as: PublishedLabels | None = None  # the public collection whose tables were read; none for any other source
    uncertain: Uncertain = "leave-out"  # what -1 in such tables was taken for
    # Findings that the user called normal, as named, or ``none``; nothing where the user did not say.
    normal: tuple[str, ...] | None = None
    flag: str | None = None  # the finding that the user wants flagged; nothing where the user did not say
    # layout, patient_from, split_from: what folders mean, where patients are told, and which published split was
    # kept; none where it was not said
    layout: str | None = None
    patient_from: str | None = None
    split_from: SplitFrom | None = None


def canonical_renames(rename: Mapping[str, str] | None) -> dict[str, str]:
    """Return the findings to rename, old to new, under the names by which Carina knows them.

    Raises
    ------
    ConfigurationError
        If a name is empty, or one finding is to get two names.
    """
    renames: dict[str, str] = {}
    for written, new in ((old, canonical_finding(new)) for old, new in (rename or {}).items()):
        old = SEVERAL.join(order_findings(map(canonical_finding, parts_of(read_label(written)))))
        if not old or not new:
            msg = f"A finding cannot be renamed from {old!r} to {new!r}. Name both, as in: SARS=Other opacity."
            raise ConfigurationError(msg)
        if renames.setdefault(old, new) != new:
            msg = f"Finding {old!r} cannot be renamed both {renames[old]!r} and {new!r}. Choose one."
            raise ConfigurationError(msg)
    return renames


def rename_findings(images: pl.DataFrame, renames: Mapping[str, str]) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the images with their findings renamed as `canonical_renames` says, all at once, and a note for each name.

    Raises
    ------
    ConfigurationError
        If no image has one of the old names.
    """
    before = images["finding"]
    # Of several findings each is counted, and the whole.
    count: Counter[str] = Counter()
    for finding, number in before.value_counts().iter_rows():
        count.update(dict.fromkeys({finding, *parts_of(finding)}, number))
    # In whatever spelling they were typed.
    renames = {_resolved(old, count): resolve_finding(new, count) for old, new in renames.items()}
    renamed = {finding: rename_label(finding, renames) for finding in before.unique()}
    for old in renames:
        if old not in count:
            msg = f"There is no finding {old!r} to rename. The findings are: {tell_counts(count)}."
            raise ConfigurationError(msg)
    taken: Counter[str] = Counter()
    for finding, number in before.value_counts().iter_rows():
        if {finding, *parts_of(finding)} & renames.keys():
            taken[renamed[finding]] += number
    after = before.replace_strict(renamed, return_dtype=pl.String)
    notes = []
    for new in order_findings(renames.values()):
        olds = order_findings(old for old in renames if renames[old] == new)
        notes.append(f"{counted(taken[new], 'image')} renamed {new}: {tell_counts(count, olds)}.")
    return images.with_columns(after), tuple(notes)


def _resolved(name: str, present: Iterable[str]) -> str:
    return SEVERAL.join(order_findings(resolve_finding(part, present) for part in parts_of(name)))


def take_views(
    images: pl.DataFrame, views: Sequence[str], *, present: Iterable[str | None]
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the images that show one of the named views, and a note on how many were left out.

    Views are named in whatever case; ``unknown`` takes the images whose view is empty or ``?``. Each must be among the
    views that are ``present`` in the whole source.

    Raises
    ------
    ConfigurationError
        If no view is named, or one that the source does not have.
    """
    wanted = {name.strip().casefold(): name.strip() for name in views if name.strip()}
    known = {_view_of(view).casefold(): _view_of(view) for view in present}
    missing = [name for key, name in wanted.items() if key not in known and key != UNKNOWN_VIEW]
    if missing or not wanted:
        what = f"There is no view {missing[0]!r}" if missing else "No view is named"
        msg = f"{what}. The views are: {', '.join(sorted(known.values()))}."
        raise ConfigurationError(msg)
    names = [_view_of(view) for view in images["view"]]
    kept = pl.Series([name.casefold() in wanted for name in names], dtype=pl.Boolean)
    left_out = pl.Series("view", names, dtype=pl.String).filter(~kept)
    count: dict[str, int] = dict(left_out.value_counts().iter_rows())
    left = f": {tell_counts(count, sorted(count))}" if count else ""
    note = f"Views {', '.join(wanted.values())}: {len(left_out)} of {len(names)} images left out{left}."
    return images.filter(kept), (note,)


def _view_of(view: str | None) -> str:
    return UNKNOWN_VIEW if view is None or view.strip() in ("", _NO_VIEW) else view.strip()


def take_half(images: pl.DataFrame, half: Half) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the images of one half of the patients, and notes that say which.

    A set may so be looked at in development by one half, while the other is kept for a final report. A patient is in
    the development half where the SHA-256 of ``carina half`` + space + patient is even: neither the order, nor the
    paths, nor the other patients matter. If an image has no patient, its file name is used instead: images of one
    unknown patient can then fall into both halves, and so can copies of one image under two patients.

    Raises
    ------
    ConfigurationError
        If the half has another name.
    """
    if half not in get_args(Half):
        msg = f"There is no half {half!r}. Choose one of: {', '.join(get_args(Half))}."
        raise ConfigurationError(msg)
    units = [patient or Path(path).name for patient, path in images.select("patient", "path").iter_rows()]
    kept = [half_of(unit) == half for unit in units]
    of_half = len({unit for unit, taken in zip(units, kept, strict=True) if taken})
    patients = counted(len(set(units)), "patient")
    notes = [
        f"The {half} half of the patients: {sum(kept)} of {counted(len(units), 'image')}, {of_half} of {patients}."
    ]
    if unknown := images["patient"].null_count():
        has = counted(unknown, "image has", "images have")
        notes.append(f"{has} no patient. The choice of the half used the file names instead.")
    return images.filter(pl.Series(kept, dtype=pl.Boolean)), tuple(notes)


def half_of(patient: str) -> Half:
    """Return the half that a patient belongs to."""
    digest = hashlib.sha256(f"{_HALF_SALT}{patient}".encode()).digest()
    return "development" if digest[-1] % 2 == 0 else "final"


def require_some(images: pl.DataFrame, before: pl.DataFrame) -> tuple[str, ...]:
    """Return a note for each finding of which the choice left nothing.

    Raises
    ------
    DataError
        If it left nothing at all.
    """
    if images.is_empty():
        msg = f"The choice of views and half leaves none of the {before.height} images. Choose others."
        raise DataError(msg)
    gone = [name for name in order_findings(before["finding"]) if name not in images["finding"]]
    return tuple(f"The choice of views and half leaves no image of {name}." for name in gone)
