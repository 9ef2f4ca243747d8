"""The beginning of a DICOM file, without its data set (PS3.10 7.1)."""

from pathlib import Path

from pydicom.filereader import read_file_meta_info


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
