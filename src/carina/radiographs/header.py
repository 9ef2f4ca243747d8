"""What a file's header says of its radiograph, as far as it bears on whether and how it may be judged.

A header holds names, dates and numbers of patients. None of that is here: every field is a number, a yes or no, or one
of a few words of Carina's own, so that nothing that a file says can be passed on by printing it.
"""

from dataclasses import dataclass
from typing import Literal

from carina.radiographs.doubts import Doubt, SingleValued

Modality = Literal["CR", "DX", "RG", "OT"]
Region = Literal["chest", "elsewhere", "unknown"]
View = Literal["PA", "AP", "frontal", "lateral", "oblique", "decubitus", "unknown"]
Side = Literal["left", "right", "both", "unpaired"]
Direction = Literal["left", "right", "front", "back", "head", "feet"]
ShownBy = Literal["lookup table", "window", "own range", "own range without outliers", "colour"]


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    Attributes
    ----------
    modality
        A defined term of a modality that makes radiographs (CR, DX, RG, OT); none where the header names none.
    region, view
        The part of the body, and how the beam went; "unknown" where words are used that Carina does not know, none
        where there are none.
    age_years
        Of the patient, when the image was made; none where the header does not say.
    laterality
        Of a paired body part.
    rows_run_to, columns_run_to
        Where in the patient a row's end and a column's end lie (PatientOrientation).
    burned_in_annotation
        Whether writing is burned into the pixels that may name the patient.
    for_processing
        Whether these are raw detector values that were never meant to be looked at.
    lossy, square_pixels
        Whether the image was ever compressed with loss, and whether a pixel is as high as it is wide.
    shown_by
        What gave the grey values their display range.
    polarity_contradicted
        Whether PhotometricInterpretation and PresentationLUTShape say opposite things of black and white.
    crop, shutter_ignored
        What was kept of the stored image, by its shutter and collimator (top, left, bottom, right in pixels); and
        whether these were not followed, because they leave next to nothing of the image.
    preamble_is_program
        Whether the file's first bytes also make it a program that a computer would run.
    doubts
        What is there and was not used, or contradicts something else; in the order of `Doubt`.
    several
        Attributes with several values where there should be one.
    """

    modality: Modality | None = None
    region: Region | None = None
    view: View | None = None
    age_years: float | None = None
    laterality: Side | None = None
    rows_run_to: Direction | None = None
    columns_run_to: Direction | None = None
    burned_in_annotation: bool | None = None
    for_processing: bool = False
    lossy: bool | None = None
    square_pixels: bool = True
    shown_by: ShownBy = "own range"
    polarity_contradicted: bool = False
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    shutter_ignored: bool = False
    preamble_is_program: bool = False
    doubts: tuple[Doubt, ...] = ()
    several: tuple[SingleValued, ...] = ()
