"""What words in a DICOM header mean: closed lists, so that only words of Carina's own leave this room."""

import re
from types import MappingProxyType
from typing import Literal

from carina.radiographs.header import Direction, Modality, Region, Side, View

# Modalities that make chest radiographs; OT is what secondary captures mostly carry.
_RADIOGRAPHIC: MappingProxyType[str, Modality] = MappingProxyType({"CR": "CR", "DX": "DX", "RG": "RG", "OT": "OT"})
# Other modalities, to be named in an error. Source: PS3.3 C.7.3.1.1.1.
_OTHERS = frozenset(
    {
        *("AR", "AU", "BDUS", "BI", "BMD", "CT", "DG", "DOC", "ECG", "EPS", "ES", "FID", "GM", "HC", "HD", "IO"),
        *("IVOCT", "IVUS", "KER", "KO", "LEN", "LS", "M3D", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPV"),
        *("OSS", "PLAN", "PR", "PT", "PX", "REG", "RESP", "RF", "RTDOSE", "RTIMAGE", "RTPLAN", "RTRECORD", "RTSTRUCT"),
        *("RWV", "SEG", "SM", "SMR", "SR", "SRF", "STAIN", "TG", "US", "VA", "XA", "XC"),
    }
)
# Where Modality is missing, the class of the object says it. Source: PS3.4 B.5.
_OF_CLASS = MappingProxyType(
    {
        "1.2.840.10008.5.1.4.1.1.1": "CR",
        "1.2.840.10008.5.1.4.1.1.1.1": "DX",
        "1.2.840.10008.5.1.4.1.1.1.1.1": "DX",
        "1.2.840.10008.5.1.4.1.1.2": "CT",
        "1.2.840.10008.5.1.4.1.1.4": "MR",
        "1.2.840.10008.5.1.4.1.1.6.1": "US",
        "1.2.840.10008.5.1.4.1.1.1.2": "MG",
        "1.2.840.10008.5.1.4.1.1.1.3": "IO",
        "1.2.840.10008.5.1.4.1.1.12.1": "XA",
        "1.2.840.10008.5.1.4.1.1.12.2": "RF",
        "1.2.840.10008.5.1.4.1.1.20": "NM",
        "1.2.840.10008.5.1.4.1.1.128": "PT",
    }
)
# Objects without pixels that belong to the images of a study. Source: PS3.4 B.5.
_COMPANIONS_OF_CLASS = (
    ("1.2.840.10008.5.1.4.1.1.88.59", "a key object selection"),
    ("1.2.840.10008.5.1.4.1.1.88.", "a structured report"),
    ("1.2.840.10008.5.1.4.1.1.11.", "a presentation state"),
    ("1.2.840.10008.5.1.4.1.1.104.", "an encapsulated document"),
)
_COMPANIONS = MappingProxyType(
    {
        "KO": "a key object selection",
        "SR": "a structured report",
        "PR": "a presentation state",
        "DOC": "an encapsulated document",
    }
)
# What every answer that Carina writes says of who made it (`carina.dicom`); a PACS keeps it.
OWN_MANUFACTURER = "Carina"
DX_FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
DIRECTORY = "1.2.840.10008.1.3.10"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# Words of ImageType, and attributes of the module SC Equipment (PS3.3 C.8.6.1), that detectors' images have not.
_CAPTURED = ("SECONDARY", "SCREEN", "CAPTURE", "DIGITI", "SCAN", "PHOTO")
OF_CAPTURES = (
    *("ConversionType", "SecondaryCaptureDeviceID", "SecondaryCaptureDeviceManufacturer"),
    *("SecondaryCaptureDeviceManufacturerModelName", "SecondaryCaptureDeviceSoftwareVersions"),
    *("DateOfSecondaryCapture", "TimeOfSecondaryCapture", "VideoImageFormatAcquired", "DigitalImageFormatAcquired"),
    *("HardcopyCreationDeviceID", "HardcopyDeviceManufacturer", "HardcopyDeviceManufacturerModelName"),
)


def is_type_of_capture(words: tuple[str, ...]) -> bool:
    """Return whether ImageType says that an image was captured from a screen or digitised from a film."""
    kinds = re.split(r"[\\\s_/-]+", "\\".join(words).upper())
    return any(word.startswith(hint) for word in kinds for hint in _CAPTURED)


def modality_of(words: tuple[str, ...], sop_class: str | None) -> tuple[Modality | None, str | None]:
    """Return the modality if it makes radiographs, and its name if it makes none.

    Of several the first that makes radiographs counts. What is neither known nor missing is taken for a radiograph of
    an unnamed modality.
    """
    named = [word.upper() for word in words]
    known = next((word for word in named if word in _RADIOGRAPHIC), "")
    known = known or next((word for word in named if word in _OTHERS), "") or _OF_CLASS.get(sop_class or "", "")
    return _RADIOGRAPHIC.get(known), known if known in _OTHERS else None


def contradicts_class(modality: Modality | None, sop_class: str | None) -> bool:
    """Return whether the class of an object is that of a modality which makes no radiographs, and Modality is not."""
    return modality is not None and _OF_CLASS.get(sop_class or "", "CR") not in _RADIOGRAPHIC


def companion_of(word: str | None, sop_class: str | None) -> str | None:
    """Return what an object is, with its article, if it belongs to the images of a study and is none."""
    for beginning, name in _COMPANIONS_OF_CLASS:
        if (sop_class or "").startswith(beginning):
            return name
    return _COMPANIONS.get((word or "").upper())


_CHEST_WORDS = ("CHEST", "THORAX", "TORAX", "TORACE", "LUNG", "PULMO", "POUMON")
# Source: PS3.16 Annex L, Body Part Examined, and plurals.
_ELSEWHERE = frozenset(
    {
        *("ABDOMEN", "ABDOMENPELVIS", "ACJOINT", "ADRENAL", "ANKLE", "ARM", "ARTERY", "BACK", "BLADDER", "BODY"),
        *("BRAIN", "BREAST", "BRONCHUS", "BUTTOCK", "CALCANEUS", "CALF", "CAROTID", "CEREBRUM", "CERVIX", "CHEEK"),
        *("CLAVICLE", "COCCYX", "COLON", "CSPINE", "CTSPINE", "DUODENUM", "EAR", "ELBOW", "ESOPHAGUS", "EXTREMITY"),
        *("EYE", "FACE", "FEMUR", "FIBULA", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HEADNECK", "HIP", "HUMERUS"),
        *("ILEUM", "ILIUM", "JAW", "JEJUNUM", "KIDNEY", "KNEE", "LEG", "LIVER", "LSPINE", "LSSPINE", "MANDIBLE"),
        *("MAXILLA", "NECK", "NOSE", "ORBIT", "PANCREAS", "PARASTERNAL", "PATELLA", "PELVIS", "PENIS", "PHANTOM"),
        *("PROSTATE", "RADIUS", "RECTUM", "RIB", "SACRUM", "SCALP", "SCAPULA", "SELLA", "SHOULDER", "SIJOINT", "SINUS"),
        *("SKULL", "SPINE", "SPLEEN", "SSPINE", "STERNUM", "STOMACH", "TESTIS", "THIGH", "THUMB", "TIBIA", "TLSPINE"),
        *("TMJ", "TOE", "TRACHEA", "TSPINE", "ULNA", "URETER", "UTERUS", "WHOLEBODY", "WHOLESPINE", "WRIST", "ZYGOMA"),
    }
)
_CHEST_CODES = frozenset({"51185008", "43799004", "39607008", "T-D3000", "T-D3200", "T-28000"})


def region_of(words: tuple[str, ...], codes: tuple[str, ...]) -> Region | None:
    """Return which part of the body BodyPartExamined or the codes of AnatomicRegionSequence name.

    Where there are several, it is the chest if any of them is, and elsewhere if all of them are.
    """
    named = [letters for letters in (re.sub(r"[^A-Z]", "", word.upper()) for word in words) if letters]
    if any(chest in letters for letters in named for chest in _CHEST_WORDS) or _CHEST_CODES.intersection(codes):
        return "chest"
    if named and all(letters in _ELSEWHERE or letters.removesuffix("S") in _ELSEWHERE for letters in named):
        return "elsewhere"
    return "unknown" if named or codes else None


_VIEWS: tuple[tuple[View, frozenset[str]], ...] = (
    ("decubitus", frozenset({"LLD", "RLD", "DECUBITUS"})),
    ("lateral", frozenset({"LL", "RL", "LAT", "LLAT", "RLAT", "LATERAL", "SAGITTAL"})),
    ("oblique", frozenset({"LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "OBL", "OBLIQUE"})),
    ("PA", frozenset({"PA"})),
    ("AP", frozenset({"AP"})),
    ("frontal", frozenset({"FRONTAL"})),
)
_FRONTAL: frozenset[View | None] = frozenset({"PA", "AP", "frontal"})
# SNOMED CT and the SRT codes that came before. Source: PS3.16 CID 4010.
_VIEW_CODES: MappingProxyType[str, View] = MappingProxyType(
    {
        **dict.fromkeys(("272479007", "R-10214", "R-40888"), "PA"),
        **dict.fromkeys(("399348003", "R-10206"), "AP"),
        **dict.fromkeys(("399033003", "R-10202"), "frontal"),
        **dict.fromkeys(
            ("399173006", "399198007", "399067008", "30730003", "R-10236", "R-10232", "R-102CD", "G-A145"), "lateral"
        ),
        **dict.fromkeys(
            (
                *("399312000", "399059000", "399160007", "399135007", "399356000", "399006002", "399038007"),
                *("399182000", "399184004", "399236003", "R-10208", "R-10216", "R-10204", "R-10220", "R-40985"),
                *("R-10212", "R-10210", "R-102C1", "R-10238", "R-10234"),
            ),
            "oblique",
        ),
    }
)


def view_of(words: tuple[str, ...], codes: tuple[str, ...]) -> View | None:
    """Return which view ViewPosition or the codes of ViewCodeSequence name; the latter come first.

    Where words name several views, it is the one that is not frontal: such an image is not to be judged as one.
    """
    for code in codes:
        if code in _VIEW_CODES:
            return _VIEW_CODES[code]
    parts = set(re.findall(r"[A-Z]+", " ".join(words).upper()))
    for view, names in _VIEWS:
        if names & parts:
            return view
    return "unknown" if parts or codes else None


def region_contradicted(words: tuple[str, ...], codes: tuple[str, ...]) -> bool:
    """Return whether words and codes disagree on whether the chest is shown."""
    return region_of(words, ()) == "elsewhere" and region_of((), codes) == "chest"


def view_contradicted(words: tuple[str, ...], codes: tuple[str, ...]) -> bool:
    """Return whether words and codes disagree on whether the view is frontal."""
    kinds = {view in _FRONTAL for view in (view_of(words, ()), view_of((), codes)) if view not in (None, "unknown")}
    return len(kinds) > 1


def side_of(word: str | None) -> Side | None:
    """Return what Laterality or ImageLaterality says."""
    sides: dict[str, Side] = {"L": "left", "R": "right", "B": "both", "U": "unpaired"}
    return sides.get((word or "").upper())


_DIRECTIONS: MappingProxyType[str, Direction] = MappingProxyType(
    {"L": "left", "R": "right", "A": "front", "P": "back", "H": "head", "F": "feet"}
)


def direction_of(word: str | None) -> Direction | None:
    """Return the chief direction of one value of PatientOrientation, whose first letter it is."""
    return _DIRECTIONS.get((word or "")[:1].upper())


_DAYS = MappingProxyType({"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25})
_UNITS = MappingProxyType({"D": "D", "DAY": "D", "W": "W", "WEEK": "W", "M": "M", "MONTH": "M", "Y": "Y", "YEAR": "Y"})
_OLDEST_YEARS = 130
_ADULT_YEARS = 18
_AGE = re.compile(r"([A-Z]*) *(\d{1,3})(?:[.,]\d+)? *([A-Z]*)\.?")


def age_of(age: str | None, birth: str | None, taken: str | None) -> float | None:
    """Return the age in years by PatientAge (``045Y``), or else by the days of birth and image (``YYYYMMDD``).

    A number below 18 without its unit is taken for years: whichever unit it has, the patient is a child. Of a higher
    one nobody can say so.
    """
    stated = _stated_age(age)
    return _age_by_dates(birth, taken) if stated is None else stated


def age_doubt(age: str | None, birth: str | None, taken: str | None) -> Literal["age", "age and birth"] | None:
    """Return what is to be said of an age: that it cannot be read, or that it and the dates disagree on a child."""
    stated, counted = _stated_age(age), _age_by_dates(birth, taken)
    if stated is None or counted is None:
        return "age" if age and stated is None and counted is None else None
    differ = (stated < _ADULT_YEARS) != (counted < _ADULT_YEARS) and abs(stated - counted) > 1
    return "age and birth" if differ else None


def _stated_age(age: str | None) -> float | None:
    found = _AGE.fullmatch((age or "").strip().upper())
    if found is None:
        return None
    number, word = float(found[2]), found[1] or found[3]
    unit = _UNITS.get(word.removesuffix("S") if len(word) > 1 else word)
    if unit is None:
        return number if number < _ADULT_YEARS else None
    return _possible(number * _DAYS[unit] / _DAYS["Y"])


def _age_by_dates(birth: str | None, taken: str | None) -> float | None:
    born, day = _day(birth), _day(taken)
    return None if born is None or day is None else _possible((day - born) / _DAYS["Y"])


def _possible(years: float) -> float | None:
    return years if 0 <= years <= _OLDEST_YEARS else None


def is_date(date: str) -> bool:
    """Return whether a text is a date."""
    return _day(date) is not None


def _day(date: str | None) -> float | None:
    """Return a date as a number of days, to within one or two, which is all that an age in years asks for."""
    found = re.fullmatch(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", date or "")
    if found is None:
        return None
    year, month, day = (int(part) for part in found.groups())
    return year * _DAYS["Y"] + (month - 1) * _DAYS["M"] + day
