"""Raster files (PNG, JPEG, TIFF, BMP, WebP) become radiographs.

Pillow's own plugins decode, called by name rather than through ``Image.open``: only the formats listed here
are ever parsed, and the size is checked by our rule before anything is allocated.
"""

import io
import logging
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from carina.errors import InputError
from carina.radiographs.radiograph import GREY_TOLERANCE, MAX_PIXELS, Radiograph, build_radiograph, check_dimensions

_EXIF_ORIENTATION = 0x0112
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC = 258, 262
_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the latter two with 64-bit offsets: BigTIFF
_COLOUR_OF_MODE = {"1": "black and white", "LA": "grey with transparency", "P": "palette", "YCbCr": "RGB"}
_GREY_MODES = ("L", "I;16", "I;16L", "I;16B", "I", "F")


@dataclass(frozen=True, slots=True)
class _Seen:
    """Grey values, and what had to be left out to get them."""

    grey: NDArray[np.generic]
    coloured: bool = False
    transparent: bool = False

    def radiograph(self) -> Radiograph:
        return replace(build_radiograph(self.grey), coloured=self.coloured, transparent=self.transparent)


@dataclass(frozen=True, slots=True)
class _RasterFormat:
    begins: Callable[[bytes], bool]
    open: Callable[[io.BytesIO], Image.Image]


RASTER_FORMATS = {
    "PNG": _RasterFormat(lambda b: b[:8] == b"\x89PNG\r\n\x1a\n", PngImageFile),
    "JPEG": _RasterFormat(lambda b: b[:3] == b"\xff\xd8\xff", JpegImageFile),
    "TIFF": _RasterFormat(lambda b: b[:4] in _TIFF_BEGINNINGS, TiffImageFile),
    "BMP": _RasterFormat(lambda b: b[:2] == b"BM", BmpImageFile),
    "WebP": _RasterFormat(lambda b: b[:4] == b"RIFF" and b[8:12] == b"WEBP", WebPImageFile),
}


def decode_raster(content: bytes, image_format: str) -> Radiograph:
    """Return the radiograph in the bytes of a raster file, upright by its EXIF orientation.

    Colour becomes luma (ITU-R BT.601); equal channels give exactly their grey value. Transparent pixels
    become black. TIFF files that store white as zero are inverted to display polarity.

    Parameters
    ----------
    content, image_format
        The whole file, and a key of ``RASTER_FORMATS``.

    Raises
    ------
    InputError
        If the file is truncated, damaged, animated, of an impossible size or of an unknown pixel layout, or if its
        grey values cannot be displayed (see :func:`carina.radiographs.radiograph.build_radiograph`).
    """
    try:
        with decoders_are_quiet(), RASTER_FORMATS[image_format].open(io.BytesIO(content)) as image:
            deep_colour = _is_deep_colour(image, content, image_format)
            return _radiograph_of(image, partial(_decode_deep_colour, content) if deep_colour else _grey_pixels)
    except InputError:
        raise
    except MemoryError:
        msg = "there is not enough memory to decode it. Scale it down."
        raise InputError(msg, "too-large") from None
    except Image.DecompressionBombError:  # the WebP plugin's own limit, at nearly three times ours
        msg = f"its header claims far over {MAX_PIXELS // 1_000_000} million pixels. Check the file, or scale it down."
        raise InputError(msg, "too-large") from None
    except Exception as error:  # noqa: BLE001  # damaged data makes Pillow's plugins raise anything
        # The text of the error may quote the file, so it is not shown.
        raise _damaged(image_format, error, content) from None


def describe_raster(content: bytes, image_format: str) -> tuple[int, str]:
    """Return how a raster file that `decode_raster` reads stores its pixels: bits a channel, and in which colours."""
    with decoders_are_quiet(), RASTER_FORMATS[image_format].open(io.BytesIO(content)) as image:
        colour = _COLOUR_OF_MODE.get(image.mode, "grey" if image.mode in _GREY_MODES else image.mode)
        if image_format == "PNG":
            return content[24], colour
        if isinstance(image, TiffImageFile):
            return max(image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))), colour
        return 1 if image.mode == "1" else 8, colour


def convert_image(image: Image.Image) -> Radiograph:
    """Return the radiograph in an image that Pillow has opened or made, as `decode_raster` gives that of a file.

    Of more than one channel with over 8 bits each, Pillow has kept 8 bits.

    Raises
    ------
    InputError
        As `decode_raster` does.
    """
    try:
        with decoders_are_quiet():
            return _radiograph_of(image, _grey_pixels)
    except InputError:
        raise
    except Exception:  # noqa: BLE001  # damaged data makes Pillow's plugins raise anything
        msg = "Pillow cannot decode the image. Open its file again, or name the file."
        raise InputError(msg, "unreadable-file") from None


def _radiograph_of(image: Image.Image, pixels_of: Callable[[Image.Image], _Seen]) -> Radiograph:
    check_dimensions(*image.size)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        msg = f"it holds {frames} frames or pages. Export the one radiograph as a file of its own."
        raise InputError(msg, "animated")
    inverted = _is_white_zero(image)
    # Always decoded by Pillow, which refuses truncated data; OpenCV would fill the rest with grey.
    image.load()
    radiograph = pixels_of(image).radiograph()
    if not inverted:
        return radiograph
    pixels = np.subtract(radiograph.white, radiograph.pixels, dtype=np.float32)
    return replace(radiograph, pixels=pixels if radiograph.pixels.dtype == np.float32 else pixels.astype(np.uint16))


_quiet_lock = threading.Lock()
_quiet_stack = ExitStack()
_quiet_count = 0


@contextmanager
def decoders_are_quiet() -> Iterator[None]:
    """Keep Pillow's warnings and log lines, and OpenCV's, from the terminal: a damaged file has its one message.

    Counted, because images are decoded on several threads and all three switches belong to the process: the
    first thread in turns them off, the last one out turns them on again. Who decodes many enters it once for all of
    them: turning the switches takes as long as a fifth of a small image.
    """
    global _quiet_count  # noqa: PLW0603
    with _quiet_lock:
        if _quiet_count == 0:
            _quiet_stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
            handler = logging.NullHandler()
            logging.getLogger("PIL").addHandler(handler)
            _quiet_stack.callback(logging.getLogger("PIL").removeHandler, handler)
            level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
            _quiet_stack.callback(cv2.utils.logging.setLogLevel, level)
        _quiet_count += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_count -= 1
            if _quiet_count == 0:
                _quiet_stack.close()


def _damaged(image_format: str, error: Exception, content: bytes) -> InputError:
    text = str(error).lower()
    shorter_than_it_says = image_format == "WebP" and len(content) < 8 + int.from_bytes(content[4:8], "little")
    if shorter_than_it_says or "truncated" in text or "incomplete" in text or isinstance(error, EOFError):
        msg = f"the {image_format} file ends before its image does. Copy it again from where it came from."
        return InputError(msg, "truncated")
    if text in ("unknown pixel mode", "unknown data organization"):
        msg = (
            f"the {image_format} file is damaged, or its pixel layout is not one that Carina reads. "
            "Copy it again, or export it as 8- or 16-bit grey PNG."
        )
        return InputError(msg, "unsupported-format")
    msg = f"the {image_format} file is damaged and cannot be decoded. Copy it again from where it came from."
    return InputError(msg, "unreadable-file")


def _is_deep_colour(image: Image.Image, content: bytes, image_format: str) -> bool:
    """Return whether the file has more than 8 bits a channel and more than one channel: Pillow keeps only 8."""
    if image_format == "PNG":
        bit_depth, colour_type = content[24], content[25]
        return bit_depth == 16 and colour_type != 0
    if isinstance(image, TiffImageFile):
        bits = image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))
        return len(bits) > 1 and max(bits) > 8
    return False


def _is_white_zero(image: Image.Image) -> bool:
    """Return whether a TIFF stores white as zero at over 8 bit, which Pillow does not invert (it does up to 8)."""
    if not isinstance(image, TiffImageFile):
        return False
    tags = image.tag_v2
    deep = max(tags.get(_TIFF_BITS_PER_SAMPLE, (1,))) > 8 and image.mode in _GREY_MODES
    return deep and tags.get(_TIFF_PHOTOMETRIC) == 0


def _grey_pixels(image: Image.Image) -> _Seen:
    if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in _GREY_MODES:
        pixels = np.asarray(image)
        transparent = image.info.get("transparency")  # a PNG's one grey value that is not shown
        if transparent is None:
            return _Seen(pixels)
        hidden = pixels == transparent
        return _Seen(np.where(hidden, np.zeros_like(pixels), pixels), transparent=bool(hidden.any()))
    if image.mode == "1":
        return _Seen(np.asarray(image.convert("L")))
    see_through = False
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        see_through = bool((np.asarray(image.getchannel("A")) < 255).any())
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    if image.mode in ("P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"):
        image = image.convert("RGB")
        red, green, blue = image.split()
        pairs = ((red, green), (green, blue), (blue, red))
        coloured = any(np.asarray(ImageChops.difference(*pair)).max() > 255 * GREY_TOLERANCE for pair in pairs)
        return _Seen(np.asarray(image.convert("L")), coloured, see_through)
    msg = f"its pixel layout ({image.mode}) is not one of a radiograph. Export it as grey PNG."
    raise InputError(msg, "unsupported-format")


def _decode_deep_colour(content: bytes, image: Image.Image) -> _Seen:
    if isinstance(image, PngImageFile):
        content = _png_pixels_only(content)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None or decoded.ndim != 3:
        msg = f"its pixel layout ({image.mode}, over 8 bit) cannot be decoded. Export it as 16-bit grey PNG."
        raise InputError(msg, "unsupported-format")
    seen = _grey_of_colours(decoded[..., [2, 1, 0, 3][: decoded.shape[2]]], float(np.iinfo(decoded.dtype).max))
    return replace(seen, grey=_apply_orientation(seen.grey, image.getexif().get(_EXIF_ORIENTATION, 1)))


def convert_colours(pixels: NDArray[np.generic], white: float) -> Radiograph:
    """Return the radiograph in colours, as `decode_raster` gives that of a file with more than 8 bits.

    Parameters
    ----------
    pixels, white
        ``(height, width, 3)`` as red, green and blue, or with a fourth channel for what is opaque; any integer or float
        type. And the largest value that a channel can have.

    Raises
    ------
    InputError
        See `carina.radiographs.radiograph.build_radiograph`.
    """
    return _grey_of_colours(pixels, white).radiograph()


def _grey_of_colours(pixels: NDArray[np.generic], white: float) -> _Seen:
    as_floats = pixels.astype(np.float64)
    opaque = as_floats[..., 3] / white if pixels.shape[2] == 4 else np.ones(pixels.shape[:2])
    coloured = bool((np.ptp(as_floats[..., :3], axis=2) * opaque > GREY_TOLERANCE * white).any())
    grey = _luma(pixels[..., 0], pixels[..., 1], pixels[..., 2])
    if pixels.shape[2] == 3:
        return _Seen(grey, coloured)
    shown = grey.astype(np.float64) * as_floats[..., 3] / white
    grey = np.asarray(shown if pixels.dtype.kind == "f" else np.round(shown), pixels.dtype)
    return _Seen(grey, coloured, bool((opaque < 1).any()))


def _luma(red: NDArray[np.generic], green: NDArray[np.generic], blue: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the grey values of colours, of their type; equal channels come back exactly.

    Source: ITU-R BT.601, in Pillow's own weights, which sum to 2**16.
    """
    weighted = red.astype(np.float64) * 19595 + green.astype(np.float64) * 38470 + blue.astype(np.float64) * 7471
    if red.dtype.kind == "f":
        return np.where((red == green) & (green == blue), red, (weighted / 65536).astype(red.dtype))
    return np.asarray(np.floor((weighted + 0x8000) / 65536), red.dtype)


def _png_pixels_only(content: bytes) -> bytes:
    """Return the PNG without chunks that the pixels do not need: libpng prints its doubts about them on stderr."""
    kept, place = [content[:8]], 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] in (b"IHDR", b"tRNS", b"IDAT"):
            kept.append(content[place : place + 12 + length])
        place += 12 + length
    return b"".join([*kept, bytes(4), b"IEND", zlib.crc32(b"IEND").to_bytes(4, "big")])


def _apply_orientation(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Return the pixels upright. Source: EXIF 2.32, tag 0x0112: where row 0 and column 0 are seen."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
