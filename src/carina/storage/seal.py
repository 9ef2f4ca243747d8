"""A seal over a folder: SHA256SUMS names every other file with its hash, for `sha256sum -c` and for Carina.

It tells what was damaged, exchanged, added or lost. It does not tell who made the folder: whoever can change a file
can seal it again. The hash of SHA256SUMS itself names the whole, to be compared with a published one.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from carina.errors import BundleError

SEAL_FILE = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]*)")
_AGAIN = "Fetch or export the bundle again."


@dataclass(frozen=True, slots=True)
class Seal:
    """A folder that was found to be as it was sealed.

    Attributes
    ----------
    sha256, sums
        Hexadecimal SHA-256 of SHA256SUMS, which names the whole folder, and those of each file.
    """

    folder: Path
    sha256: str
    sums: Mapping[str, str]

    def read(self, name: str) -> bytes:
        """Return a file's bytes, the very ones that were hashed, whatever happened to it since the check.

        Raises
        ------
        BundleError
            If the file changed since.
        """
        try:
            content = (self.folder / name).read_bytes()
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() != self.sums[name]:
            _refuse(self.folder, [name], f"was changed while it was read. {_AGAIN}")
        return content


def write_seal(folder: Path) -> str:
    """Seal the folder as it is, and return the hexadecimal SHA-256 of SHA256SUMS."""
    names = sorted(path.name for path in folder.iterdir() if path.name != SEAL_FILE)
    text = "".join(f"{file_sha256(folder / name)}  {name}\n" for name in names)
    (folder / SEAL_FILE).write_text(text, encoding="ascii", newline="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def check_seal(folder: Path, *, required: Collection[str], allowed: Collection[str]) -> Seal:
    """Return the seal of a folder that is as it was sealed.

    Parameters
    ----------
    folder
        What to check: no subfolder, no link and no file that is not named belong in it.
    required, allowed
        Names that must be sealed, and names that may be beside them.

    Raises
    ------
    BundleError
        If anything differs; the message names the file.
    """
    try:
        sealed = (folder / SEAL_FILE).read_bytes()
        present = sorted(folder.iterdir())
    except OSError:
        msg = f"{folder} has no {SEAL_FILE} that can be read: nothing says that it is whole. {_AGAIN}"
        raise BundleError(msg) from None
    sums = parse_seal(sealed, str(folder / SEAL_FILE))
    for path in present:
        # A link could lead out of the folder, and to another place after the check.
        if path.is_symlink() or not path.is_file():
            msg = f"{path} is a link or no plain file, and a bundle holds plain files only. Copy what it points to."
            raise BundleError(msg)
    names = {path.name for path in present} - {SEAL_FILE}
    _refuse(folder, sorted(names - sums.keys()), f"does not belong to it ({SEAL_FILE} does not name it). Move it away.")
    _refuse(folder, sorted(sums.keys() - names), f"is missing. {_AGAIN}")
    _refuse(folder, sorted(set(required) - sums.keys()), f"is not sealed, though a bundle needs it. {_AGAIN}")
    unknown = sorted(sums.keys() - {*required, *allowed})
    _refuse(folder, unknown, "is no file of a bundle that this version of Carina knows. Install a newer Carina.")
    with ThreadPoolExecutor(2) as pool:  # hashing takes a third of what loading a model takes
        found = pool.map(file_sha256, (folder / name for name in sums))
        changed = [name for name, sha256 in zip(sums, found, strict=True) if sha256 != sums[name]]
    _refuse(folder, changed, f"was changed after it was sealed. {_AGAIN}")
    return Seal(folder, hashlib.sha256(sealed).hexdigest(), sums)


def parse_seal(sealed: bytes, where: str) -> dict[str, str]:
    """Return the hexadecimal SHA-256 of each file that a seal names; `where` it is, for the message.

    Raises
    ------
    BundleError
        If a byte of it is not as `write_seal` writes it.
    """
    # Exactly as it is written: then no byte of it can be changed unseen either.
    lines = sealed.decode("ascii", errors="replace").split("\n")
    fields = [match for line in lines[:-1] if (match := _LINE.fullmatch(line))]
    names = [match[2] for match in fields]
    if len(fields) != len(lines) - 1 or lines[-1] or names != sorted(set(names)) or not names:
        msg = f"{where} is damaged. {_AGAIN}"
        raise BundleError(msg)
    return {match[2]: match[1] for match in fields}


def _refuse(folder: Path, names: Sequence[str], what: str) -> None:
    if names:
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        msg = f"{folder / names[0]}{more} {what}"
        raise BundleError(msg)


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
