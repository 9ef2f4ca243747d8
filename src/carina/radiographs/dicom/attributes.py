"""What a data set says of its image, read with pydicom and given back as numbers and words of Carina's own."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from carina.errors import InputError
from carina.radiographs.dicom import terms
from carina.radiographs.dicom.outline import Encoding
from carina.radiographs.dicom.values import Lut, Values, missing, read_values, silence
from carina.radiographs.header import Header

Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]
Photometric = Literal["MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"]
_PHOTOMETRICS: dict[str, Photometric] = {
    "MONOCHROME1": "MONOCHROME1",
    "MONOCHROME2": "MONOCHROME2",
    "RGB": "RGB",
    "YBR_FULL": "YBR_FULL",
    "YBR_FULL_422": "YBR_FULL_422",
    "YBR_ICT": "YBR_ICT",
    "YBR_RCT": "YBR_RCT",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels are stored. Source: PS3.3 C.7.6.3.

    Attributes
    ----------
    rows, columns
        In pixels.
    samples
        1 for grey, 3 for colour.
    photometric
        What they mean.
    allocated, stored, high
        Bits of room for a value, bits of it that are used, and the highest of these.
    signed
        Whether they are two's complement.
    by_plane
        Whether colours lie one after the other.
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


@dataclass(frozen=True, slots=True)
class Window:
    """A window. Source: PS3.3 C.11.2.1.2."""

    centre: float
    width: float
    function: Function


@dataclass(frozen=True, slots=True, eq=False)
class Display:
    """How stored values are to be shown.

    Attributes
    ----------
    modality_lut, slope, intercept
        The first step: a table, or where there is none a line.
    voi_lut, window
        The second: a table, or where there is none a window, or neither.
    inverse
        Whether PresentationLUTShape is INVERSE; none where it says nothing.
    padding
        The lowest and highest stored value that only fill the image up, 16 bits as they stand; none where none do.
    """

    modality_lut: Lut | None
    slope: float
    intercept: float
    voi_lut: Lut | None
    window: Window | None
    inverse: bool | None
    padding: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Shape:
    """An outline of what is to be seen, by a shutter or a collimator. Source: PS3.3 C.7.6.11, C.8.7.3.

    Attributes
    ----------
    edges
        Left, right, upper and lower, counted from 1, the edges themselves to be seen.
    centre, radius
        Row and column, counted from 1, and pixels.
    vertices
        Rows and columns in turn, counted from 1.
    """

    edges: tuple[float, float, float, float] | None = None
    centre: tuple[float, float] | None = None
    radius: float | None = None
    vertices: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Attributes:
    """All that a data set says of its image.

    Attributes
    ----------
    layout, display, shapes
        See there.
    header
        What bears on whether it may be judged, as far as it stands in the data set.
    """

    layout: Layout
    display: Display
    shapes: tuple[Shape, ...]
    header: Header


def read_attributes(data_set: bytes | memoryview, encoding: Encoding) -> Attributes:
    """Return what a data set says of its image.

    Parameters
    ----------
    data_set
        Its elements up to the pixels, which `carina.radiographs.dicom.outline.find_pixels` has walked.
    encoding
        Of its elements.

    Raises
    ------
    InputError
        If it says that it is no radiograph or several, or an attribute that none can do without is missing or means
        nothing, and which.
    """
    with silence():
        return attributes_of(read_values(data_set, encoding))


def require_foreign(values: Values) -> None:
    """Refuse an object that Carina itself wrote.

    Raises
    ------
    InputError
        If it is one.
    """
    if values.word("Manufacturer") == terms.OWN_MANUFACTURER:
        msg = "this is an answer that Carina wrote, and no radiograph. Leave it out."
        raise InputError(msg, "own-answer")


def attributes_of(reader: Values) -> Attributes:
    """Return what the values of a data set say of its image; see `read_attributes`."""
    require_foreign(reader)
    sop_class = reader.word("SOPClassUID")
    modality, other = terms.modality_of(reader.word("Modality"), sop_class)
    if other is not None:
        msg = f"its header says that its modality is {other}, which makes no chest radiographs. Leave it out."
        raise InputError(msg, "not-a-radiograph")
    if (reader.whole("NumberOfFrames") or 1) != 1:
        msg = "its header says that it holds several frames. Export the one radiograph as a file of its own."
        raise InputError(msg, "animated")
    layout = _layout(reader)
    orientation = (reader.word("PatientOrientation"), reader.word("PatientOrientation", 1))
    display = _display(reader)
    burned_in, lossy = reader.word("BurnedInAnnotation"), reader.word("LossyImageCompression")
    header = Header(
        modality=modality,
        region=terms.region_of(reader.word("BodyPartExamined"), reader.codes("AnatomicRegionSequence")),
        view=terms.view_of(reader.word("ViewPosition"), reader.codes("ViewCodeSequence")),
        age_years=terms.age_of(
            reader.word("PatientAge"),
            reader.word("PatientBirthDate"),
            reader.word("AcquisitionDate") or reader.word("StudyDate"),
        ),
        laterality=terms.side_of(reader.word("ImageLaterality") or reader.word("Laterality")),
        rows_run_to=terms.direction_of(orientation[0]),
        columns_run_to=terms.direction_of(orientation[1]),
        burned_in_annotation={"YES": True, "NO": False}.get((burned_in or "").upper()),
        for_processing=reader.word("PresentationIntentType") == "FOR PROCESSING"
        or sop_class == terms.DX_FOR_PROCESSING,
        lossy={"01": True, "00": False}.get(lossy or ""),
        square_pixels=_are_square(reader),
        polarity_contradicted=layout.photometric == "MONOCHROME1" and display.inverse is False,
    )
    shapes = tuple(shape for kind in ("Shutter", "Collimator") for shape in _shapes(reader, kind))
    return Attributes(layout, display, shapes, header)


def _layout(reader: Values) -> Layout:
    rows, columns = reader.needed("Rows", 1, 65_535), reader.needed("Columns", 1, 65_535)
    allocated = reader.needed("BitsAllocated", 1, 64)
    word = (reader.word("PhotometricInterpretation") or "").upper()
    if not word:
        raise missing("PhotometricInterpretation")
    if word not in _PHOTOMETRICS:
        msg = "its PhotometricInterpretation is none of MONOCHROME1, MONOCHROME2, RGB and YBR. Export it as grey image."
        raise InputError(msg, "unsupported-format")
    photometric = _PHOTOMETRICS[word]
    samples = reader.whole("SamplesPerPixel") or 1
    if samples != (1 if photometric.startswith("MONO") else 3):
        msg = "its SamplesPerPixel and PhotometricInterpretation contradict each other. Export it again as grey image."
        raise InputError(msg, "unreadable-file")
    # Without these the whole room for a value is taken to be used.
    stored = reader.whole("BitsStored") or allocated
    high = reader.whole("HighBit")
    high = stored - 1 if high is None else high
    if allocated not in (8, 16) or not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        msg = (
            "its BitsAllocated, BitsStored and HighBit are not those of 8 or 16 bits with all that are used in them. "
            "Export it as 8- or 16-bit grey image."
        )
        raise InputError(msg, "unsupported-format")
    signed, by_plane = reader.whole("PixelRepresentation") == 1, reader.whole("PlanarConfiguration") == 1
    return Layout(rows, columns, samples, photometric, allocated, stored, high, signed, by_plane)


def _display(reader: Values) -> Display:
    centre, width = reader.number("WindowCenter"), reader.number("WindowWidth")
    word = (reader.word("VOILUTFunction") or "LINEAR").upper()
    function: Function = "LINEAR_EXACT" if word == "LINEAR_EXACT" else "SIGMOID" if word == "SIGMOID" else "LINEAR"
    window = None
    if centre is not None and width is not None and width >= (1 if function == "LINEAR" else np.finfo(float).tiny):
        window = Window(centre, width, function)
    shape = (reader.word("PresentationLUTShape") or "").upper()
    padding = reader.pattern("PixelPaddingValue")
    limit = reader.pattern("PixelPaddingRangeLimit")
    slope = reader.number("RescaleSlope")
    return Display(
        modality_lut=reader.lut("ModalityLUTSequence"),
        # A slope of 0 would make everything the same: it is taken for missing.
        slope=slope or 1.0,
        intercept=(reader.number("RescaleIntercept") or 0.0) if slope != 0 else 0.0,
        voi_lut=reader.lut("VOILUTSequence"),
        window=window,
        inverse={"INVERSE": True, "IDENTITY": False}.get(shape),
        padding=None if padding is None else (padding, padding if limit is None else limit),
    )


def _shapes(reader: Values, kind: str) -> Iterator[Shape]:
    """Yield each outline that ShutterShape or CollimatorShape names and describes; bitmaps are not among them."""
    for place in range(3):
        named = reader.word(f"{kind}Shape", place)
        if named == "RECTANGULAR":
            edges = [
                reader.number(f"{kind}{edge}Edge")
                for edge in ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")
            ]
            left, right, upper, lower = edges
            if left is not None and right is not None and upper is not None and lower is not None:
                yield Shape(edges=(left, right, upper, lower))
        elif named == "CIRCULAR":
            row, column = reader.number(f"CenterOfCircular{kind}"), reader.number(f"CenterOfCircular{kind}", 1)
            radius = reader.number(f"RadiusOfCircular{kind}")
            if row is not None and column is not None and radius is not None:
                yield Shape(centre=(row, column), radius=radius)
        elif named == "POLYGONAL":
            vertices = reader.numbers(f"VerticesOfThePolygonal{kind}")
            if len(vertices) >= 6:
                yield Shape(vertices=vertices[: len(vertices) // 2 * 2])


def _are_square(reader: Values) -> bool:
    for keyword in ("PixelAspectRatio", "PixelSpacing"):
        down, across = reader.number(keyword), reader.number(keyword, 1)
        if down and across and not math.isclose(down, across, rel_tol=0.01):
            return False
    return True
