"""Where objects and answers lie on the disk, under names that are hashes.

::

    FOLDER/incoming/   what is being written; emptied at the start
    FOLDER/objects/    <digest>.dcm, as it was received
    FOLDER/answers/    <digest>/, the answers to it
    FOLDER/dead/       <digest>/ with object.dcm, its answers, and reason.json

No part of a path comes from a UID or from any other value of an object or association.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from carina.errors import ConfigurationError
from carina.storage.atomic import write_text
from carina.storage.durable import sync_file, sync_folder, write_file

_DIGEST_LENGTH = 64
REASON_FILE = "reason.json"


def digest_of(*parts: bytes) -> str:
    """Return the SHA-256 of some parts, 64 hexadecimal digits; where one part ends and the next begins counts too."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.hexdigest()


class ObjectStore:
    """The folder of objects and answers. It is made if it is not there, for its owner alone.

    Parameters
    ----------
    folder
        Where it lies.
    ending
        Of the objects' names; a store that holds images of every format has none.

    Raises
    ------
    ConfigurationError
        If it cannot be made.
    """

    def __init__(self, folder: Path, *, ending: str = ".dcm") -> None:
        self.folder, self._ending = folder, ending
        self.incoming, self.objects = folder / "incoming", folder / "objects"
        self.answers, self.dead = folder / "answers", folder / "dead"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for part in (self.incoming, self.objects, self.answers, self.dead):
                part.mkdir(mode=0o700, exist_ok=True)
            sync_folder(folder)
        except OSError as error:
            msg = f"The folder {folder} cannot be used: {error.strerror}. Name one that can be written."
            raise ConfigurationError(msg) from None

    def object_path(self, digest: str) -> Path:
        """Return where an object lies, or would."""
        return self.objects / f"{digest}{self._ending}"

    def answers_folder(self, digest: str) -> Path:
        """Return the folder where the answers to an object lie, or would."""
        return self.answers / digest

    def answer_files(self, digest: str) -> list[Path]:
        """Return the answers to an object, in the order of their names; none where there are none."""
        folder = self.answers_folder(digest)
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def empty_incoming(self) -> None:
        """Delete what an earlier process had not finished writing."""
        for left in self.incoming.iterdir():
            _delete(left)

    def write_object(self, digest: str, parts: Sequence[bytes]) -> None:
        """Write an object; when this returns, its bytes and its name are on the disk.

        Raises
        ------
        OSError
            If the disk is full, for one. Then nothing of it is left.
        """
        temporary, path = self.incoming / secrets.token_hex(8), self.object_path(digest)
        write_file(temporary, parts)
        try:
            temporary.replace(path)
            sync_folder(self.objects)
        except BaseException:
            temporary.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise

    def new_work_folder(self) -> Path:
        """Return a new empty folder for answers that are being made."""
        work = self.incoming / secrets.token_hex(8)
        work.mkdir(mode=0o700)
        return work

    def remove_work_folder(self, work: Path) -> None:
        """Delete a folder of answers that are not wanted, if it is still there."""
        _delete(work)

    def place_answers(self, digest: str, work: Path) -> None:
        """Let a folder of answers be the answers to an object, instead of earlier ones.

        Raises
        ------
        OSError
            If the disk is full, for one.
        """
        for path in work.iterdir():
            sync_file(path)
        sync_folder(work)
        place = self.answers_folder(digest)
        _delete(place)
        work.replace(place)
        sync_folder(self.answers)

    def discard(self, digest: str, *, keep: bool = False) -> None:
        """Delete an object and its answers; with `keep` neither."""
        if not keep:
            self.object_path(digest).unlink(missing_ok=True)
            _delete(self.answers_folder(digest))

    def discard_answers(self, digest: str) -> None:
        """Delete the answers to an object."""
        _delete(self.answers_folder(digest))

    def bury(self, digest: str, reason: str, attempts: int) -> None:
        """Move an object and its answers into the dead-letter folder, with the reason. May be done again.

        Raises
        ------
        OSError
            If the disk is full, for one. Done again it goes on where it was.
        """
        grave = self.dead / digest
        grave.mkdir(mode=0o700, exist_ok=True)
        said = {"reason": reason, "attempts": attempts, "given_up": datetime.now(UTC).isoformat(timespec="seconds")}
        write_text(grave / REASON_FILE, json.dumps(said) + "\n")
        if self.answers_folder(digest).is_dir():
            _delete(grave / "answers")
            self.answers_folder(digest).replace(grave / "answers")
        # The object last: while it lies in its old place, this is not done.
        if self.object_path(digest).is_file():
            self.object_path(digest).replace(grave / "object.dcm")
        sync_folder(grave)
        sync_folder(self.dead)

    def unbury(self, digest: str) -> None:
        """Delete what lies of an object in the dead-letter folder."""
        _delete(self.dead / digest)

    def stored_digests(self) -> Iterator[str]:
        """Yield the digests of all objects, in no order; what is no object of ours is passed over."""
        names = (path.name for path in self.objects.iterdir() if path.name.endswith(self._ending))
        return (digest for name in names if _is_digest(digest := name.removesuffix(self._ending)))

    def answered_digests(self) -> Iterator[str]:
        """Yield the digests of all objects that have answers, in no order."""
        return (path.name for path in self.answers.iterdir() if _is_digest(path.name))

    def dead_digests(self) -> Iterator[str]:
        """Yield the digests in the dead-letter folder, in no order."""
        return (path.name for path in self.dead.iterdir() if _is_digest(path.name))

    def free_bytes(self) -> int:
        """Return how much room the disk has left for this user."""
        return shutil.disk_usage(self.folder).free


def _is_digest(name: str) -> bool:
    return len(name) == _DIGEST_LENGTH and set(name) <= set("0123456789abcdef")


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            os.rmdir(path)  # noqa: PTH106  # says what is in the way
    else:
        path.unlink(missing_ok=True)
