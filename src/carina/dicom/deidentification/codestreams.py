"""Compressed pixels without all that is no picture: comments, application data, thumbnails, what follows the end.

What is kept is copied byte for byte, so that the picture is the same to the last bit.

Source: ITU-T T.81 Annex B (JPEG), T.87 Annex C (JPEG-LS), T.800 Annex A (JPEG 2000), T.814 Annex A (high throughput).
"""

import re
import struct

from carina.errors import InputError
from carina.radiographs.dicom.codestream import read_jpeg_2000_start

_SOI, _EOI, _SOS = b"\xff\xd8", 0xD9, 0xDA
_JPEG_KEPT = frozenset(
    # Frames, tables, restarts, lines; JPEG-LS: its frame and presets.
    {*range(0xC0, 0xC8), *range(0xC9, 0xD0), _SOS, 0xDB, 0xDC, 0xDD, 0xF7, 0xF8}
)
# After a 0xFF comes a zero in JPEG and a zero bit in JPEG-LS, or a restart; all else is the next marker.
_NEXT_JPEG = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_NEXT_JPEG_LS = re.compile(rb"\xff+[\x80-\xcf\xd8-\xfe]")

_J2K_SOC, _J2K_EOC = b"\xff\x4f", b"\xff\xd9"
_SOT, _SOD = 0xFF90, 0xFF93
_J2K_KEPT = frozenset(
    # SIZ, COD, COC, PLM, PLT, QCD, QCC, RGN, POC, PPM, PPT, CRG, CAP, CPF. TLM would say lengths that no longer hold.
    {0xFF51, 0xFF52, 0xFF53, 0xFF57, 0xFF58, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF60, 0xFF61, 0xFF63, 0xFF50, 0xFF59}
)


def bare_jpeg(content: bytes, *, jpeg_ls: bool) -> bytes:
    """Return a JPEG or JPEG-LS codestream without comments, application data and what follows its end.

    Of application data only what tells colours is kept, and written again: JFIF's head, Adobe's and HP's transforms.

    Raises
    ------
    InputError
        If it is damaged.
    """
    if content[:2] != _SOI:
        raise _damaged()
    kept, position = [_SOI], 2
    following = _NEXT_JPEG_LS if jpeg_ls else _NEXT_JPEG
    while True:
        while content[position : position + 2] == b"\xff\xff":
            position += 1
        if content[position : position + 1] != b"\xff" or position + 2 > len(content):
            raise _damaged()
        marker = content[position + 1]
        if marker == _EOI:
            kept.append(b"\xff\xd9")
            return b"".join(kept)
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        end = position + 2 + length
        if length < 2 or end > len(content):
            raise _damaged()
        segment = content[position:end]
        kept.append(segment if marker in _JPEG_KEPT else _colours_of(marker, segment[4:]))
        position = end
        if marker == _SOS:
            found = following.search(content, position)
            if found is None:
                raise _damaged()
            kept.append(content[position : found.start()])
            position = found.start()


def _colours_of(marker: int, payload: bytes) -> bytes:
    """Return application data that tells what the channels are, without any of its own words; nothing of others."""
    if marker == 0xE0 and payload[:5] == b"JFIF\0":
        body = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    elif marker == 0xEE and payload[:5] == b"Adobe" and len(payload) >= 12:
        body = b"Adobe\0\x64\0\0\0\0" + bytes([min(payload[11], 2)])
    elif marker == 0xE8 and payload[:4] == b"mrfx" and len(payload) >= 5:
        body = b"mrfx" + bytes([min(payload[4], 5)])
    else:
        return b""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def bare_jpeg_2000(content: bytes) -> bytes:
    """Return a JPEG 2000 codestream without comments, without boxes around it and without what follows its end.

    Raises
    ------
    InputError
        If it is damaged.
    """
    position = read_jpeg_2000_start(content)
    if content[position : position + 2] != _J2K_SOC:
        raise _damaged()
    kept, position = [_J2K_SOC], position + 2
    segments, position = _segments(content, position, _SOT)
    kept += segments
    while content[position : position + 2] == _SOT.to_bytes(2, "big"):
        if position + 12 > len(content):
            raise _damaged()
        size, tile, length, part, parts = struct.unpack_from(">HHIBB", content, position + 2)
        # A length of zero says: up to the end of the codestream.
        end = position + length if length else content.rfind(_J2K_EOC)
        segments, data = _segments(content, position + 12, _SOD)
        if size != 10 or end < data + 2 or end > len(content):
            raise _damaged()
        body = b"".join(segments) + content[data:end]
        kept.append(struct.pack(">HHHIBB", _SOT, 10, tile, 12 + len(body), part, parts) + body)
        position = end
    # Some writers leave the end out.
    if len(kept) < 3 or content[position : position + 2] not in (_J2K_EOC, b"", b"\0"):
        raise _damaged()
    return b"".join([*kept, _J2K_EOC])


def _segments(content: bytes, position: int, until: int) -> tuple[list[bytes], int]:
    """Return the marker segments that are kept up to a marker, and where that stands."""
    kept: list[bytes] = []
    while position + 4 <= len(content):
        marker, length = struct.unpack_from(">HH", content, position)
        if marker == until:
            return kept, position
        end = position + 2 + length
        if marker >> 8 != 0xFF or length < 2 or end > len(content):
            break
        if marker in _J2K_KEPT:
            kept.append(content[position:end])
        position = end
    raise _damaged()


def _damaged() -> InputError:
    msg = "its compressed pixels are damaged, so that nobody can tell picture from text in them. Copy the file again."
    return InputError(msg, "unreadable-file")
