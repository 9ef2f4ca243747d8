"""What is to happen to an attribute: the table of PS3.15 E.1-1, its options, and what Carina adds to them.

The table is that of the library dicom-anonymizer, which writes it again for new editions of the standard. Where the
table leaves a choice ("X/Z": remove, or empty where the object needs it), it is made for the objects that are let
through: computed and digital radiographs and secondary captures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydicom.datadict import tag_for_keyword

from carina.findings import Code

EDITION = "2026c"
Action = Literal["remove", "empty", "dummy", "map", "clean", "keep", "keep text", "shift", "by type"]
"""What happens to an attribute.

``map``: its UIDs become others. ``clean``: its items are cleaned, each as a data set. ``keep``: its value stays if it
has the form of its type. ``keep text``: the same for free text. ``shift``: a date becomes earlier. ``by type``: the
table does not name it, and text, names and dates go while codes, numbers and UIDs that were mapped stay.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What is kept beyond the Basic Profile.

    Attributes
    ----------
    patient_characteristics
        Age (90 years for all above), sex, size, weight, pregnancy and smoking. Not: free text such as allergies.
    device
        Which device made the image.
    uids
        All UIDs as they are.
    shifted_dates
        Dates, all of a patient earlier by the same number of days; times of day as they are.
    """

    patient_characteristics: bool = False
    device: bool = False
    uids: bool = False
    shifted_dates: bool = False

    @property
    def codes(self) -> tuple[Code, ...]:
        """Return the profile and its options as PS3.16 CID 7050 names them."""
        asked = (self.shifted_dates, self.patient_characteristics, self.device, self.uids)
        return (_BASIC, *(code for code, is_so in zip(_OPTIONAL, asked, strict=True) if is_so))


_BASIC = Code("113100", "DCM", "Basic Application Confidentiality Profile")
_OPTIONAL = (
    Code("113107", "DCM", "Retain Longitudinal Temporal Information Modified Dates Option"),
    Code("113108", "DCM", "Retain Patient Characteristics Option"),
    Code("113109", "DCM", "Retain Device Identity Option"),
    Code("113110", "DCM", "Retain UIDs Option"),
)


def _tags(*keywords: str) -> frozenset[int]:
    found = {keyword: tag_for_keyword(keyword) for keyword in keywords}
    return frozenset(tag for tag in found.values() if tag is not None)


# Column "Rtn. Pat. Chars. Opt.", without the texts (ethnic group, allergies, state, needs): nobody can clean them here.
_PATIENT_CHARACTERISTICS = _tags(
    *("PatientAge", "PatientSex", "PatientSize", "PatientWeight", "PatientSexNeutered", "PregnancyStatus"),
    "SmokingStatus",
)
# Column "Rtn. Dev. Id. Opt.", and what the table does not name but Carina would remove as text.
_DEVICE = _tags(
    *("CassetteID", "DetectorID", "DeviceDescription", "DeviceSerialNumber", "DeviceUID", "GantryID", "GeneratorID"),
    *("LensMake", "LensModel", "LensSerialNumber", "LensSpecification", "ManufacturerDeviceClassUID", "PlateID"),
    *("PerformedStationAETitle", "PerformedStationGeographicLocationCodeSequence", "PerformedStationName"),
    *("PerformedStationNameCodeSequence", "ScheduledProcedureStepLocation", "ScheduledStationAETitle"),
    *("ScheduledStationGeographicLocationCodeSequence", "ScheduledStationName", "ScheduledStationNameCodeSequence"),
    *("ScheduledStudyLocation", "ScheduledStudyLocationAETitle", "StationName", "UDISequence"),
    *("UniqueDeviceIdentifier", "XRayDetectorID", "XRayDetectorLabel", "XRaySourceID"),
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DetectorManufacturerName"),
    *("DetectorManufacturerModelName", "SecondaryCaptureDeviceManufacturer", "SecondaryCaptureDeviceID"),
    *("SecondaryCaptureDeviceManufacturerModelName", "SecondaryCaptureDeviceSoftwareVersions"),
)
# Column "Rtn. UIDs Opt." for sequences that the Basic Profile removes.
_REFERENCES = _tags("ReferencedStudySequence", "ReferencedPerformedProcedureStepSequence")
# Column "Rtn. Long. Modif. Dates Opt." is empty for the day and time of birth.
_NEVER_SHIFTED = _tags("PatientBirthDate", "PatientBirthTime")
_TIMES = frozenset({"DA", "DT", "TM"})

# Needs emptying and not removing in the objects that are let through (Type 2).
_TYPE_2 = _tags("AcquisitionContextSequence")
# Their items would lose texts that they must have (Type 1), or hold what is somebody's own.
_REMOVED_TOO = _tags(
    *("ContributingEquipmentSequence", "RealWorldValueMappingSequence", "CodingSchemeIdentificationSequence"),
    *("PrivateDataElementCharacteristicsSequence", "PrivateDataElementDefinitionSequence", "SpecificCharacterSet"),
    *("TimezoneOffsetFromUTC", "FrameIncrementPointer", "NumberOfFrames"),
)
# Transport, file meta information, directories, encryption and signatures, and all that comes with the pixels.
_GROUPS_REMOVED = frozenset({0x0000, 0x0002, 0x0004, 0x0006, 0x0400})
_FROM_PIXELS_ON = 0x7FE0
_CURVES, _OVERLAYS, _REPEATING = 0x5000, 0x6000, 0xFF00
# What each group of the library's table comes to.
_CHOICES: Mapping[str, Action] = {
    "D_TAGS": "dummy",
    "Z_TAGS": "empty",
    "X_TAGS": "remove",
    "U_TAGS": "map",
    "Z_D_TAGS": "empty",
    "X_Z_TAGS": "remove",
    "X_D_TAGS": "remove",
    "X_Z_D_TAGS": "remove",
    "X_Z_U_STAR_TAGS": "clean",
}


@cache
def table() -> Mapping[int, Action]:
    """Return what the Basic Profile does to each attribute that it names by its tag, groups that repeat left out."""
    # It brings a progress bar along, which only this command pays for.
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector  # noqa: PLC0415

    library = dicom_anonymization_database_selector(f"dicomfields_{EDITION}")
    found: dict[int, Action] = {}
    for name, action in _CHOICES.items():
        # Of four numbers are those that stand for a group which repeats; all of those are removed whole.
        found.update({tag[0] << 16 | tag[1]: action for tag in library[name] if len(tag) == 2})
    return found | dict.fromkeys(_TYPE_2, "empty")


def action_for(tag: int, vr: str, options: Options) -> Action:
    """Return what is to happen to the attribute of a tag and type."""
    group = tag >> 16
    if (
        group % 2
        or group in _GROUPS_REMOVED
        or group >= _FROM_PIXELS_ON
        or group & _REPEATING in (_CURVES, _OVERLAYS)
        # The length of a group, which says how much was removed.
        or tag & 0xFFFF == 0
        or tag in _REMOVED_TOO
    ):
        return "remove"
    if options.patient_characteristics and tag in _PATIENT_CHARACTERISTICS:
        return "keep"
    if options.device and tag in _DEVICE:
        return "keep text"
    if options.uids and tag in _REFERENCES:
        return "clean"
    if options.shifted_dates and vr in _TIMES and tag not in _NEVER_SHIFTED:
        return "shift"
    return table().get(tag, "by type")
