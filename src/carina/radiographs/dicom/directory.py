"""A DICOMDIR: the files that it names, as far as they lie where it lies. Source: PS3.3 Annex F, PS3.10 8.6."""

from carina.errors import InputError
from carina.radiographs.dicom import terms
from carina.radiographs.dicom.limits import MAX_DIRECTORY_ELEMENTS, MAX_DIRECTORY_FILES

# In a file's beginning it says that the file is a DICOMDIR: nothing else has this UID in its file meta information.
_UID = terms.DIRECTORY.encode("ascii")


def is_directory(head: bytes) -> bool:
    """Return whether a file is a DICOMDIR, by its first half kilobyte."""
    return head[128:132] == b"DICM" and _UID in head[:512]


def read_directory(content: bytes) -> list[list[str]]:
    """Return the names of the files in a DICOMDIR, each as folders and a name, however wrong they are.

    Raises
    ------
    InputError
        If it is damaged, or names too many files.
    """
    from carina.radiographs.dicom.decode import encoding_of  # noqa: PLC0415  # only where files are parsed
    from carina.radiographs.dicom.outline import find_pixels, read_meta  # noqa: PLC0415
    from carina.radiographs.dicom.tags import DIRECTORY_TAGS  # noqa: PLC0415
    from carina.radiographs.dicom.values import read_values, silence  # noqa: PLC0415

    meta = read_meta(content)
    body = memoryview(content)
    encoding = encoding_of(body, meta.end, meta)
    find_pixels(body, meta.end, encoding, most=MAX_DIRECTORY_ELEMENTS)
    with silence():
        records = read_values(body[meta.end :], encoding, DIRECTORY_TAGS.values()).items("DirectoryRecordSequence")
        # Records of patients and studies name no file.
        names = [list(words) for record in records if any(words := record.words("ReferencedFileID"))]
    if len(names) > MAX_DIRECTORY_FILES:
        msg = f"this DICOMDIR names over {MAX_DIRECTORY_FILES:,} files. Name the folders that hold them."
        raise InputError(msg, "too-large")
    return names
