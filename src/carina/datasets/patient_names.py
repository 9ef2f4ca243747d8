"""Patients told by the names of files and folders, by a regular expression."""

import re
import shlex
from pathlib import Path

import polars as pl

from carina.datasets.dicom_headers import patient_of_name
from carina.errors import ConfigurationError
from carina.wording import counted


def patient_pattern(text: str) -> re.Pattern[str]:
    r"""Return the regular expression that finds the patient in an image's path.

    It has one group, which is the patient: ``(P\d+)_``. It is looked for anywhere in the path from the source folder
    on, with slashes between folders and with the file's name; the first match counts.

    Raises
    ------
    ConfigurationError
        If it is not a regular expression, or has another number of groups.
    """
    # As it is typed: repr would double its backslashes.
    written = shlex.quote(text)
    try:
        pattern = re.compile(text)
    except re.error as error:
        msg = f"--patient-from {written} is not a regular expression: {error}."
        raise ConfigurationError(msg) from None
    if pattern.groups != 1:
        msg = (
            f"--patient-from {written} has {counted(pattern.groups, 'group')}. It needs one group in parentheses, "
            r"which is the patient, as in: (P\d+)_"
        )
        raise ConfigurationError(msg)
    return pattern


def fill_in_patients(
    images: pl.DataFrame, source: Path, pattern: re.Pattern[str], key: bytes | None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the images with the patients that their paths tell, hashed as for DICOM files, and how many matched.

    A patient that is known from a table or a header stays. The source is the folder, or the table in a folder, from
    which on paths are looked at. Of images that lie elsewhere it is the whole path.

    Raises
    ------
    ConfigurationError
        If no path matches.
    """
    folder = source if source.is_dir() else source.parent
    names = [_below(folder, Path(path)) for path in images["path"]]
    found = [match[1] if (match := pattern.search(name)) else None for name in names]
    patients = [patient_of_name(name, key) if name else None for name in found]
    matched = sum(patient is not None for patient in patients)
    if not matched:
        msg = (
            f"--patient-from {shlex.quote(pattern.pattern)} matches none of {len(names)} paths. One of them is: "
            f"{names[0]}"
        )
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
