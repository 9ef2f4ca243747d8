"""The image that was judged, as far as answers need it: who and what it is, when it was made, and what is seen of it.

Its pixels are not read here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from carina.dicom.answers.answer_attributes import CARRIED, MANUFACTURER, OF_PIXELS
from carina.dicom.computed_uids import IMPLEMENTATION_CLASS_UID, required_uid
from carina.dicom.quiet import FROM_VALUES, quiet
from carina.errors import InputError
from carina.radiographs.dicom.attributes import read_attributes
from carina.radiographs.dicom.decode import walk
from carina.radiographs.dicom.outline import read_meta
from carina.radiographs.dicom.shutter import find_visible
from carina.radiographs.file_kind import HEAD_BYTES
from carina.radiographs.read import read_bytes, read_head

_DATE = re.compile(r"\d{8}")
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?")
# When the image was made, the first that is there and is a date.
_MOMENTS = (
    ("ContentDate", "ContentTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)
_LENGTH = re.compile(r"\d{0,6}(\.\d*)?([eE][+-]?\d)?(?<=\d)")
_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
_IMAGE = (
    *("InstanceNumber", "Modality", "ViewPosition", "Manufacturer", "AcquisitionDateTime", "PixelSpacing"),
    "ImagerPixelSpacing",
)
# Name and number of the patient: no answer is written without what the image says of them.
_WHOSE = (0x0010_0010, 0x0010_0020)
# Codes and identifiers take a few dozen; a sequence of thousands would be copied into every answer.
_MOST_IN_SEQUENCE = 500
_UNREADABLE = "its attributes cannot be read. Fetch the object again from where it came from."
_OWN = "this is an answer that Carina wrote, and no radiograph. Leave it out."


@dataclass(frozen=True, slots=True)
class Source:
    """An image as answers refer to it.

    Attributes
    ----------
    study_uid, series_uid, sop_class_uid, sop_instance_uid
        Which it is.
    moment
        Date and time at which it was made, ``("YYYYMMDD", "HHMMSS")`` as in DICOM; none where it does not say.
    attributes
        What is carried over into answers (`carina.dicom.answers.answer_attributes`), and what they say of its pixels.
    rows, columns
        Of the stored image.
    visible
        What of it was judged, by its shutter and collimator: top, left, bottom, right in pixels.
    """

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    moment: tuple[str, str] | None
    attributes: Dataset
    rows: int
    columns: int
    visible: tuple[int, int, int, int]

    @property
    def pixel_spacing_mm(self) -> tuple[float, float] | None:
        """Return how far rows and columns lie apart, in the patient or on the detector; none where it is not said."""
        for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
            said = self.texts(keyword)
            if len(said) == 2 and all(_LENGTH.fullmatch(side) and float(side) > 0 for side in said):
                return float(said[0]), float(said[1])
        return None

    @property
    def instance_number(self) -> int:
        """Return its number within its series, or 1 where it has none."""
        try:
            return max(1, int(str(self.attributes.get("InstanceNumber"))))
        except ValueError:
            return 1

    def text(self, keyword: str, place: int = 0) -> str:
        """Return a value as text, the first of several or another, or nothing."""
        texts = self.texts(keyword)
        return texts[place] if place < len(texts) else ""

    def texts(self, keyword: str) -> list[str]:
        """Return all values as text; none where there are none."""
        value = self.attributes.get(keyword)
        if value is None:
            return []
        several = not isinstance(value, str) and hasattr(value, "__getitem__")
        return [str(each).strip() for each in (value if several else [value])]


def require_foreign_dicom(image: Path | bytes) -> None:
    """Refuse a file that is not DICOM, or that Carina itself wrote. Only its first bytes are looked at.

    It is named by its path, or given as its bytes.

    Raises
    ------
    InputError
        If it is so, or cannot be read.
    """
    # Where the beginning cannot be read, reading all says why.
    head = image[:HEAD_BYTES] if isinstance(image, bytes) else read_head(image) or read_bytes(image)
    if head[128:132] != b"DICM":
        msg = "this is not a DICOM file: answers in DICOM belong to a DICOM image. For others type: carina predict."
        raise InputError(msg, "unsupported-format")
    if IMPLEMENTATION_CLASS_UID.encode("ascii") in head:
        raise InputError(_OWN, "own-answer")


def read_source(image: Path | bytes) -> Source:
    """Return what answers need of an image, which is named by its path or given as its bytes.

    It is to be called for files that were judged, and so read with limits.

    Raises
    ------
    InputError
        If a UID that a reference needs is missing or is none, the attributes cannot be read, or Carina itself wrote
        the image.
    """
    content = image if isinstance(image, bytes) else read_bytes(image)
    with quiet(_UNREADABLE):
        meta = read_meta(content)
        # What it inflates to is nothing that anybody asked for.
        if meta.transfer_syntax == DeflatedExplicitVRLittleEndian:
            msg = "it is deflated, which is not read. Store it again without that transfer syntax."
            raise InputError(msg, "unsupported-format")
        walked = walk(content, deflated=False)
        read = read_attributes(walked.header, walked.encoding)
        rows, columns = read.layout.rows, read.layout.columns
        wanted = [*_IDENTITY, *_IMAGE, *CARRIED, *OF_PIXELS, *(keyword for pair in _MOMENTS for keyword in pair)]
        tags = [tag for keyword in wanted if (tag := tag_for_keyword(keyword)) is not None]
        encoding = walked.encoding
        found = read_dataset(BytesIO(walked.header), encoding.implicit, encoding.little, specific_tags=tags)
        attributes = _decoded(found)
        said = {keyword: str(attributes.get(keyword) or "") for keyword in _IDENTITY}
        said["SOPClassUID"] = said["SOPClassUID"] or meta.sop_class or ""
        said["SOPInstanceUID"] = said["SOPInstanceUID"] or meta.sop_instance or ""
        uids = {keyword: required_uid(keyword, uid, "no answer can refer to it") for keyword, uid in said.items()}
        source = Source(
            study_uid=uids["StudyInstanceUID"],
            series_uid=uids["SeriesInstanceUID"],
            sop_class_uid=uids["SOPClassUID"],
            sop_instance_uid=uids["SOPInstanceUID"],
            moment=_moment(attributes),
            attributes=attributes,
            rows=rows,
            columns=columns,
            visible=find_visible(read.shapes, rows, columns).box,
        )
        # An object that went through a PACS has the PACS's file meta information.
        if source.text("Manufacturer") == MANUFACTURER:
            raise InputError(_OWN, "own-answer")
        return source


def _decoded(found: Dataset) -> Dataset:
    """Return the attributes that can be read, each decoded; what cannot is left out.

    Decoding now has any trouble with a value here, and not while answers are written.
    """
    attributes = Dataset()
    for tag in list(found.keys()):
        try:
            element = found[tag]
            if element.VR == "SQ":
                if not _is_small(element.value):
                    continue
            else:
                str(element.value)
        except (*FROM_VALUES, OSError):  # the value is in memory by now: an OSError is pydicom's own
            if tag in _WHOSE:
                # The error that is handled may quote the value.
                raise InputError(_UNREADABLE, "unreadable-file") from None
            continue
        attributes.add(element)
    return attributes


def _is_small(items: Sequence[Dataset]) -> bool:
    """Return whether a sequence is one that an answer may carry, after each of its values was decoded."""
    for number, inner in enumerate(inner for item in items for inner in item.iterall()):
        if number > _MOST_IN_SEQUENCE:
            return False
        str(inner.value)
    return True


def _moment(attributes: Dataset) -> tuple[str, str] | None:
    for date_of, time_of in _MOMENTS:
        day, time = (str(attributes.get(keyword) or "").strip("\0 ") for keyword in (date_of, time_of))
        if date_of == "AcquisitionDate" and not day:
            whole = str(attributes.get("AcquisitionDateTime") or "").strip("\0 ")
            # Without an offset from UTC behind it.
            day, time = whole[:8], re.split(r"[+-]", whole[8:])[0]
        if _is_date(day):
            return day, time if _TIME.fullmatch(time) else "000000"
    return None


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False
