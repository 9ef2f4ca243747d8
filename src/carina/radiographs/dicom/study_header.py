"""What a worklist shows of a file's study: by what its readers know it, and what the image is."""

import re
from dataclasses import dataclass
from typing import Any

# Longer than the longest value that the standard allows, which is a person's name of three times 64 characters.
_LONGEST = 256
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class StudyHeader:
    """What a header says. It holds names and identifiers: for rows that readers see, and no message or log.

    Attributes
    ----------
    study_instance_uid, series_instance_uid, sop_instance_uid
        As they are written, valid or not; none where there is none.
    patient_name, patient_id, issuer_of_patient_id, accession_number, study_description, manufacturer, modality
        Text without control characters, at most 256 characters.
    study_date
        As ISO 8601; none where it is no date.
    sex
        ``F``, ``M`` or ``O``.
    age_years, view
        See `carina.radiographs.header.Header`.
    rows, columns
        In pixels.
    """

    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    patient_name: str | None = None
    patient_id: str | None = None
    issuer_of_patient_id: str | None = None
    accession_number: str | None = None
    study_description: str | None = None
    study_date: str | None = None
    sex: str | None = None
    age_years: float | None = None
    modality: str | None = None
    manufacturer: str | None = None
    view: str | None = None
    rows: int | None = None
    columns: int | None = None


def read_study_header(content: bytes) -> dict[str, Any]:
    """Return a `StudyHeader` as a dictionary, of a file's bytes or those up to its pixels.

    A header that keeps its image from being judged is read all the same: the study is shown, with the reason.

    Raises
    ------
    InputError
        If it holds no image, or is damaged.
    """
    from carina.errors import InputError  # noqa: PLC0415  # only where files are parsed
    from carina.radiographs.dicom.attributes import attributes_of, require_foreign  # noqa: PLC0415
    from carina.radiographs.dicom.decode import walk  # noqa: PLC0415
    from carina.radiographs.dicom.tags import IDENTIFIERS, STUDY_TAGS  # noqa: PLC0415
    from carina.radiographs.dicom.terms import is_date  # noqa: PLC0415
    from carina.radiographs.dicom.values import read_values, silence  # noqa: PLC0415

    walked = walk(content, deflated=False)
    with silence():
        values = read_values(walked.header, walked.encoding, (*IDENTIFIERS.values(), *STUDY_TAGS.values()))
        require_foreign(values)
        age, view = None, None
        try:
            header = attributes_of(values).header
            age, view = header.age_years, header.view
        except InputError:
            # Why it is not to be judged is said when it is judged.
            pass
        date = values.word("StudyDate")
        sex = (values.word("PatientSex") or "").upper()
        said: dict[str, Any] = {name: shown_text(values.text(keyword)) for name, keyword in _TEXTS.items()}
        return said | {
            "patient_name": shown_text(values.name("PatientName")),
            "study_date": f"{date[:4]}-{date[4:6]}-{date[6:8]}" if date and is_date(date) else None,
            "sex": sex if sex in ("F", "M", "O") else None,
            "age_years": age,
            "view": view,
            "rows": _count(values.number("Rows")),
            "columns": _count(values.number("Columns")),
        }


_TEXTS = {
    "study_instance_uid": "StudyInstanceUID",
    "series_instance_uid": "SeriesInstanceUID",
    "sop_instance_uid": "SOPInstanceUID",
    "patient_id": "PatientID",
    "issuer_of_patient_id": "IssuerOfPatientID",
    "accession_number": "AccessionNumber",
    "study_description": "StudyDescription",
    "modality": "Modality",
    "manufacturer": "Manufacturer",
}


def shown_text(value: str | None) -> str | None:
    """Return a text that can be kept and shown: no control characters, not too long; none where it is empty."""
    return _CONTROLS.sub(" ", value or "").strip()[:_LONGEST] or None


def _count(number: float | None) -> int | None:
    return int(number) if number is not None and 0 < number < 65_536 else None
