"""Radiographs as DICOM files, as a modality would write them, of nobody; and the reading of them for tests."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from carina.phantoms.phantom import draw_phantom

SOP_CLASSES = {
    "CR": ComputedRadiographyImageStorage,
    "DX": DigitalXRayImageStorageForPresentation,
    "SC": SecondaryCaptureImageStorage,
}
# Planted: none of these may ever be said.
IDENTIFIERS = {
    "PatientName": "Zwiebelfisch^Aurelia",
    "PatientID": "MRN-4711-XYZZY",
    "PatientBirthDate": "19410203",
    "AccessionNumber": "ACC8086",
    "ReferringPhysicianName": "Quacksalber^Bruno",
    "StudyID": "STUDYQ77",
    "StudyDescription": "THORAX PLUGH",
    "InstitutionName": "Klinikum Xyzzy",
}


def make_source(
    modality: str = "DX",
    *,
    seed: int = 1,
    finding: str = "COVID-19",
    size: int = 256,
    inverse: bool = False,
    bits: int = 12,
    colour: bool = False,
    **attributes: Any,
) -> Dataset:
    """Return a phantom as an image of a modality; an attribute that is given as `...` is left out."""
    grey = draw_phantom(finding, seed=seed, size=size).pixels
    pixels = grey if bits == 8 else (grey.astype(np.uint16) << (bits - 8))
    if inverse:
        pixels = (2**bits - 1 - pixels.astype(np.int32)).astype(pixels.dtype)
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 100"
    image.SOPClassUID = SOP_CLASSES[modality]
    for number, keyword in enumerate(("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"), start=1):
        setattr(image, keyword, f"1.2.826.0.1.3680043.8.498.{number}.{seed if number < 3 else 1}")
    for keyword, value in IDENTIFIERS.items():
        setattr(image, keyword, value)
    image.PatientSex, image.PatientAge = "F", "081Y"
    image.StudyDate, image.StudyTime = "20240229", "101500"
    image.ContentDate, image.ContentTime = "20240229", "101622.5"
    image.Modality = "OT" if modality == "SC" else modality
    image.Manufacturer, image.SeriesNumber, image.InstanceNumber = "Makers of detectors", 1, 3
    image.BodyPartExamined, image.ViewPosition = "CHEST", "PA"
    image.PatientOrientation = ["L", "F"]
    image.BurnedInAnnotation, image.ImageType = "NO", ["ORIGINAL", "PRIMARY"]
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME1" if inverse else "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = (8 if bits == 8 else 16), bits, bits - 1
    image.PixelRepresentation = 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = 0, 1, "US"
    image.WindowCenter, image.WindowWidth = 2 ** (bits - 1), 2**bits
    image.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    if colour:
        pixels = np.stack([pixels] * 3, axis=-1)
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.PixelData = pixels.tobytes()
    image["PixelData"].VR = "OB" if bits == 8 else "OW"
    for keyword, value in attributes.items():
        if value is ...:
            delattr(image, keyword)
        else:
            setattr(image, keyword, value)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def write_source(path: Path, modality: str = "DX", **settings: Any) -> Path:
    """Write such an image, with broken values as they are."""
    stream = BytesIO()
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        image = make_source(modality, **settings)
        # Without the identity that a file's head needs, tests may want it, too.
        if "SOPInstanceUID" not in image:
            image.file_meta.MediaStorageSOPInstanceUID = image.file_meta.MediaStorageSOPClassUID = "1.2.3"
        dcmwrite(stream, image, enforce_file_format=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stream.getvalue())
    return path
