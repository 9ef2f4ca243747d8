"""One image file that was named, or that a named folder, archive or pattern holds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from carina.errors import InputError
from carina.radiographs.file_kind import FileKind
from carina.radiographs.read import read_bytes

if TYPE_CHECKING:
    from carina.radiographs.archive import Member

TellLeftOut = Callable[[Path, FileKind], None]
"""Told of each file that is no image and was found, not named: its path, as in `Input`, and what it is."""


@dataclass(frozen=True, slots=True)
class Input:
    """An image file that is to be judged, or why it is not to be."""

    path: Path  # what results and errors name: a file's path, or ``archive.zip!folder/file`` and ``DICOMDIR!file 7``
    # Whether the user named it. If not, it came up in a folder, an archive or a DICOMDIR, where some objects only
    # accompany the images.
    named: bool = True
    member: "Member | None" = None  # the file in an archive that it is, if it is one
    error: InputError | None = None  # why it is not to be read, where that is known

    def read(self) -> bytes:
        """Return its bytes.

        Raises
        ------
        InputError
            If they cannot be read.
        """
        if self.error is not None:
            raise self.error
        return read_bytes(self.path) if self.member is None else self.member.read()
