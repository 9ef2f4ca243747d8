"""What DICOM headers say for a data set: whose image it is, in hashes, and whether it may be judged at all."""

import hmac
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from carina.errors import ConfigurationError, InputError
from carina.radiographs.dicom.directory import is_directory
from carina.radiographs.dicom.identity import Identity, identifier_digest
from carina.radiographs.dicom.workers import shared_workers
from carina.radiographs.file_kind import DICOM_IMAGE, kind_of
from carina.radiographs.header import View
from carina.radiographs.intended_use import refusals
from carina.radiographs.read import read_bytes, read_head
from carina.runtime.streams import read_ahead
from carina.wording import say_left_out

# Of an object without a radiograph: nothing is wrong with it, and it is left out.
_NO_RADIOGRAPH = frozenset({"not-a-radiograph", "companion-object", "own-answer"})
_FRONTAL: frozenset[View] = frozenset({"PA", "AP", "frontal"})
_DICOM_ENDINGS = frozenset({".dcm", ".dicom"})
# The pixels of nearly every file begin before.
_HEADER_BYTES = 256 * 1024
_IN_FLIGHT = 16
_SHORTEST_KEY = 16


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A DICOM file that is none for a data set."""

    reason: str  # why, a clause without patient data
    identity: Identity | None = None  # whose it is, where it has an image


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM: by its first bytes, or its name if these do not say. A DICOMDIR is none."""
    head = read_head(path) or b""
    if is_directory(head):
        return False
    return kind_of(path.name, head) == DICOM_IMAGE or path.suffix.lower() in _DICOM_ENDINGS


def read_identities(paths: Sequence[Path]) -> Iterator[Identity | LeftOut | InputError]:
    """Yield what each file's header says, in order: whose image it is, why it is left out, or what is wrong with it."""
    return read_ahead(_read_identity, paths, ahead=_IN_FLIGHT, threads=2)


def _read_identity(path: Path) -> Identity | LeftOut | InputError:
    try:
        identity = _identify(path)
    except InputError as error:
        # The second sentence says what to do, which is done.
        return LeftOut(str(error).split(". ", 1)[0].rstrip(".")) if error.code in _NO_RADIOGRAPH else error
    reasons = refusals(identity.header)
    return LeftOut(reasons[0], identity) if reasons else identity


def _identify(path: Path) -> Identity:
    try:
        with path.open("rb") as stream:
            beginning = stream.read(_HEADER_BYTES)
    except OSError:
        beginning = b""
    if len(beginning) == _HEADER_BYTES:
        try:
            return shared_workers().identify(beginning)
        except InputError as error:
            # Anything else may only be so because it was cut off.
            if error.code == "not-a-radiograph":
                raise
    return shared_workers().identify(read_bytes(path))


def said_of_patient(identity: Identity, key: bytes | None) -> dict[str, object]:
    """Return what a manifest says of an image by its header: patient, view, age and sex; `key` as of `patient_of`."""
    return {
        "patient": patient_of(identity, key),
        "view": identity.header.view if identity.header.view in _FRONTAL else None,
        "age": identity.header.age_years,
        "sex": identity.sex,
    }


def fill_in_headers(
    images: list[dict[str, object]], key: bytes | None
) -> tuple[list[dict[str, object]], list[tuple[str, str]], tuple[str, ...]]:
    """Return the images of a listing with what the headers of those that are DICOM say, what was left out, and notes.

    Images that a header rules out are left out: path and reason. What cannot be read stays, and gets its error when it
    is.
    """
    places = [place for place, image in enumerate(images) if is_dicom(Path(str(image["path"])))]
    dropped: dict[int, str] = {}
    for place, said in zip(places, read_identities([Path(str(images[p]["path"])) for p in places]), strict=True):
        if isinstance(said, Identity):
            # Where a header says nothing, what folders say stays.
            images[place] |= {name: value for name, value in said_of_patient(said, key).items() if value is not None}
        elif isinstance(said, LeftOut) and said.identity is not None:
            dropped[place] = said.reason
    counts = Counter(dropped.values()).most_common()
    notes = tuple(say_left_out(count, "DICOM file", reason) for reason, count in counts)
    left_out = [(str(images[place]["path"]), reason) for place, reason in dropped.items()]
    return [image for place, image in enumerate(images) if place not in dropped], left_out, notes


def patient_of(identity: Identity, key: bytes | None) -> str | None:
    """Return the hash of a patient for a manifest: of the PatientID, or of the study if there is none.

    The key is a secret, without which nobody can find out whose hash it is; there may be none.
    """
    digest = identity.patient or identity.study
    return digest if digest is None or key is None else _keyed(digest, key)


def _keyed(digest: str, key: bytes) -> str:
    return hmac.digest(key, digest.encode(), "sha256").hex()


def read_key(path: Path) -> bytes:
    """Return the secret in a file.

    Raises
    ------
    ConfigurationError
        If there is none, or it is too short for one.
    """
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        msg = f"--patient-key {path} cannot be read: {error.strerror}."
        raise ConfigurationError(msg) from None
    if len(key) < _SHORTEST_KEY:
        msg = f"--patient-key {path} holds {len(key)} bytes; at least {_SHORTEST_KEY} random ones are needed."
        raise ConfigurationError(msg)
    return key


def patient_of_name(name: str, key: bytes | None) -> str | None:
    """Return the hash of a patient whom a folder or a file is named after: as `patient_of` of that PatientID."""
    digest = identifier_digest("PatientID", name)
    return digest if key is None or not name.strip() else _keyed(digest or name, key)
