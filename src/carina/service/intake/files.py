"""Files and ZIP archives on the disk are taken in: uploads and the watched folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carina.errors import InputError
from carina.radiographs.archive import BadMember, Member, list_archive
from carina.radiographs.file_kind import HEAD_BYTES, is_archive, is_hidden, kind_of
from carina.radiographs.read import read_bytes, read_head
from carina.service.database.study_tables import Source
from carina.service.intake.take import LeftOut, NotTakenError, Taken, take
from carina.service.site_folder import Site


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file.

    Attributes
    ----------
    name
        As given, or within its archive. It may name a patient.
    said
        That it was taken, or why not.
    """

    name: str
    said: Taken | LeftOut | NotTakenError


def take_file(site: Site, path: Path, *, name: str, source: Source) -> Iterator[Outcome]:
    """Take in a file, or all images in a ZIP archive, and yield what became of each.

    One that cannot be taken does not stop the others. Of an archive, files are read one at a time into memory and no
    further than the site's limit; none is written but into the store.

    Parameters
    ----------
    site
        That takes them.
    path
        Where the file lies.
    name
        As it was given.
    source
        The way in which it came.
    """
    head = read_head(path) or b""
    if is_archive(head) and not kind_of(path.name, head).is_image:
        yield from _archive(site, path, name, source)
    else:
        yield _one(site, path, name, source)


def _one(site: Site, path: Path, name: str, source: Source) -> Outcome:
    limits = site.settings.limits
    try:
        if path.stat().st_size > limits.object_bytes:
            msg = f"The file is larger than {limits.object_mb:g} MB, the most that this site takes for an image."
            return Outcome(name, LeftOut("too-large", msg))
        content = read_bytes(path)
    except InputError as error:
        return Outcome(name, _left_out(error))
    except OSError as error:
        return Outcome(name, LeftOut("unreadable-file", f"The file cannot be read: {error.strerror}."))
    return Outcome(name, _taken(site, content, name, source))


def _archive(site: Site, path: Path, name: str, source: Source) -> Iterator[Outcome]:
    try:
        members = list_archive(path)
    except InputError as error:
        yield Outcome(name, _left_out(error))
        return
    for member in members:
        if isinstance(member, BadMember):
            yield Outcome(f"file {member.number} of the archive", _left_out(member.error))
        elif not any(is_hidden(part) for part in member.name.split("/")):
            yield Outcome(member.name, _member(site, member, source))


def _member(site: Site, member: Member, source: Source) -> Taken | LeftOut | NotTakenError:
    limits = site.settings.limits
    try:
        kind = kind_of(member.name.rsplit("/", 1)[-1], member.head(HEAD_BYTES))
        if not kind.is_image:
            return LeftOut("no-image", f"This is no image: {kind.name}.")
        if member.size > limits.object_bytes:
            return LeftOut("too-large", f"It is larger than {limits.object_mb:g} MB, the most for an image here.")
        content = member.read()
    except InputError as error:
        return _left_out(error)
    return _taken(site, content, member.name, source)


def _taken(site: Site, content: bytes, name: str, source: Source) -> Taken | LeftOut | NotTakenError:
    try:
        return take(site, content, name=name, source=source)
    except NotTakenError as error:
        return error


def _left_out(error: InputError) -> LeftOut:
    message = str(error)
    return LeftOut(error.code, f"{message[:1].upper()}{message[1:]}")
