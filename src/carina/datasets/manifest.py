"""The manifest: one row an image, with its label, what it is recognised by, and which split it belongs to.

A data set is a folder with ``manifest.parquet``, ``details.npy`` (int8, one row per image: see
`carina.radiographs.fingerprint`), ``errors.csv`` (files that could not be read), ``left_out.csv`` (files that were not
taken, and why) and ``dataset.json``. The images stay where they are.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from carina.datasets.choice import Choices
from carina.errors import DataError
from carina.findings import order_findings
from carina.notebook import boxed, lines_html, table_html
from carina.places import MARKERS, kind_of, wrong_place
from carina.wording import counted

MANIFEST_FILE = "manifest.parquet"
DETAILS_FILE = "details.npy"
ERRORS_FILE = "errors.csv"
LEFT_OUT_FILE = "left_out.csv"
DESCRIPTION_FILE = MARKERS["data set"]

# What a source says of an image before it is opened.
_SAID = {
    "path": pl.String,  # absolute
    "finding": pl.String,
    "patient": pl.String,  # null where unknown; of DICOM a hash
    "source": pl.String,  # the hospital or collection; null where unknown
    "view": pl.String,
    "age": pl.Float64,  # years
    "sex": pl.String,
    "mask": pl.String,  # absolute path of the lung mask; null where there is none
}
LISTING_SCHEMA = pl.Schema({**_SAID, "split": pl.String})  # the split in the words of those who published it

MANIFEST_SCHEMA = pl.Schema(
    {
        **_SAID,
        "mask_sha256": pl.String,  # of the mask's file; null where there is no mask, and in manifests of Carina 0.1
        "sha256": pl.String,  # of the decoded pixels
        "width": pl.Int32,
        "height": pl.Int32,
        "perceptual_hash": pl.UInt64,
        "duplicate_group": pl.Int64,  # equal for near-duplicates
        "group": pl.Int64,  # equal for near-duplicates and for one patient: straddles no split but a published one
        "split": pl.String,  # train, calibration or test
        "baseline_split": pl.String,  # train or validation, as the published baseline has it
        "file_format": pl.String,  # PNG, JPEG, DICOM …; this and the next two: null where another version imported
        "bit_depth": pl.Int32,  # a channel, as the file stores it; null of DICOM
        "colour": pl.String,  # grey, RGB, palette …, as the file stores it; null of DICOM
    }
)
# Data sets of earlier versions do without these, and stay readable.
_LATER_COLUMNS = (("mask_sha256",), ("file_format", "bit_depth", "colour"))

Split = Literal["train", "calibration", "test", "validation"]
_SPLITS = ("train", "calibration", "test")


class DatasetDescription(BaseModel):
    """What ``dataset.json`` holds beside the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["carina-dataset-1"] = "carina-dataset-1"
    findings: tuple[str, ...]
    images: int
    unreadable: int
    near_duplicate_pairs: int
    seed: int
    test_only: bool
    choices: Choices | None = None  # null where the import was by a version that did not write them down
    # Read first, wherever a model that learned from this set finds it. Null in a set that only tests, in one with a
    # single finding, and where the import was by a version that did not write it down.
    flag_finding: str | None = None
    carina: str
    fingerprint: str
    manifest_sha256: str = ""  # of manifest.parquet; `write_dataset` fills it in


@dataclass(frozen=True)
class Dataset:
    """Radiographs with labels and splits, imported once.

    Attributes
    ----------
    folder
        Where the manifest lies.
    description
        The content of ``dataset.json``.
    manifest
        One row an image, columns as in `MANIFEST_SCHEMA`.
    """

    folder: Path
    description: DatasetDescription
    manifest: pl.DataFrame

    @cached_property
    def details(self) -> NDArray[np.int8]:
        """Return int8 ``(images, 1764)``, in the order of the manifest, memory-mapped.

        Raises
        ------
        DataError
            If ``details.npy`` is missing, damaged or of another length than the manifest.
        """
        path = self.folder / DETAILS_FILE
        try:
            details: NDArray[np.int8] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            msg = f"{path} is missing or damaged. Import the data set again."
            raise DataError(msg) from None
        if len(details) != self.manifest.height:
            msg = f"{path} has {len(details)} rows and the manifest {self.manifest.height}. Import the data set again."
            raise DataError(msg)
        return details

    def rows(self, split: Split) -> pl.DataFrame:
        """Return the manifest's rows of a split, with their index in the column ``row``.

        Raises
        ------
        DataError
            If the split is empty.
        """
        column = "baseline_split" if split == "validation" else "split"
        rows = self.manifest.with_row_index("row").filter(pl.col(column) == split)
        if rows.is_empty():
            msg = f"{self.folder} has no images in its {split} split. Import it again" + (
                " without --test-only." if self.description.test_only else "."
            )
            raise DataError(msg)
        return rows

    def counts(self) -> pl.DataFrame:
        """Return how many images each finding has in each split: one row per finding."""
        images = self.manifest.group_by("finding", "split").len()
        counts = images.pivot("split", index="finding", values="len").fill_null(0).sort("finding")
        return counts.select("finding", *(split for split in _SPLITS if split in counts.columns))

    def __repr__(self) -> str:
        return f"<carina.Dataset {self.folder}: {counted(self.manifest.height, 'image')}>"

    def _repr_html_(self) -> str:
        """Return folder, flagged finding and counts for a notebook."""
        flag = self.description.flag_finding
        said = f"{self.folder}: {counted(self.manifest.height, 'image')}. Flagged finding: {flag or 'none'}."
        counts = self.counts()
        return boxed(lines_html(said), table_html(counts.columns, counts.rows()))

    def says_other_flag(self, flag: str) -> str | None:
        """Return a sentence where a model flags another finding than the data set was imported to flag; else none."""
        wanted = self.description.flag_finding
        if wanted is None or wanted == flag:
            return None
        return f"{self.folder} was imported to flag {wanted}; the model flags {flag}, and figures are for that."

    def unreadable(self) -> pl.DataFrame:
        """Return the files that could not be read at import: path, code, message.

        Raises
        ------
        DataError
            If ``errors.csv`` is missing or damaged.
        """
        path = self.folder / ERRORS_FILE
        try:
            return pl.read_csv(path, schema=ERRORS_SCHEMA)
        except (OSError, pl.exceptions.PolarsError):
            msg = f"{path} is missing or damaged. Import the data set again."
            raise DataError(msg) from None


ERRORS_SCHEMA = pl.Schema({"path": pl.String, "code": pl.String, "message": pl.String})


def open_dataset(folder: str | PathLike[str]) -> Dataset:
    """Return an imported data set.

    Parameters
    ----------
    folder
        As `carina.import_dataset` or ``carina data import`` wrote it.

    Raises
    ------
    DataError
        If the folder holds none, or one that was altered or made by another version.
    """
    folder = Path(folder)
    if kind_of(folder) != "data set":
        raise DataError(wrong_place(folder, "data set"))
    try:
        description = DatasetDescription.model_validate_json((folder / DESCRIPTION_FILE).read_bytes())
        content = (folder / MANIFEST_FILE).read_bytes()
        # Before it is parsed: a few altered bytes of Parquet can abort the whole process.
        if hashlib.sha256(content).hexdigest() != description.manifest_sha256:
            msg = f"{folder / MANIFEST_FILE} was changed after the import. Import the data set again."
            raise DataError(msg)
        manifest = _with_later_columns(pl.read_parquet(content))
    except FileNotFoundError as error:
        msg = f"{folder} is a damaged data set: it has no {Path(error.filename).name}. Import the data set again."
        raise DataError(msg) from None
    except (ValidationError, OSError, pl.exceptions.PolarsError) as error:
        msg = f"{folder} cannot be read ({type(error).__name__}). Import the data set again."
        raise DataError(msg) from None
    if manifest.schema != MANIFEST_SCHEMA:
        differing = sorted(set(manifest.schema.items()) ^ set(MANIFEST_SCHEMA.items()), key=str)
        msg = (
            f"{folder / MANIFEST_FILE} has other columns than expected ({differing[0][0]}). Import the data set again."
        )
        raise DataError(msg)
    described = (description.images, description.findings, description.fingerprint)
    if described != (manifest.height, order_findings(manifest["finding"].to_list()), data_fingerprint(manifest)):
        msg = (
            f"{folder}: {MANIFEST_FILE} or {DESCRIPTION_FILE} was changed after the import. Import the data set again."
        )
        raise DataError(msg)
    return Dataset(folder, description, manifest)


def _with_later_columns(manifest: pl.DataFrame) -> pl.DataFrame:
    """Return the manifest of an earlier version with the columns that it lacks: unknown."""
    missing = [name for names in _LATER_COLUMNS if not {*names} & {*manifest.columns} for name in names]
    if {*manifest.columns, *missing} != set(MANIFEST_SCHEMA):
        return manifest
    filled = manifest.with_columns(pl.lit(None, MANIFEST_SCHEMA[name]).alias(name) for name in missing)
    return filled.select(MANIFEST_SCHEMA.names()) if missing else manifest


def write_dataset(folder: Path, manifest: pl.DataFrame, errors: pl.DataFrame, description: DatasetDescription) -> None:
    """Write all but the details into a folder that becomes a data set; the description, sealed, comes last."""
    # Written by Python, whose errors carry their number: the table library's say it only as text when a disk is full.
    table = io.BytesIO()
    manifest.write_parquet(table)
    (folder / MANIFEST_FILE).write_bytes(table.getbuffer())
    (folder / ERRORS_FILE).write_text(errors.write_csv(), encoding="utf-8")
    sealed = description.model_copy(update={"manifest_sha256": hashlib.sha256(table.getbuffer()).hexdigest()})
    text = json.dumps(sealed.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8")


def data_fingerprint(manifest: pl.DataFrame) -> str:
    """Return the hexadecimal SHA-256 over every image's hash, finding and splits, independent of row order."""
    columns = ["sha256", "finding", "split", "baseline_split"]
    rows = manifest.select(columns).sort(columns).iter_rows()
    digest = hashlib.sha256()
    for row in rows:
        digest.update("\t".join(str(value) for value in row).encode() + b"\n")
    return digest.hexdigest()


def labels_of(rows: pl.DataFrame, findings: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each row's finding: int64 ``(n,)``."""
    index = {finding: i for i, finding in enumerate(findings)}
    return np.array([index[finding] for finding in rows["finding"]], dtype=np.int64)
