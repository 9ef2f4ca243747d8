"""Every attribute that Carina reads from a DICOM header, and no other.

No patient's name or identifier is among those of an image that is judged (`TAGS`). Of the date of birth only the age
remains, which is computed from it, of UIDs only whether they are valid, and of who captured an image only whether
somebody is named. An import reads identifiers
(`IDENTIFIERS`), and gets their hashes. A worklist (`carina serve`) reads what its readers know a study by
(`STUDY_TAGS`).
"""

from types import MappingProxyType

TAGS = MappingProxyType(
    {
        "ImageType": 0x0008_0008,
        "SOPClassUID": 0x0008_0016,
        "SOPInstanceUID": 0x0008_0018,
        "StudyDate": 0x0008_0020,
        "SeriesDate": 0x0008_0021,
        "AcquisitionDate": 0x0008_0022,
        "ContentDate": 0x0008_0023,
        "Modality": 0x0008_0060,
        "ConversionType": 0x0008_0064,
        "PresentationIntentType": 0x0008_0068,
        "Manufacturer": 0x0008_0070,
        "CodeValue": 0x0008_0100,
        "AnatomicRegionSequence": 0x0008_2218,
        "PatientBirthDate": 0x0010_0030,
        "PatientAge": 0x0010_1010,
        "BodyPartExamined": 0x0018_0015,
        "SecondaryCaptureDeviceID": 0x0018_1010,
        "HardcopyCreationDeviceID": 0x0018_1011,
        "DateOfSecondaryCapture": 0x0018_1012,
        "TimeOfSecondaryCapture": 0x0018_1014,
        "SecondaryCaptureDeviceManufacturer": 0x0018_1016,
        "HardcopyDeviceManufacturer": 0x0018_1017,
        "SecondaryCaptureDeviceManufacturerModelName": 0x0018_1018,
        "SecondaryCaptureDeviceSoftwareVersions": 0x0018_1019,
        "HardcopyDeviceManufacturerModelName": 0x0018_101B,
        "VideoImageFormatAcquired": 0x0018_1022,
        "DigitalImageFormatAcquired": 0x0018_1023,
        "ShutterShape": 0x0018_1600,
        "ShutterLeftVerticalEdge": 0x0018_1602,
        "ShutterRightVerticalEdge": 0x0018_1604,
        "ShutterUpperHorizontalEdge": 0x0018_1606,
        "ShutterLowerHorizontalEdge": 0x0018_1608,
        "CenterOfCircularShutter": 0x0018_1610,
        "RadiusOfCircularShutter": 0x0018_1612,
        "VerticesOfThePolygonalShutter": 0x0018_1620,
        "CollimatorShape": 0x0018_1700,
        "CollimatorLeftVerticalEdge": 0x0018_1702,
        "CollimatorRightVerticalEdge": 0x0018_1704,
        "CollimatorUpperHorizontalEdge": 0x0018_1706,
        "CollimatorLowerHorizontalEdge": 0x0018_1708,
        "CenterOfCircularCollimator": 0x0018_1710,
        "RadiusOfCircularCollimator": 0x0018_1712,
        "VerticesOfThePolygonalCollimator": 0x0018_1720,
        "ViewPosition": 0x0018_5101,
        "StudyInstanceUID": 0x0020_000D,
        "SeriesInstanceUID": 0x0020_000E,
        "PatientOrientation": 0x0020_0020,
        "Laterality": 0x0020_0060,
        "ImageLaterality": 0x0020_0062,
        "SamplesPerPixel": 0x0028_0002,
        "PhotometricInterpretation": 0x0028_0004,
        "PlanarConfiguration": 0x0028_0006,
        "NumberOfFrames": 0x0028_0008,
        "Rows": 0x0028_0010,
        "Columns": 0x0028_0011,
        "PixelSpacing": 0x0028_0030,
        "PixelAspectRatio": 0x0028_0034,
        "BitsAllocated": 0x0028_0100,
        "BitsStored": 0x0028_0101,
        "HighBit": 0x0028_0102,
        "PixelRepresentation": 0x0028_0103,
        "PixelPaddingValue": 0x0028_0120,
        "PixelPaddingRangeLimit": 0x0028_0121,
        "BurnedInAnnotation": 0x0028_0301,
        "WindowCenter": 0x0028_1050,
        "WindowWidth": 0x0028_1051,
        "RescaleIntercept": 0x0028_1052,
        "RescaleSlope": 0x0028_1053,
        "VOILUTFunction": 0x0028_1056,
        "LossyImageCompression": 0x0028_2110,
        "ModalityLUTSequence": 0x0028_3000,
        "LUTDescriptor": 0x0028_3002,
        "LUTData": 0x0028_3006,
        "VOILUTSequence": 0x0028_3010,
        "FrameVOILUTSequence": 0x0028_9132,
        "PixelValueTransformationSequence": 0x0028_9145,
        "ViewCodeSequence": 0x0054_0220,
        "PresentationLUTShape": 0x2050_0020,
        "SharedFunctionalGroupsSequence": 0x5200_9229,
        "PerFrameFunctionalGroupsSequence": 0x5200_9230,
    }
)
# What says whose an image is, for an import alone.
IDENTIFIERS = MappingProxyType({"PatientID": 0x0010_0020, "PatientSex": 0x0010_0040})
# What a worklist shows of a study, beside the above.
STUDY_TAGS = MappingProxyType(
    {
        "AccessionNumber": 0x0008_0050,
        "StudyDescription": 0x0008_1030,
        "PatientName": 0x0010_0010,
        "IssuerOfPatientID": 0x0010_0021,
    }
)
# What a DICOMDIR is made of. Source: PS3.3 F.3.
DIRECTORY_TAGS = MappingProxyType({"DirectoryRecordSequence": 0x0004_1220, "ReferencedFileID": 0x0004_1500})
ALL_TAGS = MappingProxyType({**TAGS, **IDENTIFIERS, **STUDY_TAGS, **DIRECTORY_TAGS})
SEQUENCES = frozenset(ALL_TAGS[keyword] for keyword in ALL_TAGS if keyword.endswith("Sequence"))
LUT_DATA = TAGS["LUTData"]
# pydicom decodes it of any data set that it reads.
SPECIFIC_CHARACTER_SET = 0x0008_0005
KEYWORDS = MappingProxyType(
    {SPECIFIC_CHARACTER_SET: "SpecificCharacterSet"} | {tag: keyword for keyword, tag in ALL_TAGS.items()}
)
FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA = 0x7FE0_0008, 0x7FE0_0009, 0x7FE0_0010
ITEM, ITEM_END, SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
MEDIA_STORAGE_SOP_CLASS_UID, MEDIA_STORAGE_SOP_INSTANCE_UID = 0x0002_0002, 0x0002_0003
TRANSFER_SYNTAX_UID = 0x0002_0010
