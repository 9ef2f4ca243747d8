"""What all answers have in common: where they belong, who made them, and how they become bytes."""

import hashlib
from collections.abc import Iterable
from copy import deepcopy
from io import BytesIO
from typing import Literal

from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import PersonName

from carina.decisions.triage import Priority
from carina.dicom.answers.answer_attributes import CARRIED, MANUFACTURER, NEVER_MISSING, Maker
from carina.dicom.answers.source import Source
from carina.dicom.coded_terms import PRIORITIES, coding_schemes
from carina.dicom.computed_uids import derived_uid
from carina.dicom.transport.file_meta import new_meta
from carina.errors import ConfigurationError
from carina.inference.prediction import Prediction

Kind = Literal["sr", "sc", "seg"]
KINDS: tuple[Kind, ...] = ("sr", "sc", "seg")
# High enough to stand behind the images of a study.
SERIES_NUMBERS: dict[Kind, int] = {"sr": 9001, "sc": 9002, "seg": 9003}
_NAMES: dict[Kind, str] = {"sr": "report", "sc": "picture", "seg": "regions"}
# The UID of an answer before it is computed from all that the answer says.
UNNAMED = derived_uid("answer without a name yet")
_UNICODE = "ISO_IR 192"
# What libraries set to the time at which they run.
_CLOCKED = (
    *("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime", "ContributingEquipmentSequence"),
    *("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
)


def kinds_named(names: Iterable[str]) -> tuple[Kind, ...]:
    """Return the kinds of answers that are named, in their own order.

    Raises
    ------
    ConfigurationError
        If there is none of a name, or nothing is named.
    """
    asked = {name.strip() for name in names if name.strip()}
    if unknown := sorted(asked - set(KINDS)):
        msg = f"There is no kind of answer {unknown[0]!r}. Name some of: {', '.join(KINDS)}."
        raise ConfigurationError(msg)
    if not asked:
        msg = f"No kind of answer is named. Name some of: {', '.join(KINDS)}."
        raise ConfigurationError(msg)
    return tuple(kind for kind in KINDS if kind in asked)


def _instance_uid(content: bytes, source: Source, maker: Maker, kind: Kind, pixels_sha256: str) -> str:
    """Return the SOP Instance UID of an answer: another one wherever anything in it is different.

    An image may come again under its UID after it was corrected: its pixels, its patient's name, its window. What is
    then said of it is another object, and the same said again is the same.
    """
    digest = hashlib.sha256(content).hexdigest()
    return derived_uid("instance", *maker.identity, source.sop_instance_uid, kind, pixels_sha256, digest)


def series_uid(source: Source, maker: Maker, kind: Kind, priority: Priority) -> str:
    """Return the Series Instance UID of an answer: one for all answers of a kind and a priority in a study."""
    return derived_uid("series", *maker.identity, source.study_uid, kind, priority)


def series_description(kind: Kind, priority: Priority) -> str:
    """Return the name of a series, at most 64 characters. Lists of series cut it: the priority stands first."""
    return f"{PRIORITIES[priority].meaning}: AI {_NAMES[kind]} ({MANUFACTURER}, research use)"


def stand_in(source: Source) -> Dataset:
    """Return what highdicom needs of an image to refer to it, and nothing of its patient.

    Values of the patient are carried over afterwards as they are: highdicom would judge them, and say them.
    """
    dataset = Dataset()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = source.study_uid, source.series_uid
    dataset.SOPClassUID, dataset.SOPInstanceUID = source.sop_class_uid, source.sop_instance_uid
    for keyword in NEVER_MISSING:
        setattr(dataset, keyword, None)
    dataset.Rows, dataset.Columns = source.rows, source.columns
    return dataset


def equipment(maker: Maker) -> dict[str, object]:
    """Return who made an answer, as highdicom takes it."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": maker.name,
        "software_versions": tuple(maker.software_versions),
        "device_serial_number": maker.sha256,
    }


def whole_object(dataset: Dataset, source: Source, maker: Maker, kind: Kind, prediction: Prediction) -> bytes:
    """Return an answer as the bytes of a DICOM file, after all that answers have in common and its UID were set.

    The answer has the UID `UNNAMED`. The same answer has the same bytes at any time: dates and times of the content are
    those of the image.
    """
    for keyword in _CLOCKED:
        dataset.pop(keyword, None)
    date, time = source.moment or maker.created
    dataset.ContentDate, dataset.ContentTime = date, time
    if kind != "sr":
        # Whatever the image calls it. Of a chest nobody asks for the side (Laterality, Type 2C).
        dataset.BodyPartExamined = "CHEST"
    dataset.SeriesDescription = series_description(kind, prediction.triage.priority)
    dataset.ContentQualification = "RESEARCH"
    if schemes := coding_schemes(_designators(dataset)):
        dataset.CodingSchemeIdentificationSequence = schemes
    in_unicode = not all(text.isascii() for text in _texts(dataset))
    _carry(source.attributes, dataset, in_unicode=in_unicode)
    dataset.file_meta = new_meta(dataset, ExplicitVRLittleEndian)
    dataset.SOPInstanceUID = _instance_uid(_written(dataset), source, maker, kind, prediction.sha256)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return _written(dataset)


def _written(dataset: Dataset) -> bytes:
    stream = BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _designators(dataset: Dataset) -> set[str]:
    return {str(element.value) for element in dataset.iterall() if element.keyword == "CodingSchemeDesignator"}


def _texts(dataset: Dataset) -> list[str]:
    several = (element.value if element.VM > 1 else [element.value] for element in dataset.iterall())
    return [value for values in several for value in values if isinstance(value, str)]


def _carry(attributes: Dataset, dataset: Dataset, *, in_unicode: bool) -> None:
    """Set patient and study as the image has them, in its character set; in Unicode where that cannot hold our words.

    So a name keeps its bytes, but where a finding of the user's own has letters beyond ASCII.
    """
    for keyword in NEVER_MISSING:
        setattr(dataset, keyword, None)
    for keyword in CARRIED:
        if keyword in attributes:
            dataset.add(deepcopy(attributes[keyword]))
    dataset.pop("SpecificCharacterSet", None)
    if in_unicode:
        dataset.SpecificCharacterSet = _UNICODE
        for element in dataset.iterall():
            if element.VR == "PN" and element.value:
                names = [element.value] if element.VM == 1 else element.value
                element.value = [PersonName(str(name)) for name in names]
    elif "SpecificCharacterSet" in attributes:
        dataset.add(attributes["SpecificCharacterSet"])
