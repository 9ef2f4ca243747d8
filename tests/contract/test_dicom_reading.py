"""A radiograph in DICOM gives the tensor of its plain pixels, in every coding, depth and polarity."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels import pixel_array

from carina.errors import InputError
from carina.radiographs import radiograph as radiograph_module
from carina.radiographs.dicom import decode as decode_module
from carina.radiographs.dicom import terms
from carina.radiographs.dicom.display import values_of_patterns
from carina.radiographs.header import Header
from carina.radiographs.preprocess import resize_grey, to_tensor
from carina.radiographs.radiograph import Radiograph, build_radiograph
from carina.radiographs.read import read_radiograph
from make import make_grey
from make_dicom import (
    DEFLATED,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LS_NEAR,
    encode_dicom,
    full_window,
)
from mutate_dicom import SYNTAXES, shipped_files

SIZE = 48
# Of the full range: what each compression takes of these blotches.
LOSSES = {JPEG_BASELINE: 0.02, JPEG_LS_NEAR: 0.009, JPEG_2000: 0.05}


def tensor_of(radiograph: Radiograph) -> NDArray[np.float32]:
    return to_tensor(resize_grey(radiograph, SIZE), "zero-one")


# JPEG baseline has 8 bits, and the bits of a sign do not outlive a loss.
CASES = [
    (syntax, depth, signed)
    for syntax in SYNTAXES
    for depth in (8, 10, 12, 14, 16)
    for signed in (False, True)
    if (syntax != JPEG_BASELINE or depth == 8) and not (signed and syntax in LOSSES)
]


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize(("syntax", "depth", "signed"), CASES)
def test_the_tensor_is_that_of_the_plain_pixels(
    tmp_path: Path, syntax: str, depth: int, signed: bool, photometric: str
) -> None:
    plain = make_grey(7, (96, 80), depth)
    stored = plain if photometric == "MONOCHROME2" else plain.dtype.type(2**depth - 1) - plain
    offset = 0
    if signed:
        # Rescaling brings the values back to where they were.
        offset = 1 << (depth - 1)
        wrapped = (stored.astype(np.int64) - offset) & ((1 << depth) - 1)
        stored = wrapped.astype(plain.dtype)
    attributes = {"PixelRepresentation": int(signed), "RescaleSlope": 1, "RescaleIntercept": offset}
    path = tmp_path / "film"
    path.write_bytes(
        encode_dicom(stored, syntax, stored=depth, photometric=photometric, **attributes, **full_window(depth))
    )
    read = read_radiograph(path, deflated=syntax == DEFLATED)
    expected = tensor_of(build_radiograph(plain))
    # A grey level either way where rounding falls.
    tolerance = LOSSES.get(syntax, 0) + 1.001 / 255
    np.testing.assert_allclose(tensor_of(read), expected, atol=tolerance)
    assert np.ptp(expected) > 0.8


def test_a_sixteenth_of_the_window_is_not_the_whole() -> None:
    """The test above means something: another window gives another tensor."""
    plain = make_grey(7, (96, 80), 12)
    narrow = decode_module.decode(encode_dicom(plain, stored=12, WindowCenter=2048, WindowWidth=256))
    assert np.abs(tensor_of(narrow) - tensor_of(build_radiograph(plain))).max() > 0.3


@pytest.mark.parametrize("path", shipped_files(), ids=lambda path: path.name)
def test_each_file_that_pydicom_ships_is_a_radiograph_or_a_named_error(path: Path) -> None:
    try:
        radiograph = read_radiograph(path, deflated=True)
    except InputError as error:
        assert (str(error).isprintable(), error.code == "decoder-unavailable") == (True, False)  # noqa: PT017
    else:
        assert isinstance(radiograph.header, Header)
        assert radiograph.pixels.dtype == np.uint16
        assert min(radiograph.pixels.shape) >= 32


def test_most_of_what_pydicom_ships_is_told_apart() -> None:
    codes: dict[str, int] = {}
    for path in shipped_files():
        try:
            read_radiograph(path, deflated=True)
        except InputError as error:
            codes[error.code] = codes.get(error.code, 0) + 1
        else:
            codes["read"] = codes.get("read", 0) + 1
    assert codes["read"] >= 30
    assert codes["not-a-radiograph"] >= 40
    assert codes["no-image"] >= 60
    assert codes["animated"] >= 3
    assert codes.get("unreadable-file", 0) <= 2


def stored_values(content: bytes, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.int64]:
    """What is stored in a file of any modality: its values, whatever is then made of them."""
    found = []

    def spy(stored: Any, layout: Any, display: Any, visible: Any, **_: Any) -> Any:
        found.append(values_of_patterns(stored)[stored.patterns])
        return stored.patterns.astype(np.uint16), "own range", None

    monkeypatch.setattr(terms, "modality_of", lambda words, sop_class: (None, None))
    monkeypatch.setattr(decode_module, "check_dimensions", lambda width, height: None)
    monkeypatch.setattr(radiograph_module, "MAX_SIDE_RATIO", np.inf)
    monkeypatch.setattr(decode_module, "display_grey", spy)
    decode_module.decode(content, deflated=True)
    return found[0]


IMAGES = [
    path
    for path in shipped_files()
    if path.name
    in {
        *("693_J2KI.dcm", "CT_small.dcm", "ExplVR_BigEnd.dcm", "GDCMJ2K_TextGBR.dcm", "J2K_pixelrep_mismatch.dcm"),
        *("JPEG2000.dcm", "JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm", "MR_small.dcm", "MR_small_RLE.dcm"),
        *("MR_small_bigendian.dcm", "MR_small_expb.dcm", "MR_small_implicit.dcm", "MR_small_jp2klossless.dcm"),
        *("MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm", "SC_rgb_jls_lossy_line.dcm", "SC_rgb_jpeg_gdcm.dcm"),
        *("SC_rgb_jls_lossy_sample.dcm", "SC_rgb_rle.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_small_odd.dcm"),
        *("SC_rgb_small_odd_big_endian.dcm", "SC_rgb_jpeg_dcmd.dcm", "examples_jpeg2k.dcm", "examples_overlay.dcm"),
        *("SC_rgb_gdcm_KY.dcm", "SC_jpeg_no_color_transform.dcm", "SC_jpeg_no_color_transform_2.dcm"),
        *("SC_rgb_jpeg_app14_dcmd.dcm", "SC_rgb_dcmtk_+eb+cr.dcm"),
    }
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_stored_values_are_those_that_pydicom_gives(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = pixel_array(path, raw=False).astype(float)
    if expected.ndim == 3:
        expected = expected @ np.array([0.299, 0.587, 0.114])
    values = stored_values(path.read_bytes(), monkeypatch)
    # Luma is rounded.
    np.testing.assert_allclose(values, expected, atol=0.51)


def test_the_files_to_compare_are_there() -> None:
    assert len(IMAGES) == 31


@pytest.mark.parametrize("depth", [8, 12])
@pytest.mark.filterwarnings("ignore")
def test_extended_jpeg_as_dcmtk_codes_and_decodes_it(tmp_path: Path, depth: int) -> None:
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmtk is not installed")
    pytest.importorskip("gdcm")
    plain, coded, decoded = (tmp_path / name for name in ("plain.dcm", "coded.dcm", "decoded.dcm"))
    said = {"SOPInstanceUID": "1.2.3", "StudyInstanceUID": "1.2.4", "SeriesInstanceUID": "1.2.5"}
    pixels = make_grey(8, (96, 80), depth)
    plain.write_bytes(encode_dicom(pixels, stored=depth, **said, **full_window(depth)))
    subprocess.run(["dcmcjpeg", "+ee", "+q", "95", plain, coded], check=True)
    subprocess.run(["dcmdjpeg", coded, decoded], check=True)
    assert dcmread(coded).file_meta.TransferSyntaxUID == JPEG_EXTENDED
    np.testing.assert_array_equal(read_radiograph(coded).pixels, read_radiograph(decoded).pixels)
    np.testing.assert_allclose(read_radiograph(coded).pixels / 65535, pixels / (2**depth - 1), atol=0.02)
