"""A data set becomes another that holds only what a rule lets through; see `profile` for the rules."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID_dictionary

from carina.dicom.coded_terms import item_of
from carina.dicom.deidentification.cleaned_values import FORMED, NUMERIC, earlier, formed, numbers_of, uids_of, words_of
from carina.dicom.deidentification.profile import Options, action_for, table
from carina.dicom.deidentification.pseudonyms import Pseudonyms
from carina.findings import Code
from carina.radiographs.dicom.limits import MAX_LUT_BYTES, MAX_VALUE_BYTES

_DUMMY = "REMOVED"
_DUMMIES: Mapping[str, str] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), _DUMMY),
    "AS": "000Y",
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "IS": "0",
    "TM": "000000",
}
_TEXT = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_DATES = frozenset({"DA", "DT"})
_TIMES = frozenset({"DA", "DT", "TM"})
# HIPAA's safe harbour takes all ages above 89 together.
_OLDEST = 90
_PATIENT_AGE, _LUT_DESCRIPTOR, _LUT_DATA = 0x0010_1010, 0x0028_3002, 0x0028_3006
_UNITS = frozenset({"OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"})
# Of these only what the standard names may stay: text that objects must have (PS3.3 C.11.1.1.2), and words on patients.
_NAMED: Mapping[int, frozenset[str]] = {
    0x0028_1054: _UNITS,
    0x0028_3004: _UNITS,
    0x0010_0040: frozenset({"M", "F", "O"}),
    0x0010_2203: frozenset({"ALTERED", "UNALTERED"}),
    0x0010_21A0: frozenset({"YES", "NO", "UNKNOWN"}),
}
_CODE_VALUE, _SCHEME, _MEANING = 0x0008_0100, 0x0008_0102, 0x0008_0104
_IN_CODES = frozenset({_CODE_VALUE, 0x0008_0119, 0x0008_0120, _SCHEME, 0x0008_0103, _MEANING})
_Element = tuple[int, str, Any]
_Read: TypeAlias = RawDataElement | DataElement


class Cleaner:
    """Builds data sets by the rules.

    Parameters
    ----------
    identity
        Whose image it is: that of the shift of dates.
    signed
        Whether pixels are, and with them what is of the same type.
    little
        The order of bytes.
    """

    def __init__(
        self, options: Options, pseudonyms: Pseudonyms, identity: tuple[str, ...], *, signed: bool, little: bool
    ) -> None:
        self._options, self._pseudonyms = options, pseudonyms
        self._shift = pseudonyms.shift(*identity) if options.shifted_dates else None
        self._signed, self._little = signed, little

    def clean(self, source: Dataset, *, keep_text: bool = False) -> Dataset:
        """Return what may be kept of a data set as pydicom read it, of which no element has been looked at yet."""
        cleaned = Dataset()
        # All at once: when pydicom decodes one, it may decode others for it, which then no longer are as they stand.
        elements = [source.get_item(tag) for tag in sorted(source.keys())]
        for element in elements:
            found = None if element is None else self._cleaned(source, element, keep_text=keep_text)
            if found is not None:
                cleaned.add_new(*found)
        return cleaned

    def _cleaned(self, source: Dataset, element: _Read, *, keep_text: bool) -> _Element | None:
        tag = element.tag
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            # Private, or not of this edition of the standard: nobody knows what it holds.
            return None
        action = action_for(int(tag), vr, self._options)
        if action in {"remove", "empty", "dummy"}:
            return _stand_in(int(tag), vr, action)
        keep_text = keep_text or action == "keep text"
        if vr == "SQ":
            return self._sequence(source, element, keep_text=keep_text)
        found = None
        if isinstance(element, RawDataElement):
            found = self._single(source, element, vr, keep_text=keep_text)
        if found is None and action == "shift":
            return _stand_in(int(tag), vr, table().get(int(tag), "remove"))
        return found

    def _single(self, source: Dataset, raw: RawDataElement, known: str, *, keep_text: bool) -> _Element | None:
        value: Any
        tag, vr = raw.tag, _written_vr(raw, known, signed=self._signed)
        if vr is None or len(raw.value or b"") > (MAX_LUT_BYTES if tag == _LUT_DATA else MAX_VALUE_BYTES):
            return None
        if int(tag) in _NAMED:
            words = words_of(raw.value or b"")
            value = words if _NAMED[int(tag)].issuperset(words) else None
        elif vr in _TEXT:
            # Decoded by pydicom, which knows character sets.
            value = source[tag].value if keep_text and vr != "PN" else None
        elif vr == "UI":
            value = self._uids(raw.value or b"", keep=keep_text or self._options.uids)
        else:
            value = self._value(int(tag), vr, raw.value or b"")
        return None if value is None else (int(tag), vr, value)

    def _sequence(self, source: Dataset, element: _Read, *, keep_text: bool) -> _Element | None:
        tag = element.tag
        # A sequence that was written as bytes of no type: nobody walked through it.
        if element.VR not in ("SQ", None):
            return None
        items = list(source[tag].value or ())
        kept = [item for item in (self._item(item, keep_text=keep_text) for item in items) if item]
        return None if items and not kept else (int(tag), "SQ", kept)

    def _item(self, source: Dataset, *, keep_text: bool) -> Dataset | None:
        if _MEANING not in source or keep_text:
            return self.clean(source, keep_text=keep_text)
        code = _standard_code(source)
        if code is None:
            return None
        kept = item_of(code)
        for element in self.clean(source):
            # What qualifies a code is in sequences within it.
            if element.tag not in _IN_CODES and element.VR == "SQ":
                kept.add(element)
        return kept

    def _uids(self, raw: bytes, *, keep: bool) -> list[str] | None:
        uids = uids_of(raw)
        if uids is None or keep:
            return uids
        # Names that the standard gives out, of classes and transfer syntaxes, are nobody's.
        return [uid if not uid or uid in UID_dictionary else self._pseudonyms.uid(uid) for uid in uids]

    def _value(self, tag: int, vr: str, raw: bytes) -> Any:
        """Return a value that may be kept, as pydicom takes it; nothing where it may not."""
        most = MAX_LUT_BYTES // 2 if tag == _LUT_DATA else _most_values(tag)
        if vr in NUMERIC:
            return numbers_of(vr, raw, most, little=self._little)
        if vr == "OW" and tag == _LUT_DATA and len(raw) % 2 == 0:
            return raw if self._little else np.frombuffer(raw, ">u2").astype("<u2").tobytes()
        if vr not in FORMED or (vr in _TIMES and self._shift is None):
            return None
        words = formed(vr, raw, most)
        if words is not None and tag == _PATIENT_AGE:
            return [_capped(word) for word in words]
        if words is not None and vr in _DATES and self._shift is not None:
            days = [earlier(vr, word, self._shift) for word in words]
            return None if None in days else days
        return words


def _stand_in(tag: int, vr: str, action: str) -> _Element | None:
    """Return what replaces a value: nothing at all, an empty one, or one that means nothing."""
    vr = "US" if " or " in vr else vr
    if action == "empty":
        return (tag, vr, [] if vr == "SQ" else None)
    return (tag, vr, _DUMMIES[vr]) if action == "dummy" and vr in _DUMMIES else None


def _written_vr(raw: RawDataElement, known: str, *, signed: bool) -> str | None:
    """Return the type that a value has and is to be written with; none where it is not the one it should be."""
    if raw.VR is not None and raw.VR != "UN":
        return str(raw.VR) if raw.VR in known.split(" or ") else None
    if known == "US or OW":
        return "OW"
    if known == "US or SS":
        # The first of the three may have a sign, the second is a count, the third a small number. Source: C.11.1.1.
        big = raw.tag == _LUT_DESCRIPTOR and (raw.value or b"")[1:2] >= b"\x80"
        return "SS" if signed and not big else "US"
    return None if " or " in known else known


@cache
def _most_values(tag: int) -> int | None:
    """Return how many values an attribute may have; none for any number."""
    most = dictionary_VM(tag).split("-")[-1]
    return int(most) if most.isdecimal() else None


def _capped(age: str) -> str:
    return f"{_OLDEST:03}Y" if age.endswith("Y") and int(age[:3]) > _OLDEST - 1 else age


def _standard_code(item: Dataset) -> Code | None:
    """Return a code with the standard's own words for it; none where it is a site's own, or nobody's."""
    words = {tag: words_of(_raw(item, tag)) for tag in (_CODE_VALUE, _SCHEME)}
    value, scheme = ("".join(words[tag]) for tag in (_CODE_VALUE, _SCHEME))
    meaning = _meanings().get((scheme, value))
    return None if meaning is None else Code(value, scheme, meaning)


def _raw(item: Dataset, tag: int) -> bytes:
    element = item.get_item(tag)
    return element.value or b"" if isinstance(element, RawDataElement) else b""


@cache
def _meanings() -> Mapping[tuple[str, str], str]:
    """Return the words of each code that PS3.16 uses, by scheme and value, those of SNOMED RT as well."""
    from pydicom.sr._concepts_dict import concepts  # noqa: PLC0415  # 4 MB, for files with codes
    from pydicom.sr._snomed_dict import mapping  # noqa: PLC0415

    found = {
        (scheme, value): meaning[:64]
        for scheme, keywords in concepts.items()
        for values in keywords.values()
        for value, (meaning, _) in values.items()
    }
    older = {("SRT", old): found["SCT", new] for old, new in mapping["SRT"].items() if ("SCT", new) in found}
    return found | older
