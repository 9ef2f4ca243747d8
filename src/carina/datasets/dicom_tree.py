"""A tree of DICOM files and a table of labels: which image shows which finding, and which belong to one patient."""

from collections import Counter
from pathlib import Path

import polars as pl

from carina.datasets.dicom_headers import LeftOut, is_dicom, read_identities, said_of_patient
from carina.datasets.folder_tree import LEFT_OUT_SCHEMA, FolderTree, notes_of
from carina.datasets.labels import Labels
from carina.datasets.manifest import ERRORS_SCHEMA
from carina.errors import DataError, InputError
from carina.radiographs.dicom.identity import Identity
from carina.wording import counted, say_left_out

_NO_LABEL = "it has no label"
_NO_DICOM = "it is not a DICOM object"
_ROWS_TOLD = 10


class DicomTree:
    """What became of the files of a tree.

    Parameters
    ----------
    labels
        The findings.
    key
        See `carina.datasets.dicom_headers.patient_of`.
    """

    def __init__(self, labels: Labels, key: bytes | None) -> None:
        self._labels, self._key = labels, key
        self._images: list[dict[str, object]] = []
        self._errors: list[tuple[str, str, str]] = []
        self._left_out: list[tuple[str, str]] = []
        self._others: list[tuple[str, str]] = []
        self._without_patient = 0
        self._matched: set[str] = set()
        self._taken: set[str] = set()

    @property
    def images(self) -> list[dict[str, object]]:
        """Return a row for each image that is taken."""
        return self._images

    @property
    def errors(self) -> pl.DataFrame:
        """Return the files that cannot be read: path, code, message."""
        return pl.DataFrame(self._errors, schema=ERRORS_SCHEMA, orient="row")

    @property
    def left_out(self) -> pl.DataFrame:
        """Return the files that are not taken: path and reason."""
        return pl.DataFrame([*self._left_out, *self._others], schema=LEFT_OUT_SCHEMA, orient="row")

    def add(self, tree: FolderTree) -> None:
        """Look at all files of a tree."""
        tree.drop({image.path: _NO_DICOM for image in tree.images if not is_dicom(image.path)})
        self._others += tree.left_out
        paths = [image.path for image in tree.images]
        for path, said in zip(paths, read_identities(paths), strict=True):
            if isinstance(said, InputError):
                self._errors.append((str(path), said.code, str(said)))
            elif isinstance(said, LeftOut):
                self._left_out.append((str(path), said.reason))
                self._note_match(said.identity)
            else:
                self._take(path, said)

    def _note_match(self, identity: Identity | None) -> None:
        digest = None if identity is None else self._labels.digest_of(identity)
        if digest in self._labels.of_digest:
            self._matched.add(digest)

    def _take(self, path: Path, identity: Identity) -> None:
        digest = self._labels.digest_of(identity)
        label = None if digest is None else self._labels.of_digest.get(digest)
        if digest is None or label is None:
            self._left_out.append((str(path), _NO_LABEL))
            return
        self._taken.add(digest)
        self._without_patient += identity.patient is None
        self._images.append(
            {
                "path": str(path),
                "finding": label.finding,
                "source": label.source,
                **said_of_patient(identity, self._key),
            }
        )

    def notes(self) -> tuple[str, ...]:
        """Return what was left out or assumed, a sentence each, without patient data.

        Raises
        ------
        DataError
            If no image is left.
        """
        labels, notes = self._labels, [*self._labels.notes, *notes_of(self._others)]
        for reason, count in Counter(reason for _, reason in self._left_out).most_common():
            notes.append(say_left_out(count, "DICOM file", reason))
        rows = len(labels.of_digest)
        for found, what in (
            (self._matched | self._taken, "matched no image"),
            (labels.of_digest.keys() - (self._matched - self._taken), "matched only images that were left out"),
        ):
            lost = sorted(label.row for digest, label in labels.of_digest.items() if digest not in found)
            if lost:
                told = ", ".join(map(str, lost[:_ROWS_TOLD]))
                told += f" and {len(lost) - _ROWS_TOLD} more" if len(lost) > _ROWS_TOLD else ""
                row = "rows" if len(lost) > 1 else "row"
                notes.append(f"{len(lost)} of {rows} labels in {labels.path.name} {what}: {row} {told}.")
        if self._without_patient:
            notes.append(
                f"{counted(self._without_patient, 'image has', 'images have')} no PatientID. Each study counts as a "
                "patient then, so that another study of the same patient may be in another split."
            )
        if not self._images:
            msg = f"No DICOM image has a label in {labels.path}. {' '.join(notes)}"
            raise DataError(msg)
        return tuple(notes)
