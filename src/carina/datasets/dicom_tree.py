"""A tree of DICOM files and a table of labels: which image shows which finding, and which belong to one patient."""

from collections import Counter
from collections.abc import Iterator

import polars as pl

from carina.datasets.dicom_headers import LeftOut, is_dicom, read_identities, said_of_patient
from carina.datasets.folder_tree import LEFT_OUT_SCHEMA, FolderTree, notes_of
from carina.datasets.labels import Labels
from carina.datasets.manifest import ERRORS_SCHEMA, LISTING_SCHEMA
from carina.errors import DataError, InputError
from carina.wording import counted, say_left_out

_NO_LABEL = "it has no label"
_NO_DICOM = "it is not a DICOM object"
_ROWS_TOLD = 10


def list_dicom(
    tree: FolderTree, labels: Labels, key: bytes | None
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, tuple[str, ...]]:
    """Return a tree's images that have a label, the files that cannot be read, those left out, and notes.

    The tables have the columns of `LISTING_SCHEMA`, `ERRORS_SCHEMA` and `LEFT_OUT_SCHEMA`. The notes say what was left
    out or assumed, without patient data. For `key` see `carina.datasets.dicom_headers.patient_of`.

    Raises
    ------
    DataError
        If no image is left.
    """
    tree.drop({image.path: _NO_DICOM for image in tree.images if not is_dicom(image.path)})
    paths = [image.path for image in tree.images]
    images: list[dict[str, object]] = []
    errors: list[tuple[str, str, str]] = []
    left_out: list[tuple[str, str]] = []
    only_left_out: set[str | None] = set()
    taken: set[str | None] = set()
    without_patient = 0
    for path, said in zip(paths, read_identities(paths), strict=True):
        if isinstance(said, InputError):
            errors.append((str(path), said.code, str(said)))
            continue
        identity = said.identity if isinstance(said, LeftOut) else said
        digest = None if identity is None else labels.digest_of(identity)
        label = labels.of_digest.get(digest or "")
        if isinstance(said, LeftOut) or label is None:
            left_out.append((str(path), said.reason if isinstance(said, LeftOut) else _NO_LABEL))
            only_left_out.add(digest)
            continue
        taken.add(digest)
        without_patient += said.patient is None
        of_header = said_of_patient(said, key)
        images.append({"path": str(path), "finding": label.finding, "source": label.source, **of_header})
    notes = [*labels.notes, *notes_of(tree.left_out)]
    for reason, count in Counter(reason for _, reason in left_out).most_common():
        notes.append(say_left_out(count, "DICOM file", reason))
    notes += _lost_labels(labels, only_left_out, taken)
    if without_patient:
        notes.append(
            f"{counted(without_patient, 'image has', 'images have')} no PatientID. Each study counts as a patient "
            "then, so that another study of the same patient may be in another split."
        )
    if not images:
        msg = f"No DICOM image has a label in {labels.path}. {' '.join(notes)}"
        raise DataError(msg)
    return (
        pl.DataFrame(images, schema=LISTING_SCHEMA),
        pl.DataFrame(errors, schema=ERRORS_SCHEMA, orient="row"),
        pl.DataFrame([*left_out, *tree.left_out], schema=LEFT_OUT_SCHEMA, orient="row"),
        tuple(notes),
    )


def _lost_labels(labels: Labels, left_out: set[str | None], taken: set[str | None]) -> Iterator[str]:
    """Yield a sentence on the labels that match no image, and on those that match only images that were left out."""
    lost = labels.of_digest.keys() - taken
    for digests, what in (
        (lost - left_out, "matched no image"),
        (lost & left_out, "matched only images that were left out"),
    ):
        if digests:
            rows = sorted(label.row for digest, label in labels.of_digest.items() if digest in digests)
            told = ", ".join(map(str, rows[:_ROWS_TOLD]))
            told += f" and {len(rows) - _ROWS_TOLD} more" if len(rows) > _ROWS_TOLD else ""
            row = "rows" if len(rows) > 1 else "row"
            yield f"{len(rows)} of {len(labels.of_digest)} labels in {labels.path.name} {what}: {row} {told}."
