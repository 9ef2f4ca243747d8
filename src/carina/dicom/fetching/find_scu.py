"""An archive is searched by C-FIND in the Study Root information model (PS3.4 C.4.1)."""

from dataclasses import replace
from typing import Any

from pydicom import Dataset
from pynetdicom import build_context

from carina.dicom.fetching.query import Found, Missing, Series, not_a_uid
from carina.dicom.fetching.wanted import Wanted
from carina.dicom.sending.outcome import Outcome, meaning_of, name_of
from carina.dicom.sending.store_scu import associate
from carina.dicom.transport.settings import Peer
from carina.errors import ArchiveUnusableError, PeerError
from carina.radiographs.dicom.uids import bare_uid, is_uid

_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_SUCCESS = 0x0000
_PENDING = frozenset({0xFF00, 0xFF01})
# Source: PS3.4 table C.4-1: 0xFE00 is what archives say, too, that end a search at a limit of their own.
_ENDED_EARLY = frozenset({0xA700, 0xFE00})
_MOST = 100_000


def open_association(peer: Peer, contexts: list[Any], tls: Any, service: str, uid: str, **keywords: Any) -> Any:
    """Return an association in which a peer takes requests of a service.

    Raises
    ------
    ArchiveUnusableError
        If it does not.
    """
    association = associate(peer, contexts, tls, **keywords)
    if isinstance(association, Outcome):
        if association.reason != "no-kind-of-object-accepted":
            msg = f"{association.reason}: {meaning_of(association.reason or 'no-answer', peer)}"
            raise ArchiveUnusableError(msg)
    elif uid in {context.abstract_syntax for context in association.accepted_contexts}:
        return association
    else:
        association.release()
    msg = (
        f"{name_of(peer)} does not offer {service} in the Study Root information model to {peer.calling}. Have it "
        "enabled there."
    )
    raise ArchiveUnusableError(msg)


def identifier(level: str, **keys: str) -> Dataset:
    """Return what a query or a retrieval asks for."""
    made = Dataset()
    made.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(made, keyword, value)
    return made


def find_series(peer: Peer, tls: Any, wanted: Wanted) -> Found:
    """Return the series that fit; see `carina.dicom.fetching.query.Archive`. `tls` is a context and a name, or none."""
    search = _Search(peer, tls)
    try:
        return search.find(wanted)
    finally:
        search.close()


class _Search:
    """A search of an archive, over one association as long as that lasts, and what it found so far."""

    def __init__(self, peer: Peer, tls: Any) -> None:
        self._peer, self._tls = peer, tls
        self._association: Any = None
        self._series: dict[Series, None] = {}
        self._missing: dict[Missing, None] = {}
        self._unfit: set[Series] = set()

    def close(self) -> None:
        """End the association."""
        if self._association is not None and self._association.is_established:
            self._association.release()

    def find(self, wanted: Wanted) -> Found:
        studies, doubt = self._ask("STUDY", StudyDate=wanted.dates, StudyInstanceUID="")
        if doubt and not studies:
            raise PeerError(doubt)
        if doubt:
            self._missing[Missing("search-incomplete", doubt)] = None
        for number, study in enumerate(studies, 1):
            study_uid, where = _text(study, "StudyInstanceUID"), f"Study {number} of {len(studies)}"
            if not wanted.has_date(study.get("StudyDate")):
                self._unfit.add(Series(study_uid, ""))
            elif not is_uid(study_uid):
                message = not_a_uid(where, name_of(self._peer))
                self._missing[Missing("not-a-uid", message, study_uid or None)] = None
            else:
                try:
                    for modality in wanted.modalities:
                        self._find_in(study_uid, modality, wanted, where)
                except ArchiveUnusableError as error:
                    message = f"{where}: {error} Later studies were not searched."
                    self._missing[Missing("search-incomplete", message, study_uid)] = None
                    break
        return Found(tuple(self._series), tuple(self._missing), len(self._unfit))

    def _find_in(self, study_uid: str, modality: str, wanted: Wanted, where: str) -> None:
        """Add the series that a study has of a modality."""
        keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": "", "Modality": modality}
        rows, doubt = self._ask("SERIES", **keys, NumberOfSeriesRelatedInstances="")
        if doubt:
            self._missing[Missing("search-incomplete", f"{where}, {modality}: {doubt}", study_uid)] = None
        for place, row in enumerate(rows, 1):
            one = Series(study_uid, _text(row, "SeriesInstanceUID"))
            if not wanted.has_modality(_values(row, "Modality")):
                self._unfit.add(one)
            elif not is_uid(one.series):
                # An archive may not heed the modality and name it for each of them: told once. Its place in the
                # answer tells two series without any UID apart.
                message = not_a_uid(f"{where}: series {place} of {len(rows)}", name_of(self._peer))
                self._missing[Missing("not-a-uid", message, study_uid, one.series or None)] = None
            elif one not in self._series:
                self._series[replace(one, images=self._images(row, one))] = None

    def _images(self, row: Dataset, series: Series) -> int | None:
        """Return how many images a series has, by what is said of it or, if nothing is, by their list."""
        try:
            return int(_text(row, "NumberOfSeriesRelatedInstances"))
        except ValueError:
            pass
        keys = {"StudyInstanceUID": series.study, "SeriesInstanceUID": series.series, "SOPInstanceUID": ""}
        rows, doubt = self._ask("IMAGE", **keys)
        uids = {_text(row, "SOPInstanceUID") for row in rows} - {""}
        return len(uids) if uids and doubt is None else None

    def _ask(self, level: str, **keys: str) -> tuple[list[Dataset], str | None]:
        """Return what fits, and why there may be more; none where this is all."""
        if self._association is None or not self._association.is_established:
            self._association = open_association(self._peer, [build_context(_FIND)], self._tls, "C-FIND", _FIND)
        rows: list[Dataset] = []
        unread, status = 0, None
        try:
            for answer, row in self._association.send_c_find(identifier(level, **keys), _FIND):
                status = answer.get("Status")
                if status in _PENDING:
                    unread += row is None
                    if row is not None and len(rows) < _MOST:
                        rows.append(row)
        except (RuntimeError, ValueError):
            status = None
        doubt = self._doubt(status, unread, len(rows))
        if doubt is not None:
            # What the archive may still send must not be taken for the answer to the next question.
            self.close()
            self._association = None
        return rows, doubt

    def _doubt(self, status: int | None, unread: int, count: int) -> str | None:
        """Return why there may be more than was answered; none where that is all."""
        name, fewer = name_of(self._peer), "Ask for fewer days at a time, or raise the limit there."
        if status is None or status in _PENDING:
            return (
                f"{name} ended the connection during the query. Archives do so where they do not know the AE title "
                f"{self._peer.calling} (--aet). Have it made known there, or try again."
            )
        if status in _ENDED_EARLY:
            return f"{name} ended the search early (status 0x{status:04X}). {fewer}"
        if status != _SUCCESS:
            return f"{name} does not answer the query (status 0x{status:04X}). Look into its log."
        if unread:
            return f"{name} gave {unread} of {unread + count} answers in a form that cannot be read. Look into its log."
        return f"{name} named {_MOST:,} results or more. {fewer}" if count >= _MOST else None


def _values(row: Dataset, keyword: str) -> list[Any]:
    value = row.get(keyword)
    if value is None:
        return []
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)


def _text(row: Dataset, keyword: str) -> str:
    """Return an attribute as text, nothing where it has none; several values stay several, and are no UID."""
    return "\\".join(bare_uid(str(value)) for value in _values(row, keyword))
