"""A site to try: phantoms with invented patients, so that a newcomer sees a full worklist."""

import secrets
import shutil
from collections.abc import Sequence
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL.Image import open as open_image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian
from sqlalchemy import update

from carina.dicom.computed_uids import derived_uid
from carina.service.database.base import now
from carina.service.database.sessions import writing
from carina.service.database.study_tables import Study
from carina.service.intake.take import take
from carina.service.mode import change_mode
from carina.service.people.accounts import add_account
from carina.service.site_folder import open_site
from carina.service.site_settings import SETTINGS_FILE

ACCOUNT = "demo"
_FAMILIES = ("Adler", "Brook", "Cedar", "Dale", "Elm", "Field", "Grove", "Heath", "Iris", "Juniper", "Knoll", "Larch")
_GIVEN = (("Ada", "F"), ("Ben", "M"), ("Cleo", "F"), ("Dan", "M"), ("Eva", "F"), ("Finn", "M"), ("Gina", "F"))
_DEVICES = ("North Imaging", "South Imaging")
# The last ones came now, the first ones hours ago.
_HOURS = 2
_STORED_BITS = 12


def make_demo_site(folder: Path, model: Path, images: Sequence[Path]) -> str:
    """Write a site that is filled with images and return the password of its account, `ACCOUNT`.

    The site is live and sends nothing: it has no archive to send to. Nobody has read anything yet.

    Parameters
    ----------
    folder
        To write; an earlier one is replaced.
    model
        A run or bundle that judges.
    images
        Grey phantoms, 8 bits. Each becomes a DICOM object of an invented patient.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = (
        f'# A site to try, with synthetic images and invented patients.\nport = 0\nbundle = "{model.resolve()}"\n'
    )
    (folder / SETTINGS_FILE).write_text(settings, encoding="utf-8")
    password = secrets.token_urlsafe(12)
    site = open_site(folder)
    try:
        for number, image in enumerate(images):
            taken = take(site, _as_dicom(image, number), name=f"phantom-{number:03d}.dcm", source="folder")
            waited = timedelta(hours=_HOURS * (1 - (number + 1) / len(images)))
            with writing(site.engine) as session:
                # An image of a site that is not served yet: nobody else changes its row.
                arrived = update(Study).where(Study.id == getattr(taken, "study_id", None))
                session.execute(arrived.values(arrived_at=now() - waited))
        account = add_account(site.engine, ACCOUNT, password, "administrator")
        change_mode(site.engine, "live", "A site to try, with synthetic images", account_id=account)
    finally:
        site.close()
    return password


def _as_dicom(image: Path, number: int) -> bytes:
    """Return a phantom as a computed radiograph (PS3.3 A.2) of an invented patient."""
    grey = np.asarray(open_image(image).convert("L"), dtype=np.float32)
    rng = np.random.default_rng(number)
    family, (given, sex) = _FAMILIES[number % len(_FAMILIES)], _GIVEN[number % len(_GIVEN)]
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, derived_uid("demo", keyword, str(number)))
    dataset.PatientName, dataset.PatientID = f"{family}^{given}", f"DEMO{number % (len(_FAMILIES) * len(_GIVEN)):04d}"
    dataset.PatientSex, dataset.PatientAge = sex, f"{int(rng.integers(20, 90)):03d}Y"
    dataset.StudyDate = now().strftime("%Y%m%d")
    dataset.AccessionNumber, dataset.StudyDescription = f"D{number:05d}", "Chest"
    dataset.Modality, dataset.ViewPosition = "CR", str(rng.choice(["PA", "AP"]))
    dataset.BodyPartExamined, dataset.Manufacturer = "CHEST", str(rng.choice(_DEVICES))
    dataset.BurnedInAnnotation = "NO"
    dataset.Rows, dataset.Columns = grey.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, _STORED_BITS, _STORED_BITS - 1
    dataset.PixelRepresentation = 0
    white = 2**_STORED_BITS - 1
    dataset.WindowCenter, dataset.WindowWidth = (white + 1) / 2, white + 1
    dataset.PixelData = np.rint(grey * (white / 255)).astype("<u2").tobytes()
    written = BytesIO()
    dcmwrite(written, dataset, enforce_file_format=True)
    return written.getvalue()
