"""What a file is, by its first bytes: an image, an image that Carina does not read, or something else.

An import and a prediction both ask here which files of a folder are images, so that both leave out the same files and
call them by the same names.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from carina.radiographs.dicom.directory import is_directory
from carina.radiographs.dicom.outline import begins_as
from carina.radiographs.raster import RASTER_FORMATS

# Enough to tell every kind of file here.
HEAD_BYTES = 512

# A file that is named like this is always tried, so that a damaged one gets its error and nobody wonders where it went.
IMAGE_ENDINGS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".avif", ".heic", ".heif"}
    | {".jp2", ".j2k", ".jxl", ".dcm", ".dicom"}
)

# Of ZIP: a file, the end of an empty archive, and one in several parts.
ARCHIVE_BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")

# Images of formats that Carina does not read: where they begin, what they begin with, what they are called.
_FOREIGN_IMAGES = (
    (0, b"GIF8", "GIF"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"II\xbc\x01", "JPEG XR"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (0, b"8BPS", "Photoshop"),
    (0, b"P5\n", "PGM"),
    (0, b"P6\n", "PPM"),
    (0, b"NRRD000", "NRRD"),
    (0, b"ObjectType = Image", "MetaImage"),
    (344, b"n+1\0", "NIfTI"),
    (344, b"ni1\0", "NIfTI"),
)
_FOREIGN_FILES = (
    (0, b"%PDF", "PDF"),
    (0, b"\x1f\x8b", "gzip"),
    *((0, beginning, "ZIP") for beginning in ARCHIVE_BEGINNINGS),
    (0, b"Rar!", "RAR"),
    (0, b"7z\xbc\xaf", "7z"),
)
# AppleDouble (in ``._x.png`` beside ``x.png``) and Finder's ``.DS_Store``.
_MACOS_BEGINNINGS = (b"\x00\x05\x16\x07", b"\x00\x05\x16\x00", b"\x00\x00\x00\x01Bud1")
_ENDING_TO_TELL = re.compile(r"\.[a-z0-9_+-]{1,8}")
_NOUN = re.compile(r"\b(file|archive|document|folder|link|image|mask)\b")


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file is.

    Attributes
    ----------
    name
        A noun that people know: ``PNG image``, ``PDF document``, ``.txt file``. It never holds the file's own name.
    is_image
        Whether it is to be read as an image. One of a format that Carina does not read is an image, too: it is refused
        with its reason, and not passed over.
    """

    name: str
    is_image: bool


DICOM_IMAGE = FileKind("DICOM image", is_image=True)
BROKEN_LINK = FileKind("link whose target is gone", is_image=False)
HIDDEN_IMAGE = FileKind("hidden image", is_image=False)
HIDDEN_FOLDER = FileKind("hidden folder", is_image=False)
_NAMED_LIKE_AN_IMAGE = FileKind("file named like an image", is_image=True)


def is_hidden(name: str) -> bool:
    """Return whether a file or a folder is hidden, by its name: an import and a prediction of a folder leave it out."""
    return name.startswith(".") or name == "__MACOSX"


def kind_by_name(name: str) -> FileKind | None:
    """Return what a file is where its name alone says that it is to be read as an image; none where it does not."""
    # macOS puts a file of its own, ``._x.png``, beside ``x.png``: only its first bytes tell.
    if name.startswith("._"):
        return None
    return _NAMED_LIKE_AN_IMAGE if _ending(name) in IMAGE_ENDINGS else None


def kind_of(name: str, head: bytes | None) -> FileKind:
    """Return what a file is.

    Parameters
    ----------
    name
        Of the file, without its folders. It decides only where the first bytes do not.
    head
        Its first `HEAD_BYTES` bytes; none where it may not be read. Then it is taken for an image if its name ends like
        one, or has no ending or a number for one, as those of DICOM files have, so that it gets its error.
    """
    ending = _ending(name)
    if head is None:
        is_image = ending in IMAGE_ENDINGS or not ending.strip(".0123456789")
        return FileKind("file that this user may not read", is_image=is_image)
    if (kind := _kind_by_content(head, ending)) is not None:
        return kind
    if ending in IMAGE_ENDINGS:
        return _NAMED_LIKE_AN_IMAGE
    if not head:
        return FileKind("empty file", is_image=False)
    if name.lower() == "thumbs.db":
        return FileKind("file of Windows' own", is_image=False)
    # A number is no ending, and what is long or has spaces in it may be somebody's name.
    told = _ENDING_TO_TELL.fullmatch(ending) and ending.strip(".0123456789")
    return FileKind(f"{ending} file" if told else "file without an ending", is_image=False)


def foreign_format(content: bytes) -> str | None:
    """Return the name of the format that the bytes begin as, where Carina knows it and does not read it."""
    return _found_in(_FOREIGN_IMAGES, content) or _found_in(_FOREIGN_FILES, content)


def is_archive(head: bytes) -> bool:
    """Return whether a file is a ZIP archive, by its first four bytes."""
    return head.startswith(ARCHIVE_BEGINNINGS)


def counted(counts: Mapping[str, int]) -> str:
    """Return how many there are of each kind, the commonest first: ``3 .txt files, 1 PDF document``."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count} {_plural(name, count)}" for name, count in ordered)


def _plural(name: str, count: int) -> str:
    return name if count == 1 else _NOUN.sub(r"\1s", name, count=1)


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  # a million Path objects take seconds


def _kind_by_content(head: bytes, ending: str) -> FileKind | None:
    beginning = begins_as(head)
    if beginning == "file":
        return FileKind("DICOMDIR file", is_image=False) if is_directory(head) else DICOM_IMAGE
    if (image := _raster_format(head) or _found_in(_FOREIGN_IMAGES, head)) is not None:
        return FileKind(f"{image} image", is_image=True)
    if beginning == "data set":
        return DICOM_IMAGE
    if head.startswith(_MACOS_BEGINNINGS):
        return FileKind("file of macOS' own", is_image=False)
    # Many a format is packed as ZIP or gzip inside (.xlsx, .nii.gz): then the ending says more.
    foreign = _found_in(_FOREIGN_FILES, head)
    if foreign is None or (foreign != "PDF" and ending not in ("", ".gz", f".{foreign.lower()}")):
        return None
    return FileKind("PDF document" if foreign == "PDF" else f"{foreign} archive", is_image=False)


def _raster_format(head: bytes) -> str | None:
    # Many a table begins with BM (BMI, BMD): a bitmap also has four bytes of zeros that no text has.
    of_head = (name for name, raster in RASTER_FORMATS.items() if raster.begins(head))
    return next((name for name in of_head if name != "BMP" or head[6:10] == bytes(4)), None)


def _found_in(formats: tuple[tuple[int, bytes, str], ...], content: bytes) -> str | None:
    return next((name for at, magic, name in formats if content[at : at + len(magic)] == magic), None)
