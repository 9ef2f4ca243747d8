"""A ZIP archive: its files are read one at a time, into memory and no further than a limit; none is ever written.

An archive can lie about everything: how many files it holds, how large they are, where they lie. So its list of files
is read only if it is small, and of each file no more is inflated than it says, once all sizes together are bearable.
"""

import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from carina.errors import InputError
from carina.radiographs.file_kind import ARCHIVE_BEGINNINGS
from carina.radiographs.read import check_size, closed_file

# A study has some dozen files, a day of a department some thousand.
MAX_MEMBERS = 10_000
# What lists them: a hundred bytes and a path each.
MAX_LIST_BYTES = 4 * 1024 * 1024
MAX_TOTAL_BYTES = 32 * 1024**3
# Radiographs shrink to a half or a tenth; deflate reaches 1,032 with nothing but zeros. Small files may be empty forms.
MAX_RATIO = 200
_ANY_RATIO_BYTES = 1024 * 1024
_LOCAL = struct.Struct("<4s5H3I2H")
_CHUNK = 65_536
_ENCRYPTED = 0x1


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Attributes
    ----------
    archive, name
        Where the archive lies, and within it folders and a name, that lead nowhere else. As the archive has it, which
        may name a patient.
    offset, packed, size, crc
        Where it begins, its bytes there, those that it inflates to, and their CRC-32.
    stored
        Whether it is stored as it is, and not deflated.
    """

    archive: Path
    name: str
    offset: int
    packed: int
    size: int
    crc: int
    stored: bool

    def read(self) -> bytes:
        """Return all its bytes.

        Raises
        ------
        InputError
            If they are damaged, or not those that the archive lists.
        """
        content = self._inflated(self.size)
        if len(content) != self.size or zlib.crc32(content) != self.crc:
            raise _damaged_member()
        check_size(len(content))
        return content

    def head(self, length: int) -> bytes:
        """Return its first bytes, at most so many; errors are those of `read`."""
        return self._inflated(min(length, self.size))

    def _inflated(self, wanted: int) -> bytes:
        try:
            with self.archive.open("rb") as stream:
                return self._inflated_from(stream, wanted)
        except (OSError, zlib.error, struct.error, OverflowError):
            raise _damaged_member() from None

    def _inflated_from(self, stream: BinaryIO, wanted: int) -> bytes:
        stream.seek(self.offset)
        signature, *_, name_length, extra_length = _LOCAL.unpack(stream.read(_LOCAL.size))
        if signature != ARCHIVE_BEGINNINGS[0]:
            raise _damaged_member()
        stream.seek(name_length + extra_length, 1)
        if self.stored:
            return stream.read(min(wanted, self.packed))
        inflater, found, left = zlib.decompressobj(-zlib.MAX_WBITS), bytearray(), self.packed
        while len(found) < wanted and not inflater.eof:
            packed = inflater.unconsumed_tail
            if not packed:
                packed = stream.read(min(_CHUNK, left))
                left -= len(packed)
                if not packed:
                    break
            found += inflater.decompress(packed, wanted - len(found))
        return bytes(found)


@dataclass(frozen=True, slots=True)
class BadMember:
    """A file in an archive that is not to be read.

    Attributes
    ----------
    number, error
        Which of the archive's files it is, counted from 1 (its name may be what is wrong), and why.
    """

    number: int
    error: InputError


def list_archive(path: Path) -> list[Member | BadMember]:
    """Return the files in an archive, in its order, without folders.

    Raises
    ------
    InputError
        If it is damaged or encrypted, or its files are too many, too large in all, or lie over each other.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream, zipfile.ZipFile(_Bounded(stream)) as archive:
            entries = archive.infolist()
    except InputError:
        raise
    except PermissionError:
        raise closed_file() from None
    except Exception:  # noqa: BLE001  # a damaged list of files raises anything
        msg = "the ZIP archive is damaged. Copy it again from where it came from."
        raise InputError(msg, "unreadable-file") from None
    _require_bearable(entries, size)
    found: list[Member | BadMember] = []
    for number, entry in enumerate(entries, start=1):
        if entry.filename.endswith("/"):
            continue
        try:
            _require_harmless(entry)
        except InputError as error:
            found.append(BadMember(number, error))
        else:
            stored = entry.compress_type == zipfile.ZIP_STORED
            name, where = entry.filename, entry.header_offset
            found.append(Member(path, name, where, entry.compress_size, entry.file_size, entry.CRC, stored))
    return found


def _require_bearable(entries: list[zipfile.ZipInfo], size: int) -> None:
    if len(entries) > MAX_MEMBERS:
        raise _too_many()
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        msg = "the ZIP archive is encrypted. Unpack it, and name the folder."
        raise InputError(msg, "unsupported-format")
    if sum(entry.file_size for entry in entries) > MAX_TOTAL_BYTES:
        most = f"{MAX_TOTAL_BYTES // 1024**3} GiB"
        msg = f"the files in the ZIP archive are over {most} in all. Unpack it, if it is sound."
        raise InputError(msg, "too-large")
    if sum(entry.compress_size for entry in entries) > size:
        msg = "the files in the ZIP archive lie over each other: it is damaged, or was made to do harm."
        raise InputError(msg, "unreadable-file")


def _require_harmless(entry: zipfile.ZipInfo) -> None:
    # `filename` is what Python made of it; with a NUL byte in it, it is cut there.
    parts = entry.filename.replace("\\", "/").split("/")
    if ".." in parts or "" in parts or ":" in parts[0] or "\0" in entry.orig_filename:
        msg = "its name in the ZIP archive leads out of it. Have a look at where the archive came from."
        raise InputError(msg, "unsafe-path")
    if stat.S_ISLNK(entry.external_attr >> 16):
        msg = "it is a link to another file. Pack the file itself."
        raise InputError(msg, "unsafe-path")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        msg = "it is compressed in another way than by deflate. Unpack the archive, and name the folder."
        raise InputError(msg, "unsupported-format")
    if entry.file_size:
        check_size(entry.file_size)
    if entry.file_size > max(_ANY_RATIO_BYTES, MAX_RATIO * entry.compress_size):
        msg = f"it inflates to over {MAX_RATIO} times its size, which no radiograph does. Check the archive."
        raise InputError(msg, "too-large")


class _Bounded:
    """A file of which no more is read at once than a list of files may have."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close

    def read(self, length: int = -1) -> bytes:
        content = b"" if length > MAX_LIST_BYTES else self._stream.read(MAX_LIST_BYTES + 1 if length < 0 else length)
        if max(length, len(content)) > MAX_LIST_BYTES:
            raise _too_many()
        return content

    def seekable(self) -> bool:
        return True


def _too_many() -> InputError:
    msg = f"the ZIP archive holds over {MAX_MEMBERS:,} files. Unpack it, if it is sound, and name the folder."
    return InputError(msg, "too-large")


def _damaged_member() -> InputError:
    return InputError("it is damaged within the ZIP archive. Copy the archive again.", "unreadable-file")
