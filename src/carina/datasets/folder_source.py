"""A folder with one folder per finding: its images, with what folders, headers and workbooks say of them."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import openpyxl
import polars as pl

from carina.datasets.dicom_headers import fill_in_headers, patient_of_name
from carina.datasets.folder_layout import UNDERSTOOD, Role, place_images
from carina.datasets.folder_tree import LEFT_OUT_SCHEMA, notes_of, read_tree
from carina.datasets.manifest import LISTING_SCHEMA
from carina.datasets.masks import take_masks
from carina.errors import DataError
from carina.findings import BASELINE_FINDINGS, LUNG_OPACITY, canonical_finding
from carina.wording import counted

NOT_NAMED = "its finding was not named with --findings"

# Where the images of the COVID-19 Radiography Database come from, by what their URL holds.
_SOURCE_OF_URL = (
    ("bimcv", "bimcv"),
    ("ml-workgroup/covid-19-image-repository", "hannover"),
    ("rsna-pneumonia-detection-challenge", "rsna"),
    ("chest-xray-pneumonia", "kermany"),
    ("sirm.org", "public"),
    ("eurorad", "public"),
    ("covid-chestxray-dataset", "public"),
    ("covid-cxnet", "public"),
)


def list_folders(
    source: Path, with_lung_opacity: bool, patient_key: bytes | None, layout: Sequence[Role] | None
) -> tuple[pl.DataFrame, pl.DataFrame, tuple[str, ...]]:
    """Return the images of a folder with one folder per finding, what was left out, and notes.

    The tables have the columns of `LISTING_SCHEMA` and `LEFT_OUT_SCHEMA`. Lung opacity is the fourth folder of the
    COVID-19 Radiography Database. For `patient_key` and `layout` see `carina.datasets.listing.list_source`.

    Raises
    ------
    DataError
        If it holds no images, or its folders' names do not tell what they mean.
    OSError
        If a folder may not be entered.
    """
    tree = read_tree(source)
    mask_of, notes = take_masks(tree)
    if not tree.images:
        # What is there instead is the more important then.
        unpack = ["Unpack the archives first."] if any("archive" in reason for _, reason in tree.left_out) else []
        raise DataError(" ".join([f"{source} holds no images.", *notes_of(tree.left_out), *unpack, UNDERSTOOD]))
    placed, assumed = place_images(tree, layout)
    finding_of = {folder: canonical_finding(folder.name) for folder in {each.finding_folder for each in placed}}
    # The official distribution: its fourth folder is taken only when it is named.
    if not with_lung_opacity and {LUNG_OPACITY, *BASELINE_FINDINGS} <= set(finding_of.values()):
        dropped = {each.path: NOT_NAMED for each in placed if finding_of[each.finding_folder] == LUNG_OPACITY}
        tree.drop(dropped)
        placed = [each for each in placed if each.path not in dropped]
        notes.append(
            f"Left out: {counted(len(dropped), 'image')} of {LUNG_OPACITY}, as in the published baseline. To take "
            "them, name all findings with --findings."
        )
    workbooks = {folder: folder.with_name(f"{folder.name}.metadata.xlsx") for folder in finding_of}
    sources = {folder: _sources_from_workbook(path) for folder, path in workbooks.items()}
    read = {str(path) for path in workbooks.values()}
    rows: list[dict[str, object]] = [
        {
            "path": str(each.path),
            "finding": each.finding_folder.name,
            "source": sources[each.finding_folder].get(each.path.stem.lower()) or each.source,
            "mask": None if (mask := mask_of.get(each.path)) is None else str(mask),
            "split": each.split,
            "patient": None if each.patient is None else patient_of_name(each.patient, patient_key),
        }
        for each in placed
    ]
    rows, ruled_out, of_headers = fill_in_headers(rows, patient_key)
    left_out = [(path, reason) for path, reason in tree.left_out if path not in read]
    told = [(path, reason) for path, reason in left_out if reason != NOT_NAMED]
    gone = pl.DataFrame([*left_out, *ruled_out], schema=LEFT_OUT_SCHEMA, orient="row")
    return pl.DataFrame(rows, schema=LISTING_SCHEMA), gone, (*assumed, *notes, *notes_of(told), *of_headers)


def _sources_from_workbook(path: Path) -> dict[str, str]:
    """Return the source of each image by its stem, from the official ``<finding>.metadata.xlsx``."""
    if not path.is_file():
        return {}
    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = workbook.worksheets[0].iter_rows(values_only=True)
        header = [str(cell or "").strip().upper() for cell in next(rows)]
        name_column, url_column = header.index("FILE NAME"), header.index("URL")
        named = [(row[name_column], row[url_column]) for row in rows if len(row) > max(name_column, url_column)]
        workbook.close()
    except Exception as error:  # noqa: BLE001  # openpyxl raises anything on a damaged workbook
        msg = (
            f"{path} cannot be read as the table FILE NAME, FORMAT, SIZE, URL ({type(error).__name__}). "
            "Restore it from the distribution, or remove it to import without sources."
        )
        raise DataError(msg) from None
    return {str(name).strip().lower(): _source_of_url(str(url)) for name, url in named if name and url}


def _source_of_url(url: str) -> str:
    lowered = url.strip().lower()
    known = next((source for part, source in _SOURCE_OF_URL if part in lowered), None)
    return known or urlsplit(lowered).hostname or lowered
