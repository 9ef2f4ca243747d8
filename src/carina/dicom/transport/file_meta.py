"""The beginning of a DICOM file, without its data set (PS3.10 7.1)."""

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_file_meta_info

from carina._version import __version__
from carina.dicom.computed_uids import IMPLEMENTATION_CLASS_UID


def new_meta(dataset: Dataset, transfer_syntax: str) -> FileMetaDataset:
    """Return the File Meta Information of an object that Carina wrote; nothing of an older one is in it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = f"CARINA_{__version__.replace('.', '_')}"[:16]
    return meta


def read_meta(path: Path, *keywords: str) -> tuple[str, ...] | None:
    """Return some attributes of the File Meta Information as text, empty where one is not there.

    None where the file is no DICOM file.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    try:
        meta = read_file_meta_info(path)
        return tuple(str(meta.get(keyword) or "") for keyword in keywords)
    except OSError:
        raise
    except Exception:  # noqa: BLE001  # pydicom raises whatever a broken file makes it
        return None
