"""A study's answer as a FHIR R4 DiagnosticReport with Observations: plain JSON, written by hand.

Source: HL7 FHIR R4 (4.0.1), http://hl7.org/fhir/R4/diagnosticreport.html and http://hl7.org/fhir/R4/observation.html.
"""

from datetime import UTC
from typing import Any

from carina.findings import finding_code
from carina.service.database.study_tables import Judgement, Study

_LOINC, _SCT, _DCM = "http://loinc.org", "http://snomed.info/sct", "http://dicom.nema.org/resources/ontology/DCM"
_SYSTEMS = {"SCT": _SCT, "DCM": _DCM}
_CATEGORY = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD", "display": "Radiology"}]
}
_UCUM = {"system": "http://unitsofmeasure.org", "code": "1", "unit": "probability"}
_FOR_RESEARCH = "For research. A triage flag orders the reading: it is no diagnosis."


def diagnostic_report(study: Study, judgement: Judgement) -> dict[str, Any]:
    """Return a study's answer as a FHIR resource of status preliminary; nothing in it names the patient.

    Each finding's calibrated probability is an Observation that the report contains. The study is named by its Study
    Instance UID, by which the receiving system finds the patient.
    """
    at = judgement.at.astimezone(UTC).isoformat(timespec="seconds")
    observations = [
        {
            "resourceType": "Observation",
            "id": f"finding-{number}",
            "status": "preliminary",
            "code": _concept(finding),
            "effectiveDateTime": at,
            "valueQuantity": {"value": round(probability, 6), **_UCUM},
        }
        for number, (finding, probability) in enumerate(judgement.probabilities.items(), start=1)
    ]
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "id": f"study-{study.id}",
        "status": "preliminary",
        "category": [_CATEGORY],
        "code": {
            "coding": [{"system": _LOINC, "code": "30745-4", "display": "XR Chest Views"}],
            "text": "Chest radiograph",
        },
        "effectiveDateTime": at,
        "issued": at,
        "conclusion": f"Priority {judgement.priority}. {judgement.reason} {_FOR_RESEARCH}",
        "extension": [
            {"url": "urn:carina:priority", "valueCode": judgement.priority},
            {"url": "urn:carina:model", "valueString": f"{judgement.model.name} {judgement.model.version}"},
        ],
    }
    if observations:
        report["contained"] = observations
        report["result"] = [{"reference": f"#{each['id']}"} for each in observations]
    if study.study_instance_uid:
        identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{study.study_instance_uid}"}
        report["imagingStudy"] = [{"identifier": identifier, "type": "ImagingStudy"}]
    return report


def _concept(finding: str) -> dict[str, Any]:
    code = finding_code(finding)
    system = _SYSTEMS.get(code.scheme, f"urn:carina:{code.scheme}")
    return {
        "coding": [{"system": system, "code": code.value, "display": code.meaning}],
        "text": f"Probability of {finding}",
    }
