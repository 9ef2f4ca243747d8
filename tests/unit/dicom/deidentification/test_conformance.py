"""dicom3tools' dciodvfy finds no error in what is written that it did not find in what was read."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from carina.dicom.deidentification.deidentify import deidentify
from carina.dicom.deidentification.profile import Options
from carina.dicom.deidentification.pseudonyms import Pseudonyms
from unit.dicom.sources import write_source


def _item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


_CR = "1.2.840.10008.5.1.4.1.1.1"
_REFERENCE = {"ReferencedSOPClassUID": _CR, "ReferencedSOPInstanceUID": "1.2.3.4"}
# As modalities write them, with sequences, codes, and what the profile empties or replaces.
_FULL = {
    "DX": {
        "PresentationIntentType": "FOR PRESENTATION", "ImageLaterality": "U", "PixelIntensityRelationship": "LIN",
        "PixelIntensityRelationshipSign": 1, "LossyImageCompression": "00", "DetectorType": "DIRECT",
        "ImagerPixelSpacing": [0.1, 0.1], "PositionerType": "NONE", "PatientOrientation": ["L", "F"],
        "AcquisitionContextSequence": [], "DetectorID": "D-17", "DeviceSerialNumber": "S-1", "StationName": "ROOM 2",
        "AnatomicRegionSequence": [_code("816094009", "SCT", "Chest")], "WindowCenterWidthExplanation": "Lung",
        "ViewCodeSequence": [_code("399348003", "SCT", "antero-posterior")], "ProtocolName": "Thorax Zwiebel",
        "SourceImageSequence": [_item(**_REFERENCE, PurposeOfReferenceCodeSequence=[_code("121320", "DCM", "Any")])],
        "ReferencedPerformedProcedureStepSequence": [_item(**_REFERENCE)], "InstitutionName": "House",
        "ClinicalTrialSponsorName": "Sponsor", "ClinicalTrialProtocolID": "P-1", "ClinicalTrialProtocolName": "Trial",
        "ClinicalTrialSiteID": "1", "ClinicalTrialSiteName": "Site", "ClinicalTrialSubjectID": "17",
        "RequestAttributesSequence": [_item(RequestedProcedureID="1", ScheduledProcedureStepID="2")],
        "AcquisitionDate": "20240229", "AcquisitionTime": "101622", "SeriesDate": "20240229", "SeriesTime": "1016",
        "OperatorsName": "Zwiebelfisch^Bruno", "PhysiciansOfRecord": "Quacksalber^Egon", "SeriesDescription": "Thorax",
    },
    "CR": {
        "PlateID": "P-1", "CassetteID": "C-1", "KVP": "120", "DerivationDescription": "Zwiebelfisch", "Laterality": "",
        "ModalityLUTSequence": [
            _item(LUTDescriptor=[4, 0, 16], ModalityLUTType="US", LUTData=b"\0\0\1\0\2\0\3\0", LUTExplanation="Zwiebel")
        ],
        "RescaleIntercept": ..., "RescaleSlope": ..., "RescaleType": ...,
        "ContributingEquipmentSequence": [
            _item(Manufacturer="M", PurposeOfReferenceCodeSequence=[_code("109101", "DCM", "Acquisition Equipment")])
        ],
    },
    "SC": {"ConversionType": "DI", "SecondaryCaptureDeviceManufacturer": "M", "DateOfSecondaryCapture": "20240229"},
}  # fmt: skip
_OPTIONS = {
    "the profile": Options(),
    "all": Options(patient_characteristics=True, device=True, uids=True, shifted_dates=True),
}


def _errors(program: str, path: Path) -> set[str]:
    done = subprocess.run([program, path], capture_output=True, check=False)
    # "Error" is sometimes behind the name of what it is about.
    return {line for line in done.stderr.decode("utf-8", "replace").splitlines() if "Error" in line}


@pytest.mark.parametrize("options", _OPTIONS)
@pytest.mark.parametrize("full", [True, False], ids=["full", "bare"])
@pytest.mark.parametrize("modality", _FULL)
def test_no_new_error(
    tmp_path: Path, installed: Callable[[str, str], str], modality: str, options: str, *, full: bool
) -> None:
    dciodvfy = installed("dciodvfy", "dicom3tools")
    source = write_source(
        tmp_path / "image.dcm", modality, bits=8 if modality == "SC" else 12, **(_FULL[modality] if full else {})
    )
    made = deidentify(source.read_bytes(), tmp_path / "out", Pseudonyms(b"k" * 32), _OPTIONS[options])
    before, after = _errors(dciodvfy, source), _errors(dciodvfy, tmp_path / "out" / made.path)
    assert after - before == set()


def test_a_new_error_would_be_seen(tmp_path: Path, installed: Callable[[str, str], str]) -> None:
    from pydicom import dcmread

    dciodvfy = installed("dciodvfy", "dicom3tools")
    source = write_source(tmp_path / "image.dcm", "DX", **_FULL["DX"])
    image = dcmread(source)
    del image.StudyInstanceUID, image.AcquisitionContextSequence
    image.save_as(tmp_path / "broken.dcm")
    new = _errors(dciodvfy, tmp_path / "broken.dcm") - _errors(dciodvfy, source)
    assert len([line for line in new if "Missing attribute" in line]) == 2
