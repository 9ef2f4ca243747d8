"""What a data set says of its image, read with pydicom and given back as numbers and words of Carina's own."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from carina.errors import InputError
from carina.radiographs.dicom import terms
from carina.radiographs.dicom.outline import Encoding
from carina.radiographs.dicom.shapes import Shape, read_shapes
from carina.radiographs.dicom.showing import Display, read_display
from carina.radiographs.dicom.uids import bare_uid, is_uid
from carina.radiographs.dicom.values import Values, missing, read_values, silence
from carina.radiographs.doubts import Doubt, SingleValued, in_order
from carina.radiographs.header import Header, Modality

Photometric = Literal["MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"]
_PHOTOMETRICS: dict[str, Photometric] = {word: word for word in get_args(Photometric)}
_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_DATES_OF_THE_IMAGE = ("AcquisitionDate", "StudyDate", "SeriesDate", "ContentDate")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels are stored. Source: PS3.3 C.7.6.3.

    Attributes
    ----------
    rows, columns
        In pixels.
    samples, photometric
        1 for grey, 3 for colour, and what they mean.
    allocated, stored, high
        Bits of room for a value, bits of it that are used, and the highest of these.
    signed, by_plane
        Whether they are two's complement, and whether colours lie one after the other.
    """

    rows: int
    columns: int
    samples: int
    photometric: Photometric
    allocated: int
    stored: int
    high: int
    signed: bool
    by_plane: bool


@dataclass(frozen=True, slots=True, eq=False)
class Attributes:
    """All that a data set says of its image.

    Attributes
    ----------
    layout, display, shapes, header
        See there; the header as far as the data set says it.
    """

    layout: Layout
    display: Display
    shapes: tuple[Shape, ...]
    header: Header


def read_attributes(data_set: bytes | memoryview, encoding: Encoding) -> Attributes:
    """Return what the elements of a data set, up to the pixels, say of its image.

    Only what `carina.radiographs.dicom.outline.find_pixels` has walked may be handed over.

    Raises
    ------
    InputError
        If it says that it is no radiograph or several, or an attribute that none can do without is missing or means
        nothing, and which.
    """
    with silence():
        return attributes_of(read_values(data_set, encoding))


def require_foreign(values: Values) -> None:
    """Refuse an object that Carina itself wrote, with an InputError."""
    if terms.OWN_MANUFACTURER in (word.strip(" \0") for word in values.words("Manufacturer")):
        msg = "this is an answer that Carina wrote, and no radiograph. Leave it out."
        raise InputError(msg, "own-answer")


def attributes_of(reader: Values) -> Attributes:
    """Return what the values of a data set say of its image; see `read_attributes`."""
    require_foreign(reader)
    sop_class = reader.single("SOPClassUID")
    modality, other = terms.modality_of(reader.distinct("Modality"), sop_class)
    if other is not None:
        msg = f"its header says that its modality is {other}, which makes no chest radiographs. Leave it out."
        raise InputError(msg, "not-a-radiograph")
    if (reader.whole("NumberOfFrames", 0, 2**31 - 1) or 1) != 1:
        msg = "its header says that it holds several frames. Export the one radiograph as a file of its own."
        raise InputError(msg, "animated")
    layout = _layout(reader)
    orientation = (reader.word("PatientOrientation"), reader.word("PatientOrientation", 1))
    display, doubts = read_display(reader, is_grey=layout.samples == 1)
    age, doubt_of_age = _age(reader)
    burned_in, doubt_of_writing = _burned_in(reader)
    outlines, doubt_of_outlines = read_shapes(reader)
    doubts |= doubt_of_age | doubt_of_writing | doubt_of_outlines | _contradictions(reader, modality, sop_class)
    square = _are_square(reader)
    if reader.has_decimal_comma:
        doubts.add("decimal comma")
    header = Header(
        modality=modality,
        region=terms.region_of(reader.distinct("BodyPartExamined"), reader.codes("AnatomicRegionSequence")),
        view=terms.view_of(reader.distinct("ViewPosition"), reader.codes("ViewCodeSequence")),
        age_years=age,
        laterality=terms.side_of(reader.single("ImageLaterality") or reader.single("Laterality")),
        rows_run_to=terms.direction_of(orientation[0]),
        columns_run_to=terms.direction_of(orientation[1]),
        burned_in_annotation=burned_in,
        for_processing="FOR PROCESSING" in (word.upper() for word in reader.distinct("PresentationIntentType"))
        or sop_class == terms.DX_FOR_PROCESSING,
        lossy={"01": True, "00": False}.get(reader.single("LossyImageCompression") or ""),
        square_pixels=square,
        polarity_contradicted=layout.photometric == "MONOCHROME1" and display.inverse is False,
        doubts=in_order(doubts),
        several=reader.several,
    )
    return Attributes(layout, display, outlines, header)


def _contradictions(reader: Values, modality: Modality | None, sop_class: str | None) -> set[Doubt]:
    """Return where two attributes contradict each other on what the image is, or what else it is but a radiograph."""
    regions = (reader.distinct("BodyPartExamined"), reader.codes("AnatomicRegionSequence"))
    views = (reader.distinct("ViewPosition"), reader.codes("ViewCodeSequence"))
    found: tuple[tuple[Doubt, bool], ...] = (
        ("modality", terms.contradicts_class(modality, sop_class)),
        ("region", terms.region_contradicted(*regions)),
        ("view", terms.view_contradicted(*views)),
        ("capture", _is_captured(reader, sop_class)),
        ("uid", not all(is_uid(bare_uid(reader.text(keyword))) for keyword in _UIDS if reader.holds(keyword))),
    )
    return {doubt for doubt, holds in found if holds}


def _is_captured(reader: Values, sop_class: str | None) -> bool:
    return (
        sop_class == terms.SECONDARY_CAPTURE
        or terms.is_type_of_capture(reader.words("ImageType"))
        or any(reader.holds(keyword) for keyword in terms.OF_CAPTURES)
    )


def _age(reader: Values) -> tuple[float | None, set[Doubt]]:
    """Return the patient's age in years, the lowest where there are several, and what is to be said of it."""
    dates = (reader.word(keyword) for keyword in _DATES_OF_THE_IMAGE)
    taken = next((date for date in dates if date and terms.is_date(date)), None)
    birth, stated = reader.single("PatientBirthDate"), reader.distinct("PatientAge")
    ages = [(terms.age_of(age, birth, taken), terms.age_doubt(age, birth, taken)) for age in stated or (None,)]
    years = min((age for age, _ in ages if age is not None), default=None)
    return years, {doubt for _, doubt in ages if doubt is not None}


def _burned_in(reader: Values) -> tuple[bool | None, set[Doubt]]:
    """Return whether writing is burned into the pixels; none where the header does not say, or not in known words."""
    words = {word.upper() for word in reader.distinct("BurnedInAnnotation")}
    if "YES" in words:
        return True, set()
    if words <= {"NO"}:
        return (False if words else None), set()
    return None, {"burned in"}


def _layout(reader: Values) -> Layout:
    rows, columns = reader.needed("Rows", 1, 65_535), reader.needed("Columns", 1, 65_535)
    allocated = reader.needed("BitsAllocated", 1, 64)
    keyword: SingleValued = "PhotometricInterpretation"
    words = {word.upper() for word in reader.distinct(keyword)}
    if not words:
        raise missing(keyword)
    if len(words) > 1:
        msg = "it has several values of PhotometricInterpretation, which contradict each other. Export it again."
        raise InputError(msg, "unreadable-file")
    (word,) = words
    if word not in _PHOTOMETRICS:
        msg = "its PhotometricInterpretation is none of MONOCHROME1, MONOCHROME2, RGB and YBR. Export it as grey image."
        raise InputError(msg, "unsupported-format")
    photometric = _PHOTOMETRICS[word]
    samples = reader.whole("SamplesPerPixel", 0, 65_535) or 1
    if samples != (1 if photometric.startswith("MONO") else 3):
        msg = "its SamplesPerPixel and PhotometricInterpretation contradict each other. Export it again as grey image."
        raise InputError(msg, "unreadable-file")
    # Without these the whole room for a value is taken to be used.
    stored = reader.whole("BitsStored", 0, 64) or allocated
    high = reader.whole("HighBit", 0, 64)
    high = stored - 1 if high is None else high
    _check_bits(allocated, stored, high)
    signed = reader.whole("PixelRepresentation", 0, 1) == 1
    by_plane = samples > 1 and reader.whole("PlanarConfiguration", 0, 1) == 1
    return Layout(rows, columns, samples, photometric, allocated, stored, high, signed, by_plane)


def _check_bits(allocated: int, stored: int, high: int) -> None:
    """Refuse bits that are not read here, or that do not fit into each other."""
    if allocated not in (8, 16):
        msg = f"its header gives each pixel {allocated} bits (BitsAllocated); 8 or 16 are read. Export it with these."
        raise InputError(msg, "unsupported-format")
    if not 1 <= stored <= allocated:
        msg = (
            f"its header contradicts itself: it uses {stored} bits of a pixel (BitsStored), and a pixel has "
            f"{allocated} (BitsAllocated). Export it again."
        )
        raise InputError(msg, "unreadable-file")
    if not stored - 1 <= high < allocated:
        msg = (
            f"its header contradicts itself: of {stored} used bits in {allocated} (BitsStored, BitsAllocated) the "
            f"highest cannot be bit {high} (HighBit). Export it again."
        )
        raise InputError(msg, "unreadable-file")


def _are_square(reader: Values) -> bool:
    for keyword in ("PixelAspectRatio", "PixelSpacing"):
        down, across = reader.number(keyword), reader.number(keyword, 1)
        if down and across and not math.isclose(down, across, rel_tol=0.01):
            return False
    return True
