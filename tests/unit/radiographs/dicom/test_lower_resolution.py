"""Large JPEG 2000 is decoded at the resolution that is enough: nearly the same pixels, and every pixel where asked."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from carina.errors import InputError
from carina.phantoms.phantom import draw_phantom
from carina.radiographs.dicom.decode import decode
from carina.radiographs.dicom.workers import shared_workers
from carina.radiographs.preprocess import resize_grey
from carina.radiographs.radiograph import Radiograph
from make_dicom import EXPLICIT, JPEG_2000, JPEG_2000_LOSSLESS, encode_dicom, full_window

SIZE = 96


@pytest.fixture(scope="module")
def film() -> NDArray[np.uint16]:
    grey = draw_phantom("Normal", seed=1, size=800).pixels.astype(np.float32) * 16
    noisy = grey + np.random.default_rng(0).normal(0, 4, grey.shape)
    return np.asarray(np.clip(noisy, 0, 4095)[:, :721], np.uint16)


def apart(one: Radiograph, other: Radiograph) -> float:
    """Return by how many grey levels of 255 what a network is shown differs, on average."""
    return float(np.abs(resize_grey(one, SIZE).astype(np.float64) - resize_grey(other, SIZE)).mean())


def averaged(whole: Radiograph, smaller: Radiograph) -> Radiograph:
    """Return the whole image, averaged to the size of the smaller one: what no decoder can better."""
    shape = (smaller.width, smaller.height)
    return replace(whole, pixels=cv2.resize(whole.pixels, shape, interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize("syntax", [JPEG_2000_LOSSLESS, JPEG_2000])
@pytest.mark.parametrize(("enough", "reduced"), [(400, 1), (300, 2), (180, 4), (100, 4), (90, 8)])
def test_the_lowest_resolution_that_is_enough(film: NDArray[np.uint16], syntax: str, enough: int, reduced: int) -> None:
    content = encode_dicom(film, syntax, stored=12, **full_window(12))
    whole, smaller = decode(content), decode(content, enough=enough)
    assert (whole.reduced, smaller.reduced) == (1, reduced)
    assert (smaller.height, smaller.width) == (-(-800 // reduced), -(-721 // reduced))
    assert smaller.header == whole.header
    if reduced > 1:
        assert 0 < apart(whole, smaller) < 2.5 * apart(whole, averaged(whole, smaller))


def test_it_lies_where_the_whole_image_lies(film: NDArray[np.uint16]) -> None:
    content = encode_dicom(film, JPEG_2000_LOSSLESS, stored=12, **full_window(12))
    whole, smaller = (resize_grey(decode(content, enough=enough), SIZE) for enough in (0, 180))
    # Without its shift, which is 3/8 of a pixel of the smaller image, it would lie a fifth of a pixel off here.
    shift, _ = cv2.phaseCorrelate(whole.astype(np.float64), smaller.astype(np.float64))
    assert np.abs(shift).max() < 0.05


def test_eight_bits(film: NDArray[np.uint16]) -> None:
    content = encode_dicom((film >> 4).astype(np.uint8), JPEG_2000_LOSSLESS, **full_window(8))
    whole, smaller = decode(content), decode(content, enough=180)
    assert smaller.reduced == 4
    # Rounded to 8 bits at the lower resolution, and at each one before.
    assert apart(whole, smaller) < 0.75 + apart(whole, averaged(whole, smaller))


@pytest.mark.parametrize(
    "attributes",
    [
        {"PixelPaddingValue": 0},
        {
            "ShutterShape": "RECTANGULAR",
            "ShutterLeftVerticalEdge": 20,
            "ShutterRightVerticalEdge": 700,
            "ShutterUpperHorizontalEdge": 20,
            "ShutterLowerHorizontalEdge": 780,
        },
    ],
)
def test_what_needs_every_pixel_has_it(film: NDArray[np.uint16], attributes: dict[str, object]) -> None:
    content = encode_dicom(film, JPEG_2000_LOSSLESS, stored=12, **full_window(12), **attributes)  # type: ignore[arg-type]
    whole, asked = decode(content), decode(content, enough=180)
    assert asked.reduced == 1
    np.testing.assert_array_equal(asked.pixels, whole.pixels)


def test_other_codings_are_decoded_whole(film: NDArray[np.uint16]) -> None:
    assert decode(encode_dicom(film, EXPLICIT, stored=12), enough=180).reduced == 1


def test_a_file_that_is_cut_off_is_refused_at_a_lower_resolution_too(film: NDArray[np.uint16]) -> None:
    content = encode_dicom(film, JPEG_2000_LOSSLESS, stored=12, **full_window(12))
    # Behind the half of it there is nothing that a smaller image needs.
    for end in (len(content) // 2, len(content) - 2000):
        said = []
        for enough in (0, 90):
            with pytest.raises(InputError) as caught:
                decode(content[:end], enough=enough)
            said.append((caught.value.code, str(caught.value)))
        assert said[0] == said[1]


def test_a_codestream_that_lost_its_end_is_decoded_whole_or_not_at_all(film: NDArray[np.uint16]) -> None:
    content = encode_dicom(film, JPEG_2000_LOSSLESS, stored=12, **full_window(12))
    place = content.rindex(b"\xff\xd9")
    damaged = content[:place] + b"\x12\x34" + content[place + 2 :]
    try:
        whole = decode(damaged)
    except InputError:
        with pytest.raises(InputError):
            decode(damaged, enough=180)
    else:
        asked = decode(damaged, enough=180)
        assert asked.reduced == 1
        np.testing.assert_array_equal(asked.pixels, whole.pixels)


def test_the_process_that_decodes_says_at_which_resolution(film: NDArray[np.uint16]) -> None:
    content = encode_dicom(film, JPEG_2000_LOSSLESS, stored=12, **full_window(12))
    here, there = decode(content, enough=180), shared_workers().decode(content, enough=180)
    assert (here.reduced, there.reduced) == (4, 4)
    np.testing.assert_array_equal(here.pixels, there.pixels)
