"""The coded terms of answers: those of the standards, and our own in the scheme 99CARINA.

The terms for findings stand with the findings: `carina.findings.finding_code`.
"""

from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset

from carina.decisions.triage import Priority
from carina.dicom.computed_uids import CODING_SCHEME_UID
from carina.findings import PRIVATE_SCHEME, Code

ENGLISH = Code("en", "RFC5646", "English")
CHEST_RADIOGRAPH = Code("399208008", "SCT", "Plain chest X-ray")
CHEST = Code("816094009", "SCT", "Chest")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
FINDING = Code("121071", "DCM", "Finding")
PROBABILITY = Code("122157", "DCM", "Probability")
THRESHOLD = Code("122411", "DCM", "Threshold Value")
PERCENT = Code("%", "UCUM", "%")
PIXELS = Code("{pixels}", "UCUM", "pixels")
PRIORITY = Code("260870009", "SCT", "Priority")
REASON = Code("priority-reason", PRIVATE_SCHEME, "Reason for priority")
RESERVATION = Code("reservation", PRIVATE_SCHEME, "Reservation")
INTENDED_USE = Code("intended-use", PRIVATE_SCHEME, "Intended use")
# Viewers take a report with the usual title, 126000 DCM Imaging Measurement Report, for measurements with coordinates,
# and show nothing of one without: OHIF opens it black. PS3.16 CID 7021 may be extended.
REPORT_TITLE = Code("triage-report", PRIVATE_SCHEME, "Chest radiograph triage by software, for research")
EVIDENCE = Code("evidence", PRIVATE_SCHEME, "Evidence of a network for a finding")
SPATIAL_CONCEPT = Code("309825002", "SCT", "Spatial and Relational Concept")
ANATOMICAL_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
LUNG = Code("39607008", "SCT", "Lung")
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
SOURCE = Code("260753009", "SCT", "Source")
MODALITY = Code("121139", "DCM", "Modality")
IMAGE_VIEW = Code("111031", "DCM", "Image View")
ROWS = Code("110910", "DCM", "Pixel Data Rows")
COLUMNS = Code("110911", "DCM", "Pixel Data Columns")
SOURCE_OF_PROCESSING = Code("121322", "DCM", "Source image for image processing operation")

# No standard has terms for these places in a reading order; "routine" least of all says "normal".
PRIORITIES: dict[Priority, Code] = {
    "fast-track": Code("fast-track", PRIVATE_SCHEME, "Fast-track"),
    "expedite": Code("expedite", PRIVATE_SCHEME, "Expedite"),
    "secondary-review": Code("secondary-review", PRIVATE_SCHEME, "Secondary review"),
    "routine": Code("routine", PRIVATE_SCHEME, "Routine, still to be read"),
}
MODALITIES = {
    "CR": Code("CR", "DCM", "Computed Radiography"),
    "DX": Code("DX", "DCM", "Digital Radiography"),
    "RG": Code("RG", "DCM", "Radiographic imaging"),
    "OT": Code("OT", "DCM", "Other Modality"),
}
# Views for Projection Radiography, PS3.16 CID 4010.
VIEWS = {
    "AP": Code("399348003", "SCT", "antero-posterior"),
    "PA": Code("272479007", "SCT", "postero-anterior"),
    "LL": Code("399173006", "SCT", "left lateral"),
    "RL": Code("399198007", "SCT", "right lateral"),
}


def concept(code: Code) -> Any:
    """Return a term as highdicom takes it."""
    from highdicom.sr import CodedConcept  # noqa: PLC0415  # an optional library

    return CodedConcept(code.value, code.scheme, code.meaning)


def item_of(code: Code) -> Dataset:
    """Return a term as an item of a code sequence (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item


def coding_schemes(used: Iterable[str]) -> list[Dataset]:
    """Return the Coding Scheme Identification Sequence (PS3.3 C.12.1.1.4.1) for the designators that are used.

    Only what is not in PS3.16 8 needs to be explained: our own scheme.
    """
    if PRIVATE_SCHEME not in used:
        return []
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeUID = CODING_SCHEME_UID
    item.CodingSchemeName = "Carina chest X-ray triage"
    item.CodingSchemeResponsibleOrganization = "The Carina authors"
    return [item]
