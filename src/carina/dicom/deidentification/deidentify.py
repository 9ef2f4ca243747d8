"""An image becomes a new one that no longer says whose it is.

The one function that the command line calls is `deidentify`.
"""

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydicom import dcmwrite
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import SecondaryCaptureImageStorage

from carina._version import __version__
from carina.dicom.answers.answer_attributes import NEVER_MISSING
from carina.dicom.coded_terms import item_of
from carina.dicom.computed_uids import required_uid
from carina.dicom.deidentification.cleaning import Cleaner
from carina.dicom.deidentification.pixels import BarePixels, bare_pixels
from carina.dicom.deidentification.profile import EDITION, Options
from carina.dicom.deidentification.pseudonyms import Pseudonyms
from carina.dicom.quiet import quiet
from carina.dicom.transport.accepted_syntaxes import STORAGE_CLASSES
from carina.dicom.transport.file_meta import new_meta
from carina.errors import InputError
from carina.radiographs.dicom.attributes import Attributes, read_attributes
from carina.radiographs.dicom.behind import all_elements
from carina.radiographs.dicom.limits import MAX_VALUE_BYTES
from carina.radiographs.dicom.outline import (
    Element,
    Encoding,
    Meta,
    begins_as,
    find_pixels,
    guess_encoding,
    read_meta,
)
from carina.radiographs.dicom.syntaxes import BIG_ENDIAN, CODINGS, READ, Coding
from carina.radiographs.dicom.tags import PIXEL_DATA
from carina.radiographs.radiograph import check_dimensions
from carina.storage.atomic import whole_file

_IDENTITY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_UNREADABLE = "its attributes cannot be read. Fetch the object again from where it came from."
_UNLOOKED_AT = "it does not say whether there is writing in its picture: look at it before you pass it on"


@dataclass(frozen=True, slots=True)
class Deidentified:
    """What was written of one image.

    Attributes
    ----------
    path
        ``<Study Instance UID>/<SOP Instance UID>.dcm`` below the folder that was named, both UIDs the new ones.
    sop_instance_uid
        The new one.
    notes
        Sentences that say what a person still has to look at.
    """

    path: Path
    sop_instance_uid: str
    notes: tuple[str, ...]


class WrittenBeforeError(InputError):
    """Another image with the same SOP Instance UID was written before.

    Attributes
    ----------
    path
        Of what was written, below the folder that was named.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            "another image with the same SOP Instance UID and other contents was written before. Find out which of the "
            "two has the right UID, and leave the other one out.",
            "written-before",
        )
        self.path = path


def deidentify(
    content: bytes, out: Path, pseudonyms: Pseudonyms, options: Options, *, pixels_looked_at: bool = False
) -> Deidentified:
    """Write an image without identity, and return what was written.

    The same image, key, options and version of Carina give the same bytes. An image that was written before is not
    written again.

    Parameters
    ----------
    content
        Of a DICOM file: a computed or digital radiograph, or a secondary capture of one frame.
    out
        The folder to write below.
    pseudonyms, options
        Give the new patients, UIDs and dates, and say what is kept beyond the Basic Profile.
    pixels_looked_at
        Whether somebody has seen that there is no name in the pictures of secondary captures that do not say so.

    Raises
    ------
    InputError
        If the file is no such image, cannot be read, or has writing in its picture. No message holds a value of the
        file or its path.
    WrittenBeforeError
        If another image of the same UID was written before.
    OSError
        If `out` cannot be written or the disk is full.
    """
    with quiet(_UNREADABLE):
        made, notes = _made(content, pseudonyms, options, pixels_looked_at=pixels_looked_at)
        stream = io.BytesIO()
        dcmwrite(stream, made, enforce_file_format=True)
    study, instance = str(made.StudyInstanceUID), str(made.SOPInstanceUID)
    written = Path(study, f"{instance}.dcm")
    path = out / written
    if not path.exists():
        with whole_file(path) as temporary:
            temporary.write_bytes(stream.getvalue())
    elif path.read_bytes() != stream.getvalue():
        raise WrittenBeforeError(written)
    return Deidentified(written, instance, notes)


def _made(
    content: bytes, pseudonyms: Pseudonyms, options: Options, *, pixels_looked_at: bool
) -> tuple[Dataset, tuple[str, ...]]:
    meta, coding, encoding, pixels = _outline(content)
    body = memoryview(content)
    elements = all_elements(body, meta.end, pixels, encoding, is_sequence=_is_sequence).content
    attributes = read_attributes(elements, encoding)
    layout = attributes.layout
    check_dimensions(layout.columns, layout.rows)
    source = read_dataset(io.BytesIO(elements), encoding.implicit, encoding.little)
    sop_class = _text(source, "SOPClassUID") or meta.sop_class or ""
    if sop_class not in STORAGE_CLASSES:
        msg = "it is no radiograph (CR, DX) and no secondary capture; only these are de-identified. Leave it out."
        raise InputError(msg, "not-a-radiograph")
    notes = _notes_on_pixels(attributes, sop_class, looked_at=pixels_looked_at)
    if coding not in ("native", "RLE") and _has_overlay_in_pixels(source):
        msg = "it keeps an overlay in unused bits of its compressed pixels. Export it uncompressed."
        raise InputError(msg, "identity-in-pixels")
    for keyword in _IDENTITY:
        uid = source.get(keyword) or (meta.sop_instance if keyword == "SOPInstanceUID" else None)
        setattr(source, keyword, required_uid(keyword, str(uid or ""), "it cannot be de-identified"))
    identity = _patient(source)
    cleaner = Cleaner(options, pseudonyms, identity, signed=layout.signed, little=encoding.little)
    # Read once more: of the first, values were decoded.
    made = cleaner.clean(read_dataset(io.BytesIO(elements), encoding.implicit, encoding.little))
    if "SOPInstanceUID" not in made:
        # Only the head of the file said it.
        uid = source.SOPInstanceUID
        made.SOPInstanceUID = uid if options.uids else pseudonyms.uid(uid)
    _set_identity(made, pseudonyms.patient(*identity), sop_class)
    _set_method(made, options)
    bare = bare_pixels(body, pixels, layout, coding, encoding, meta.transfer_syntax or "")
    _set_pixels(made, bare, layout.allocated, colour=layout.samples > 1)
    made.file_meta = new_meta(made, bare.transfer_syntax)
    return made, notes


def _outline(content: bytes) -> tuple[Meta, Coding, Encoding, Element]:
    """Return where what lies, after every element and sequence up to the pixels was held against its limits."""
    if begins_as(content) is None:
        msg = "this is not a DICOM file. Leave it out."
        raise InputError(msg, "unsupported-format")
    meta = read_meta(content)
    coding = "native" if meta.transfer_syntax is None else CODINGS.get(meta.transfer_syntax)
    if coding is None or coding == "deflated":
        msg = f"its transfer syntax is none that is read here ({READ}). Export it uncompressed."
        raise InputError(msg, "unsupported-format")
    guessed = guess_encoding(content, meta.end)
    little = guessed.little if meta.transfer_syntax is None else meta.transfer_syntax != BIG_ENDIAN
    encoding = Encoding(guessed.implicit, little=little)
    pixels = find_pixels(content, meta.end, encoding, is_sequence=_is_sequence)
    if pixels is None or pixels.tag != PIXEL_DATA:
        msg = "this DICOM object holds no image of whole numbers, and others are not de-identified. Leave it out."
        raise InputError(msg, "no-image")
    return meta, coding, encoding, pixels


@cache
def _is_sequence(tag: int) -> bool:
    try:
        return str(dictionary_VR(tag)) == "SQ"
    except KeyError:
        return False


def _text(source: Dataset, keyword: str) -> str:
    element = source.get_item(keyword)
    if isinstance(element, RawDataElement) and len(element.value or b"") > MAX_VALUE_BYTES:
        msg = f"its {keyword} has over {MAX_VALUE_BYTES:,} bytes. Check the file."
        raise InputError(msg, "too-large")
    return str(source.get(keyword) or "").strip("\0 ")


def _patient(source: Dataset) -> tuple[str, ...]:
    """Return what tells a patient from another: the number and who gave it out, or what there is instead."""
    if number := _text(source, "PatientID"):
        return ("id", number, _text(source, "IssuerOfPatientID"))
    if name := _text(source, "PatientName"):
        return ("name", name, _text(source, "PatientBirthDate"))
    return ("study", _text(source, "StudyInstanceUID"))


def _notes_on_pixels(attributes: Attributes, sop_class: str, *, looked_at: bool) -> tuple[str, ...]:
    """Refuse an image with writing in its picture, and return what is to be said of one that may have some."""
    burned_in = attributes.header.burned_in_annotation
    if burned_in:
        msg = "its header says that there is writing in its picture (BurnedInAnnotation). Blank it first."
        raise InputError(msg, "identity-in-pixels")
    if burned_in is False:
        return ()
    why = _why_like_a_capture(attributes, sop_class)
    if why is not None and not looked_at:
        msg = (
            f"{why}, and it does not say that there is no writing in its picture (BurnedInAnnotation NO). Look at the "
            "pictures; if there is no name in any of them, say so: --pixels-looked-at."
        )
        raise InputError(msg, "identity-in-pixels")
    return (_UNLOOKED_AT,)


def _why_like_a_capture(attributes: Attributes, sop_class: str) -> str | None:
    """Return why a picture may have been captured from a screen or a film, whatever its class; none where none does.

    Such pictures mostly carry a name. Detectors write none.
    """
    if sop_class == SecondaryCaptureImageStorage:
        return "it is a secondary capture"
    if "capture" in attributes.header.doubts:
        return "its header says that it was captured, digitised or converted (ImageType, ConversionType and the like)"
    if attributes.layout.samples > 1:
        return "it is in colour, which no detector is"
    if "burned in" in attributes.header.doubts:
        return "its BurnedInAnnotation is neither YES nor NO"
    return None


def _has_overlay_in_pixels(source: Dataset) -> bool:
    return any(
        (group << 16 | 0x0100) in source and (group << 16 | 0x3000) not in source for group in range(0x6000, 0x6020, 2)
    )


def _set_identity(made: Dataset, pseudonym: str, sop_class: str) -> None:
    made.SOPClassUID = sop_class
    made.PatientID = pseudonym
    # A name has parts; one without would be a form of name that the standard has retired.
    made.PatientName = pseudonym.replace("-", "^")
    for keyword in (*NEVER_MISSING, "Manufacturer"):
        if keyword not in made:
            setattr(made, keyword, None)


def _set_method(made: Dataset, options: Options) -> None:
    """Say what was done. Source: PS3.15 E.1.1, PS3.3 C.7.1.1 and C.12.1."""
    made.PatientIdentityRemoved = "YES"
    made.DeidentificationMethod = f"Carina {__version__}: PS3.15 {EDITION} Table E.1-1"[:64]
    made.DeidentificationMethodCodeSequence = [item_of(code) for code in options.codes]
    made.LongitudinalTemporalInformationModified = "MODIFIED" if options.shifted_dates else "REMOVED"
    if any(not str(element.value).isascii() for element in made.iterall() if element.VR != "SQ"):
        made.SpecificCharacterSet = "ISO_IR 192"


def _set_pixels(made: Dataset, bare: BarePixels, allocated: int, *, colour: bool) -> None:
    if colour and bare.by_pixel:
        made.PlanarConfiguration = 0
    made.add_new(PIXEL_DATA, "OW" if bare.by_pixel and allocated > 8 else "OB", bare.content)
    made["PixelData"].is_undefined_length = bare.by_pixel is None
