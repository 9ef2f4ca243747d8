"""Whose image a file holds, for an import: hashes of identifiers, which never leave the process that reads the file."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal

from carina.radiographs.header import Header

Identifier = Literal["PatientID", "StudyInstanceUID"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What an import asks of a file.

    Attributes
    ----------
    patient, study
        The `identifier_digest` of its PatientID and of its StudyInstanceUID; none where it has none.
    sex, header
        ``F``, ``M`` or ``O``, none where it does not say; and what bears on whether it may be judged.
    """

    patient: str | None
    study: str | None
    sex: Literal["F", "M", "O"] | None
    header: Header


def identifier_digest(kind: Identifier, value: str) -> str | None:
    """Return the hash of an identifier: the hexadecimal SHA-256 of its kind and itself; none for an empty one.

    The same everywhere and at any time, so that what belongs together is told. It is no secret: whoever has a list of
    identifiers can find out which of them it is.
    """
    bare = value.strip(" \0")
    # No text can be encoded otherwise that came from a damaged file.
    return hashlib.sha256(f"carina {kind} {bare}".encode("utf-8", "surrogatepass")).hexdigest() if bare else None


def read_identity(content: bytes) -> dict[str, Any]:
    """Return an `Identity` as a dictionary, of a file's bytes or those up to its pixels.

    Raises
    ------
    InputError
        As `carina.radiographs.dicom.decode.decode`, but for what only its pixels say.
    """
    from carina.radiographs.dicom.attributes import attributes_of  # noqa: PLC0415  # only where files are parsed
    from carina.radiographs.dicom.decode import walk  # noqa: PLC0415
    from carina.radiographs.dicom.tags import IDENTIFIERS  # noqa: PLC0415
    from carina.radiographs.dicom.values import read_values, silence  # noqa: PLC0415

    walked = walk(content, deflated=False)
    with silence():
        values = read_values(walked.header, walked.encoding, IDENTIFIERS.values())
        header = attributes_of(values).header
        sex = (values.word("PatientSex") or "").upper()
        return {
            "patient": identifier_digest("PatientID", values.text("PatientID") or ""),
            "study": identifier_digest("StudyInstanceUID", values.text("StudyInstanceUID") or ""),
            "sex": sex if sex in ("F", "M", "O") else None,
            "header": asdict(header),
        }
