"""A source becomes a data set: every image is read once, recognised, grouped and put into a split."""

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import polars as pl

from carina._version import __version__
from carina.datasets.choice import Half, SplitFrom
from carina.datasets.croissant import write_croissant
from carina.datasets.dicom_headers import read_key
from carina.datasets.duplicates import find_duplicates, find_duplicates_spread, join_groups
from carina.datasets.folder_words import published_split
from carina.datasets.images import read_mask
from carina.datasets.listing import Listing, list_source
from carina.datasets.manifest import (
    DETAILS_FILE,
    ERRORS_FILE,
    ERRORS_SCHEMA,
    LEFT_OUT_FILE,
    MANIFEST_SCHEMA,
    Dataset,
    DatasetDescription,
    data_fingerprint,
    open_dataset,
    write_dataset,
)
from carina.datasets.naming import choose_flag, says_none, tell_flag
from carina.datasets.published_labels import PublishedLabels, Uncertain
from carina.datasets.split import assign_splits, keep_published_split
from carina.errors import ConfigurationError, DataError, InputError
from carina.findings import order_findings
from carina.notebook import boxed, lines_html, table_html
from carina.places import kind_of
from carina.progress import Progress, no_progress
from carina.radiographs.fingerprint import DETAIL_LENGTH, fingerprint
from carina.radiographs.raster import describe_raster
from carina.radiographs.read import radiograph_of, read_bytes, sniff_format
from carina.runtime.streams import read_ahead
from carina.storage.atomic import whole_folder
from carina.wording import counted

# Images decoded ahead of the one that is being written; with the row chunk it bounds the memory.
_IN_FLIGHT = 16
_ROWS_A_CHUNK = 4096
_DECODED_SCHEMA = {
    "listed": pl.Int64,
    "sha256": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "perceptual_hash": pl.UInt64,
    "file_format": pl.String,
    "bit_depth": pl.Int32,
    "colour": pl.String,
    "two_valued": pl.Boolean,
}
# Of an image every fourth row and column is looked at: a radiograph has hundreds of values there.
_STEP = 4


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    dataset
        The data set, opened.
    notes
        What was left out or assumed, where files that were left out are named, and what is flagged; a sentence each.
    left_out
        How many files ``left_out.csv`` names.
    offered
        What `split_from` would have kept; none where no split was published, or it was kept.
    """

    dataset: Dataset
    notes: tuple[str, ...]
    left_out: int = 0
    offered: SplitFrom | None = None

    def summary(self) -> str:
        """Return what was imported, and the notes: what was assumed and left out."""
        return "\n".join([self.sentence, *self.notes, *self.unread()])

    @property
    def sentence(self) -> str:
        """Return how many images and near-duplicates were imported, in one sentence."""
        described = self.dataset.description
        # A published split is kept as it is, and near-duplicates may be in different parts of it.
        together = "" if described.choices is not None and described.choices.split_from else " kept together"
        pairs = counted(described.near_duplicate_pairs, "pair")
        return f"{counted(described.images, 'image')} in {self.dataset.folder}; {pairs} of near-duplicates{together}."

    def unread(self) -> tuple[str, ...]:
        """Return how many files could not be read, and the commonest reason; nothing where all were read."""
        if not self.dataset.description.unreadable:
            return ()
        messages = Counter(message.split(". ")[0].rstrip(".") for message in self.dataset.unreadable()["message"])
        ((reason, count),) = messages.most_common(1)
        files = counted(self.dataset.description.unreadable, "file")
        where = self.dataset.folder / ERRORS_FILE
        return (f"{files} could not be read: see {where}. The commonest reason ({count}): {reason}.",)

    def _repr_html_(self) -> str:
        """Return the counts and the notes for a notebook."""
        counts = self.dataset.counts()
        return boxed(table_html(counts.columns, counts.rows()), lines_html(self.summary()))


# Of an image that was read its detail, and its row of `_DECODED_SCHEMA` but the first column.
_Decoded = tuple[bytes, tuple[object, ...]]


def import_dataset(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    findings: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    views: Sequence[str] | None = None,
    half: Half | None = None,
    normal: Sequence[str] | None = None,
    flag: str | None = None,
    seed: int = 1234,
    test_only: bool = False,
    labels: str | PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
    labels_as: PublishedLabels | None = None,
    uncertain: Uncertain = "leave-out",
    patient_key: str | PathLike[str] | None = None,
    patient_from: str | None = None,
    layout: str | None = None,
    split_from: SplitFrom | None = None,
    ignore_unknown_columns: bool = False,
    croissant: bool = False,
    workers: int = 2,
    spread: Callable[[Callable[[Any], Any], list[Any]], Iterable[Any]] | None = None,
    progress: Progress = no_progress,
) -> ImportReport:
    """Import a source into a new data set folder and return what was done.

    Files that cannot be read become rows of ``errors.csv``; the rest goes on.

    Parameters
    ----------
    source, findings, rename, views, half, normal, labels, columns, labels_as, uncertain
        See `carina.datasets.listing.list_source`.
    patient_from, layout, ignore_unknown_columns
        See `carina.datasets.listing.list_source`.
    flag
        The finding that a model is to flag: see `carina.datasets.naming.choose_flag`.
    out
        The folder to write. It appears whole or not at all.
    seed
        Of the split.
    test_only
        Put every image into the test split: an external test set.
    patient_key
        A file with a secret: see `carina.datasets.dicom_headers.patient_of`. By default there is none.
    split_from
        Keep the split that was published with the images: that of ``folders`` (train, val, test), or that of the
        ``column`` split of a manifest. See `carina.datasets.split.keep_published_split`. By default a new one is made.
    croissant
        Also write ``croissant.json``: what the data set holds, for catalogues of data sets.
    workers
        Threads that decode.
    spread
        What maps a function over a list in order, such as `carina.cluster.spread.Spread`: images are then read and
        near-duplicates found where it does that. The data set is the same.
    progress
        Told how many images are read.

    Raises
    ------
    DataError
        If the source is wrong, no image of it or of its flagged finding can be read, a lung mask cannot be read, or a
        finding is too small to split.
    ConfigurationError
        If `out` exists or lies in the source, or a finding, a view, a finding to rename or a split was asked for that
        is not there, or nothing says which finding is normal or flagged.
    """
    source, out = Path(source), Path(out)
    if split_from is not None and test_only:
        msg = f"Choose one of --split-from {split_from} and --test-only: an external test set has no split."
        raise ConfigurationError(msg)
    if kind_of(source) == "data set":
        msg = f"{source} is a data set already. It needs no import; look at it with: carina data check {source}"
        raise DataError(msg)
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        msg = f"--out {out} lies in {source}, the folder that is imported. Choose a folder outside."
        raise ConfigurationError(msg)
    with whole_folder(out, what="data set") as folder:
        listing = list_source(
            source,
            findings=findings,
            rename=rename,
            views=views,
            half=half,
            normal=normal,
            labels=None if labels is None else Path(labels),
            columns=columns,
            labels_as=labels_as,
            uncertain=uncertain,
            patient_key=None if patient_key is None else read_key(Path(patient_key)),
            patient_from=patient_from,
            layout=layout,
            ignore_unknown_columns=ignore_unknown_columns,
        )
        if split_from is not None:
            _require_published(listing, split_from, source)
        flag_finding, why = choose_flag(
            _images_of_findings(listing.images),
            asked=flag,
            normal=normal,
            has_normal=listing.has_normal,
            test_only=test_only,
            where=str(source),
        )
        decoded, errors = _decode_all(
            listing.images, folder, spread or partial(read_ahead, ahead=_IN_FLIGHT, threads=workers), progress
        )
        errors = pl.concat([listing.errors, errors])
        if decoded.is_empty():
            msg = (
                f"None of the {listing.images.height} images in {source} can be read; the first: {errors['message'][0]}"
            )
            raise DataError(msg)
        images = listing.images.with_row_index("listed").with_columns(pl.col("listed").cast(pl.Int64))
        manifest = decoded.join(images, on="listed", how="left", maintain_order="left").drop("listed")
        if flag_finding is not None and flag_finding not in manifest["finding"]:
            msg = f"No image of {flag_finding}, the flagged finding, can be read. Flag another one: --flag NAME."
            raise DataError(msg)
        details = np.load(folder / DETAILS_FILE, mmap_mode="r")
        find = find_duplicates if spread is None else partial(find_duplicates_spread, spread=spread)
        pairs = find(manifest["perceptual_hash"].to_numpy(), details)
        manifest = _with_groups(_with_mask_sha256(manifest), pairs)
        # Of the images that could be read: what is trained on, and not what the source names.
        said = tell_flag(
            flag_finding,
            why,
            _images_of_findings(manifest),
            test_only=test_only,
            knows_normal=listing.has_normal or says_none(normal),
        )
        notes, offered = listing.notes, None
        if patient_from is None:  # which says by itself what it did not find
            notes += _unknown_patients(manifest, test_only=test_only)
        masks = manifest.filter("two_valued")["path"]
        if len(masks):
            notes += (f"Images with only two grey values, which may be masks: {len(masks)}. The first: {masks[0]}",)
        if split_from is None:
            if listing.published is not None and not test_only:
                note, offered = _offered(listing.published, manifest, seed)
                notes += (note,)
            manifest = assign_splits(manifest, seed=seed, test_only=test_only)
        else:
            manifest, of_split = keep_published_split(manifest, seed=seed)
            notes += of_split
        manifest = manifest.select(pl.col(name).cast(dtype) for name, dtype in MANIFEST_SCHEMA.items())
        description = DatasetDescription(
            findings=order_findings(manifest["finding"].to_list()),
            images=manifest.height,
            unreadable=errors.height,
            near_duplicate_pairs=len(pairs),
            seed=seed,
            test_only=test_only,
            choices=listing.choices.model_copy(update={"flag": flag, "split_from": split_from}),
            flag_finding=flag_finding,
            carina=__version__,
            fingerprint=data_fingerprint(manifest),
        )
        (folder / LEFT_OUT_FILE).write_text(listing.left_out.write_csv(), encoding="utf-8")
        write_dataset(folder, manifest, errors, description)
    named = () if listing.left_out.is_empty() else (f"What was left out is named in {out / LEFT_OUT_FILE}.",)
    return ImportReport(_opened(out, croissant=croissant), (*notes, *said, *named), listing.left_out.height, offered)


def _opened(out: Path, *, croissant: bool) -> Dataset:
    dataset = open_dataset(out)
    if croissant:
        write_croissant(dataset)
    return dataset


def _require_published(listing: Listing, split_from: SplitFrom, source: Path) -> None:
    if listing.published != split_from:
        wanted = "folders named train, val and test" if split_from == "folders" else "column split"
        other = (
            f" Its split is in its {listing.published}: --split-from {listing.published}." if listing.published else ""
        )
        msg = f"--split-from {split_from}: {source} has no {wanted}.{other}"
        raise ConfigurationError(msg)


def _offered(published: SplitFrom, manifest: pl.DataFrame, seed: int) -> tuple[str, SplitFrom | None]:
    """Return what to say of a published split that is not kept, and where it comes from if it could be kept."""
    words = [published_split(word or "") or "unknown" for word in manifest["split"]]
    told = ", ".join(f"{word} ({words.count(word)})" for word in dict.fromkeys(sorted(words, reverse=True)))
    said = f"The images come with a split: {told}. "
    try:
        keep_published_split(manifest, seed=seed)
    except DataError as error:
        return f"{said}It cannot be kept, and a new one is made: {error.args[0].partition('. ')[0]}.", None
    said += "It is not kept: a new one is made, which keeps patients and near-duplicates together. "
    return f"{said}To keep the old one, import with --split-from {published}.", published


def _images_of_findings(images: pl.DataFrame) -> dict[str, int]:
    return dict(images.group_by("finding").len().iter_rows())


def _unknown_patients(manifest: pl.DataFrame, *, test_only: bool) -> tuple[str, ...]:
    """Return a note if the patient of some images is not known."""
    unknown = manifest["patient"].null_count()
    if not unknown:
        return ()
    risk = (
        "Intervals treat each of these images as a patient of its own, and are too narrow if it is not"
        if test_only
        else "Two images of one patient may be in two splits, and results would be too good"
    )
    told = f"{unknown} of {counted(manifest.height, 'image')}"
    way = (
        "If the names of files or folders hold it, import with --patient-from REGEX; a table may have a column patient."
    )
    return (f"The patient is not known for {told}. {risk}. {way}",)


def _with_mask_sha256(manifest: pl.DataFrame) -> pl.DataFrame:
    hashes = [None if mask is None else hashlib.sha256(read_mask(mask)).hexdigest() for mask in manifest["mask"]]
    return manifest.with_columns(mask_sha256=pl.Series(hashes, dtype=pl.String))


def _with_groups(manifest: pl.DataFrame, pairs: np.ndarray) -> pl.DataFrame:
    # Equal pixels are copies even where there is no structure to correlate.
    links = [(int(one), int(other)) for one, other in pairs] + _equal_rows(manifest, "sha256")
    duplicate_group = join_groups(manifest.height, links)
    group = join_groups(manifest.height, links + _equal_rows(manifest, "patient"))
    return manifest.with_columns(
        duplicate_group=pl.Series(duplicate_group, dtype=pl.Int64), group=pl.Series(group, dtype=pl.Int64)
    )


def _equal_rows(manifest: pl.DataFrame, column: str) -> list[tuple[int, int]]:
    """Return links between the rows that have the same value in a column; unknown is equal to nothing."""
    rows = manifest.with_row_index("row").filter(pl.col(column).is_not_null()).group_by(column).agg("row")["row"]
    return [(equal[0], row) for equal in rows.to_list() for row in equal[1:]]


def _decode_all(
    images: pl.DataFrame, folder: Path, read: Callable[[Any, list[Any]], Iterable[Any]], progress: Progress
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows that could be read and those that could not; the details go to disk as they come."""
    chunks = [pl.DataFrame(schema=_DECODED_SCHEMA)]
    rows: list[tuple[object, ...]] = []
    errors: list[tuple[str, str, str]] = []
    # The threads here are the parallelism; OpenCV's own would fight them for the same cores.
    cv2.setNumThreads(1)
    # The generator is closed in any case: Ctrl-C must not leave threads that go on decoding.
    with (
        (folder / DETAILS_FILE).open("wb") as details,
        ExitStack() as stack,
    ):
        results = read(_decode, images["path"].to_list())
        if isinstance(results, Generator):
            stack.enter_context(closing(results))
        _write_details_header(details, 0)
        for listed, result in enumerate(results):
            if isinstance(result, InputError):
                errors.append((images["path"][listed], result.code, str(result)))
            else:
                detail, row = result
                details.write(detail)
                rows.append((listed, *row))
            if len(rows) == _ROWS_A_CHUNK:
                chunks.append(pl.DataFrame(rows, schema=_DECODED_SCHEMA, orient="row"))
                rows = []
            progress(listed + 1, images.height)
        chunks.append(pl.DataFrame(rows, schema=_DECODED_SCHEMA, orient="row"))
        decoded = pl.concat(chunks)
        details.seek(0)
        _write_details_header(details, decoded.height)
    return decoded, pl.DataFrame(errors, schema=ERRORS_SCHEMA, orient="row")


def _write_details_header(stream: BinaryIO, rows: int) -> None:
    """Write the header of a ``.npy`` file; NumPy pads it, so that it is as long for any number of rows."""
    header = {"descr": "|i1", "fortran_order": False, "shape": (rows, DETAIL_LENGTH)}
    np.lib.format.write_array_header_1_0(stream, header)


def _decode(path: str) -> _Decoded | InputError:
    try:
        content = read_bytes(Path(path))
        radiograph = radiograph_of(content)
    except InputError as error:
        return error
    stored: tuple[str, int | None, str | None] = ("DICOM", None, None)
    if radiograph.header is None:
        name = sniff_format(content)
        stored = (name, *describe_raster(content, name))
    two_valued = len(np.unique(radiograph.pixels[::_STEP, ::_STEP])) <= 2
    found = fingerprint(radiograph)
    row = (found.sha256, radiograph.width, radiograph.height, found.perceptual_hash, *stored, two_valued)
    return found.detail.tobytes(), row


def unreadable(_path: str) -> InputError:
    """Return the error of a file that ended the process which read it."""
    msg = "reading it ended the process, twice: the file is damaged, or was made to do harm. Copy it again."
    return InputError(msg, "unreadable-file")
