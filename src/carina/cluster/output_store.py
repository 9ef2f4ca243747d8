"""A folder or a bucket in which files appear whole or not at all."""

import os
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from carina.cluster.retries import with_pauses
from carina.errors import ConfigurationError
from carina.storage.atomic import whole_file


class Store:
    """A folder on a disk that all machines see, or the address of one in an object store.

    Parameters
    ----------
    address
        A path, or an address that fsspec understands.

    Raises
    ------
    ConfigurationError
        If nothing that is installed understands the address.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            self.system, self.root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            msg = f"{address} cannot be opened: {error} (extras of Carina: s3, gcs)."
            raise ConfigurationError(msg) from None
        self.folder = Path(self.root) if isinstance(self.system, LocalFileSystem) else None

    def __reduce__(self) -> tuple[type["Store"], tuple[str]]:
        """Open it again in another process."""
        return type(self), (self.address,)

    def put(self, name: str, content: bytes, *, new: bool = False) -> None:
        """Write a file, whole or not at all: in a folder by renaming, in a bucket by one request.

        Raises
        ------
        FileExistsError
            If it is to be `new` and is there.
        OSError
            If it cannot be written.
        """
        if self.folder is None:
            mode = {"mode": "create"} if new else {}
            with_pauses(lambda: self.system.pipe_file(f"{self.root}/{name}", content, **mode), final=(FileExistsError,))
            return
        path = self.folder / name
        if new and path.exists():
            raise FileExistsError(name)
        with whole_file(path) as temporary:
            temporary.write_bytes(content)

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        return bytes(with_pauses(lambda: self.system.cat_file(f"{self.root}/{name}")))

    def names(self, folder: str = "", ending: str = "") -> list[str]:
        """Return the names of the files in it, or in a folder of it, by name."""
        place = f"{self.root}/{folder}".rstrip("/")
        if self.folder is not None:
            if not os.path.isdir(place):  # noqa: PTH112
                return []
            found = [entry.name for entry in os.scandir(place)]
        else:
            self.system.invalidate_cache(place)
            try:
                listed = with_pauses(lambda: self.system.ls(place, detail=False))
            except FileNotFoundError:
                return []
            found = [path.rsplit("/", 1)[-1] for path in listed]
        return sorted(name for name in found if name.endswith(ending) and not name.startswith(".partial-"))

    def delete(self, name: str) -> None:
        """Delete a file or a folder, if it is there."""
        place = f"{self.root}/{name}"
        try:
            self.system.rm(place, recursive=True)
        except FileNotFoundError:
            return

    def clean(self) -> None:
        """Delete what a process that was killed had half written."""
        for path in self.folder.glob(".partial-*") if self.folder is not None else ():
            path.unlink(missing_ok=True)
