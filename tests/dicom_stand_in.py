"""A judge that needs no model: it answers an image with a Secondary Capture in the same study.

    python tests/dicom_stand_in.py SETTINGS.toml [--json]

listens with it. What the image's PatientComments say makes it break: "refuse", "crash", "hang" or "fail".
"""

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from carina.dicom.listener.judging import Judge, Refusal

ROOT = "2.25."
# In the environment: answer with other UIDs every time; judge nothing.
FRESH = "CARINA_STAND_IN_FRESH_UIDS"
HOLD = "CARINA_STAND_IN_HOLD"


def uid_of(*parts: str) -> str:
    """The same parts give the same UID, as a UUID's is made (PS3.5 B.2)."""
    return ROOT + str(int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:16], "big"))


def make_image(
    seed: int,
    *,
    side: int = 64,
    shape: tuple[int, int] | None = None,
    study: str | None = None,
    patient: str = "P1",
    comments: str = "",
    **tags: object,
) -> Dataset:
    """A small computed radiograph; the same seed gives the same one."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    image.SOPInstanceUID = uid_of("image", str(seed))
    image.StudyInstanceUID = study or uid_of("study", str(seed))
    image.SeriesInstanceUID = uid_of("series", str(seed))
    image.PatientName, image.PatientID = f"Doe^{patient}", patient
    image.PatientBirthDate, image.PatientSex = "19500101", "O"
    image.StudyDate = image.SeriesDate = "20260102"
    image.StudyTime, image.StudyID, image.AccessionNumber = "101500", "1", "A1"
    image.ReferringPhysicianName, image.Manufacturer = "", "Phantom"
    image.Modality, image.BodyPartExamined, image.ViewPosition = "CR", "CHEST", "PA"
    image.SeriesNumber = image.InstanceNumber = 1
    image.PatientComments = comments
    image.Columns, image.Rows = shape = shape or (side, side)
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    pixels = np.random.default_rng(seed).integers(0, 4096, shape[::-1], dtype=np.uint16)
    image.PixelData = pixels.tobytes()
    for keyword, value in tags.items():
        setattr(image, keyword, value)
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def write_image(path: Path, seed: int, **tags: object) -> Path:
    make_image(seed, **tags).save_as(path, enforce_file_format=True)  # type: ignore[arg-type]
    return path


def answer_to(image: Dataset) -> Dataset:
    """A Secondary Capture with the same patient and study, and UIDs that the image gives."""
    answer = Dataset()
    answer.file_meta = FileMetaDataset()
    answer.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    answer.SOPClassUID = SecondaryCaptureImageStorage
    fresh = str(time.time_ns()) if os.environ.get(FRESH) else ""
    answer.SOPInstanceUID = uid_of("answer", image.SOPInstanceUID, fresh)
    answer.SeriesInstanceUID = uid_of("answer series", image.SOPInstanceUID)
    for keyword in ("StudyInstanceUID", "PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        setattr(answer, keyword, image.get(keyword, ""))
    for keyword in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
        setattr(answer, keyword, image.get(keyword, ""))
    answer.Modality, answer.ConversionType, answer.Manufacturer = "OT", "WSD", "Carina"
    answer.SeriesNumber, answer.InstanceNumber = 900, 1
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    answer.SourceImageSequence = [reference]
    answer.Rows = answer.Columns = 8
    answer.SamplesPerPixel, answer.PhotometricInterpretation = 1, "MONOCHROME2"
    answer.BitsAllocated = answer.BitsStored = 8
    answer.HighBit, answer.PixelRepresentation = 7, 0
    answer.PixelData = bytes(64)
    answer.file_meta.MediaStorageSOPClassUID = answer.SOPClassUID
    answer.file_meta.MediaStorageSOPInstanceUID = answer.SOPInstanceUID
    return answer


def judge(stored: Path, folder: Path) -> Sequence[Path] | Refusal:
    if os.environ.get(HOLD):
        time.sleep(3600)
    image = dcmread(stored)
    wish = str(image.get("PatientComments", ""))
    if wish == "refuse":
        return Refusal("unsupported-format", "It is not wanted.")
    if wish == "crash":
        os._exit(3)
    if wish == "hang":
        time.sleep(3600)
    if wish == "fail":
        msg = f"{image.PatientName} {image.PatientID}"
        raise ValueError(msg)
    if wish.startswith("slow"):
        time.sleep(float(wish.split()[1]))
    path = folder / "answer.dcm"
    answer_to(image).save_as(path, enforce_file_format=True)
    return [path]


def factory() -> Judge:
    return judge


def main() -> None:
    from carina.dicom.listener.listener import listen
    from carina.dicom.transport.log import EventLog
    from carina.dicom.transport.settings import listen_settings, read_toml

    settings = listen_settings(read_toml(Path(sys.argv[1])))
    listen(settings, factory, EventLog(sys.stdout, as_json="--json" in sys.argv))


if __name__ == "__main__":
    main()
