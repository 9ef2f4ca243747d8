"""What is named becomes a stream of entries: one for each input, with all that another machine needs to read it.

Local paths go the way of ``carina predict``. Addresses such as ``s3://bucket/films`` are listed by fsspec, whose
libraries know the protocols and find the credentials. A Parquet or CSV file is an index: one address per row.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Self, cast

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from fsspec.utils import glob_translate

from carina.cluster.retries import fetch, with_pauses
from carina.errors import ConfigurationError, InputError
from carina.inference.containers import inputs_of_archive
from carina.inference.image_input import Input, TellLeftOut
from carina.inference.inputs import image_inputs
from carina.inference.results import path_in_words
from carina.radiographs.archive import Member
from carina.radiographs.file_kind import HEAD_BYTES, HIDDEN_IMAGE, is_archive, is_hidden, kind_by_name, kind_of
from carina.runtime.streams import read_ahead

_INDEXES = (".parquet", ".csv")
_COLUMNS = ("address", "path")
# So many first bytes are asked for at once, of objects whose names do not tell what they are.
_HEADS_AHEAD = 64


def is_remote(text: str) -> bool:
    """Return whether a text is the address of something that is not a local file."""
    return "://" in text


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A remote file with what reading an archive needs of a path."""

    address: str

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Return it, open; only the parts that are asked for are fetched."""
        system, place = fsspec.core.url_to_fs(self.address)
        return cast("IO[bytes]", system.open(place, mode))

    def stat(self) -> SimpleNamespace:
        """Return its size, as that of a path."""
        system, place = fsspec.core.url_to_fs(self.address)
        return SimpleNamespace(st_size=system.size(place))

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True)
class Entry:
    """One input of a batch.

    Attributes
    ----------
    address
        What its row names: a path as it was named, an address, or ``archive.zip!file``.
    source
        A path or an address; of what lies in an archive, the archive's.
    named
        As `Input.named`.
    member
        The fields of `Member` after the archive, for a file in one.
    error
        Code and message, where it is known already that it cannot be read.
    """

    address: str
    source: str
    named: bool = True
    member: tuple[Any, ...] | None = None
    error: tuple[Any, str] | None = None

    @classmethod
    def of(cls, each: Input, address: str | None = None) -> Self:
        """Return the entry of an input."""
        error = None if each.error is None else (each.error.code, str(each.error))
        member = each.member
        source, fields = str(each.path), None
        if member is not None:
            source = str(member.archive)
            fields = (member.name, member.offset, member.packed, member.size, member.crc, member.stored)
        return cls(address or path_in_words(each.path), source, each.named, fields, error)

    def content(self) -> bytes:
        """Return its bytes; what is remote is asked for again, with growing pauses.

        Raises
        ------
        InputError
            If they cannot be read.
        """
        if self.error is not None:
            raise InputError(self.error[1], self.error[0])
        remote = is_remote(self.source)
        if remote and self.member is None:
            return fetch(self.source)
        # Only what is called of a path is called of a remote file.
        place = cast("Path", RemoteFile(self.source)) if remote else Path(self.source)
        member = None if self.member is None else Member(place, *self.member)
        return Input(place, self.named, member).read()

    @property
    def key(self) -> bytes:
        """Return 16 bytes by which its address is known."""
        return key_of(self.address)

    def to_json(self) -> str:
        """Return it as text; names that are no UTF-8 keep their bytes."""
        return json.dumps([self.address, self.source, self.named, self.member, self.error])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what `to_json` wrote."""
        address, source, named, member, error = json.loads(text)
        return cls(address, source, named, member and tuple(member), error and tuple(error))


def key_of(address: str) -> bytes:
    """Return 16 bytes by which an address is known."""
    return blake2b(address.encode("utf-8", "backslashreplace"), digest_size=16).digest()


def list_entries(sources: Iterable[str], *, column: str | None, left_out: TellLeftOut) -> Iterator[Entry]:
    """Yield an entry for each input that is named, in an order that is the same every time; each address once.

    Parameters
    ----------
    sources
        As of ``carina predict``; addresses of files, folders, patterns and ZIP archives; and indexes, which end in
        ``.parquet`` or ``.csv``. Addresses of ``http`` and ``https`` name one file each.
    column
        The column of an index that holds the addresses; by default ``address`` or ``path``.
    left_out
        Told of each file that was found and is no image.

    Raises
    ------
    ConfigurationError
        If an address or an index cannot be read.
    """
    named = list(dict.fromkeys(sources))
    several = len(named) > 1
    seen: set[bytes] = set()
    for source in named:
        index = source.lower().endswith(_INDEXES)
        for entry in _entries_of(source, column, left_out):
            # Of one folder nothing comes twice. Of several sources and of an index it may.
            if several or index:
                if entry.key in seen:
                    continue
                seen.add(entry.key)
            yield entry


def _entries_of(source: str, column: str | None, left_out: TellLeftOut) -> Iterator[Entry]:
    if source.lower().endswith(_INDEXES):
        yield from _in_index(source, column)
    elif is_remote(source):
        yield from _remote(source, left_out)
    else:
        yield from map(Entry.of, image_inputs([source], left_out=left_out))


def _in_index(source: str, column: str | None) -> Iterator[Entry]:
    folder = source.rsplit("/", 1)[0] if is_remote(source) else Path(source).parent
    try:
        with fsspec.open(source, "rb") as stream:
            for text in _addresses(stream, source, column):
                if is_remote(text):
                    yield Entry(text, text)
                elif is_remote(source) and not text.startswith("/"):
                    yield Entry(f"{folder}/{text}", f"{folder}/{text}")
                else:
                    yield Entry.of(Input(Path(folder, text)))
    except (OSError, pa.ArrowInvalid) as error:
        msg = f"{source} cannot be read as a table ({type(error).__name__}). Check the path."
        raise ConfigurationError(msg) from None


def _addresses(stream: IO[bytes], source: str, column: str | None) -> Iterator[str]:
    if source.lower().endswith(".csv"):
        reader = pyarrow.csv.open_csv(stream)
        names, batches = reader.schema.names, iter(reader)
    else:
        table = pq.ParquetFile(stream)
        names, batches = table.schema_arrow.names, table.iter_batches()
    wanted = column or next((name for name in _COLUMNS if name in names), None)
    if wanted not in names:
        msg = f"{source} has the columns {', '.join(names)}. Name the one that holds the addresses: --column NAME."
        raise ConfigurationError(msg)
    for number, batch in enumerate(batches):
        for text in batch.column(wanted).to_pylist():
            if not isinstance(text, str) or not text:
                msg = f"{source}: column {wanted} has a row without an address, in part {number + 1} of the table."
                raise ConfigurationError(msg)
            yield text


def _remote(source: str, left_out: TellLeftOut) -> Iterator[Entry]:
    try:
        system, place = fsspec.core.url_to_fs(source)
        if source.startswith("http"):
            # A web server has no folders that can be listed, and a question mark is a part of its addresses.
            yield from _file(source, left_out)
            return
        pattern = None
        if "*" in place or "?" in place:
            # A bucket is listed folder by folder, so that not all of it is in memory.
            # What matches may be a folder, whose files are then meant.
            pattern = re.compile(glob_translate(place).removesuffix("\\Z") + r"(/.*)?\Z")
            place = place[: min(place.find(sign) for sign in "*?" if sign in place)].rsplit("/", 1)[0]
        elif not system.isdir(place):
            yield from _file(source, left_out)
            return
        found = read_ahead(
            partial(_with_kind, system), _below(system, place, pattern), ahead=_HEADS_AHEAD, threads=_HEADS_AHEAD // 4
        )
        for path, kind in found:
            address = system.unstrip_protocol(path)
            if not kind.is_image or is_hidden(path.rsplit("/", 1)[-1]):
                left_out(Path(address), HIDDEN_IMAGE if kind.is_image else kind)
            else:
                yield Entry(address, address, named=pattern is not None)
    except (ImportError, ValueError) as error:
        msg = f"{source} cannot be opened: {error} (extras of Carina: s3, gcs)."
        raise ConfigurationError(msg) from None
    except OSError as error:
        msg = f"{source} cannot be listed ({type(error).__name__}). Check the address and the credentials."
        raise ConfigurationError(msg) from None


def _below(system: Any, place: str, pattern: re.Pattern[str] | None) -> Iterator[str]:
    for folder, _, files in system.walk(place):
        for name in sorted(files):
            path = f"{folder.rstrip('/')}/{name}"
            if name and (pattern is None or pattern.match(path)):
                yield path


def _with_kind(system: Any, path: str) -> tuple[str, Any]:
    name = path.rsplit("/", 1)[-1]
    kind = kind_by_name(name)
    return path, kind if kind is not None else kind_of(name, _head(system, path))


def _head(system: Any, path: str) -> bytes | None:
    """Return the first bytes of an object; none where it cannot be read, so that it gets its error when it is."""
    try:
        return bytes(with_pauses(lambda: system.cat_file(path, 0, HEAD_BYTES)))
    except OSError:
        return None


def _file(source: str, left_out: TellLeftOut) -> Iterator[Entry]:
    """Yield a remote file that was named, or what is in it if it is an archive."""
    remote = RemoteFile(source)
    if kind_by_name(source.rsplit("/", 1)[-1]) is None:
        try:
            with remote.open() as stream:
                head = stream.read(HEAD_BYTES)
        except OSError:
            head = b""
        if is_archive(head):
            try:
                for each in inputs_of_archive(cast("Path", remote), left_out):
                    name = str(each.path).split("!", 1)[1]
                    yield Entry.of(each, f"{source}!{name}")
            except InputError as error:
                yield Entry(source, source, error=(error.code, str(error)))
            return
    yield Entry(source, source)
