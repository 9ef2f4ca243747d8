"""Elements that lie behind the pixels, out of their order, are put before them, where they are looked for.

Nothing of them may be lost: a window there decides how the image is shown, and BurnedInAnnotation who may see it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from carina.errors import InputError
from carina.radiographs.dicom.outline import Element, Encoding, end_of_pixels, list_elements
from carina.radiographs.dicom.tags import FLOAT_PIXEL_DATA, TAGS
from carina.radiographs.doubts import Doubt

_WANTED = frozenset(TAGS.values())


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of a data set as they are written, without its pixels; and what was found behind these.

    Where a tag came twice, the first one's.
    """

    content: bytes | memoryview
    doubts: frozenset[Doubt] = frozenset()


def all_elements(
    content: memoryview,
    start: int,
    pixels: Element,
    encoding: Encoding,
    *,
    is_sequence: Callable[[int], bool] | None = None,
) -> Elements:
    """Return the elements of a data set up to the pixels, and those that should be there and lie behind.

    The content need not reach further than up to the pixels. The parameters are those of
    `carina.radiographs.dicom.outline.find_pixels`, and `pixels` is what it found.
    """
    before = content[start : pixels.header]
    try:
        end = end_of_pixels(content, pixels)
    except InputError:
        # Damaged pixels are for whoever reads them.
        return Elements(before)
    behind = content[end:] if end < len(content) else memoryview(b"")
    if len(behind) < 8 or bytes(behind).count(behind[:1]) == len(behind):
        return Elements(before)
    try:
        found = list_elements(behind, 0, encoding, is_sequence=is_sequence)
    except InputError:
        return Elements(before, frozenset({"bytes behind"}))
    misplaced = [element for element in found if element[0] < FLOAT_PIXEL_DATA]
    if not misplaced:
        return Elements(before)
    known = {tag: before[low:high] for tag, low, high in list_elements(before, 0, encoding, is_sequence=is_sequence)}
    doubts: set[Doubt] = set()
    parts = [bytes(before)]
    for tag, low, high in misplaced:
        element = behind[low:high]
        if tag not in known:
            known[tag] = element
            parts.append(bytes(element))
            doubts.update({"elements behind"} if tag in _WANTED else ())
        elif known[tag] != element and tag in _WANTED:
            doubts.add("elements twice")
    return Elements(b"".join(parts), frozenset(doubts))
