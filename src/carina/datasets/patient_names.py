"""Patients told by the names of files and folders, by a regular expression."""

import re
import shlex
from pathlib import Path

import polars as pl

from carina.datasets.dicom_headers import patient_of_name
from carina.errors import ConfigurationError
from carina.wording import counted


class PatientPattern:
    r"""Finds the patient in an image's path.

    Parameters
    ----------
    expression
        A regular expression with one group, which is the patient: ``(P\d+)_``. It is looked for anywhere in the path
        from the source folder on, with slashes between folders and with the file's name; the first match counts.
    key
        See `carina.datasets.dicom_headers.patient_of`: the manifest has a hash of the patient, as for DICOM files.

    Raises
    ------
    ConfigurationError
        If it is not a regular expression, or has another number of groups.
    """

    def __init__(self, expression: str, key: bytes | None) -> None:
        # As it is typed: repr would double its backslashes.
        self._written, self._key = shlex.quote(expression), key
        try:
            self._expression = re.compile(expression)
        except re.error as error:
            msg = f"--patient-from {self._written} is not a regular expression: {error}."
            raise ConfigurationError(msg) from None
        if self._expression.groups != 1:
            msg = (
                f"--patient-from {self._written} has {counted(self._expression.groups, 'group')}. It needs one "
                r"group in parentheses, which is the patient, as in: (P\d+)_"
            )
            raise ConfigurationError(msg)

    def fill_in(self, images: pl.DataFrame, source: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
        """Return the images with the patients that their paths tell, and how many matched.

        A patient that is known from a table or a header stays.

        Parameters
        ----------
        images
            With the columns path and patient.
        source
            The folder, or the table in a folder, from which on paths are looked at. Of images that lie elsewhere it is
            the whole path.

        Raises
        ------
        ConfigurationError
            If no path matches.
        """
        folder = source if source.is_dir() else source.parent
        names = [_below(folder, Path(path)) for path in images["path"]]
        found = [match[1] if (match := self._expression.search(name)) else None for name in names]
        patients = [patient_of_name(name, self._key) if name else None for name in found]
        matched = sum(patient is not None for patient in patients)
        if not matched:
            msg = f"--patient-from {self._written} matches none of {len(names)} paths. One of them is: {names[0]}"
            raise ConfigurationError(msg)
        known = images["patient"].is_not_null()
        told = f"{matched} of {len(names)}. Patients: {len(set(patients) - {None})}"
        notes = [f"Paths in which --patient-from found a patient: {told}."]
        if matched < len(names):
            first = names[patients.index(None)]
            notes.append(
                f"Paths that do not match --patient-from: {len(names) - matched} of {len(names)}. Each of these images "
                f"counts as a patient of its own. The first: {first}"
            )
        if known.any():
            notes.append(f"Images that have a patient already, which stays: {known.sum()}.")
        by_path = pl.Series("patient", patients, dtype=pl.String)
        return images.with_columns(patient=pl.col("patient").fill_null(by_path)), tuple(notes)


def _below(folder: Path, path: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()
