"""Files go to another application entity by C-STORE, as they are: never decoded, never compressed again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pynetdicom import AE, _config, build_context

from carina.dicom.sending.outcome import DUPLICATE, NOT_DICOM, TAKEN, Outcome, is_passing, not_read
from carina.dicom.transport.file_meta import read_meta
from carina.dicom.transport.settings import Peer
from carina.dicom.transport.tls import client_context

# Source: PS3.8 9.3.2, context identifiers are odd and up to 255.
_CONTEXTS = 128
# Source: PS3.4 table B.2-1: stored, with something to remark.
_REMARKED = frozenset({0xB000, 0xB006, 0xB007})
_TIMEOUT_S = 30.0
# Of an A-ASSOCIATE-RJ, source and diagnostic: PS3.8 table 9-21.
_REJECTED = {
    (1, 2): "application-context-not-supported",
    (1, 3): "calling-title-not-recognised",
    (1, 7): "called-title-not-recognised",
    (3, 1): "peer-is-busy",
    (3, 2): "peer-is-busy",
}

_Kind = tuple[str, str]


class StoreScu:
    """Sends files to a peer, all that are given at once over as few associations as possible.

    Raises
    ------
    ConfigurationError
        If its certificates cannot be used.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._tls = None if peer.tls is None else (client_context(peer.tls), peer.host)

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        """Return what became of each file, in the same order."""
        kinds = [_kind_of(path) for path in paths]
        outcomes = [kind if isinstance(kind, Outcome) else NOT_DICOM for kind in kinds]
        distinct = sorted({kind for kind in kinds if not isinstance(kind, Outcome)})
        for first in range(0, len(distinct), _CONTEXTS):
            together = distinct[first : first + _CONTEXTS]
            chosen = [index for index, kind in enumerate(kinds) if kind in together]
            results = self._send_together([paths[index] for index in chosen], together)
            for index, outcome in zip(chosen, results, strict=True):
                outcomes[index] = outcome
        return outcomes

    def _send_together(self, paths: Sequence[Path], kinds: Sequence[_Kind]) -> list[Outcome]:
        contexts = [build_context(sop_class, [syntax]) for sop_class, syntax in kinds]
        association = associate(self._peer, contexts, self._tls)
        if isinstance(association, Outcome):
            return [association] * len(paths)
        # Else the file would be decoded and encoded again, and held in memory.
        _config.STORE_SEND_CHUNKED_DATASET = True
        outcomes: list[Outcome] = []
        try:
            for number, path in enumerate(paths):
                if not association.is_established:
                    break
                outcomes.append(_send_one(association, path, 1 + number % 0xFFFF))
        finally:
            if association.is_established:
                association.release()
        outcomes += [Outcome("try again", "connection-lost")] * (len(paths) - len(outcomes))
        return outcomes


def associate(peer: Peer, contexts: list[Any], tls: Any, **keywords: Any) -> Any:
    """Return an association with a peer, or an `Outcome` that says why there is none.

    Proposes some presentation contexts. `tls` is a context and a name, or none; `keywords` are those of pynetdicom.
    """
    entity = AE(ae_title=peer.calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = _TIMEOUT_S
    entity.requested_contexts = contexts
    try:
        association = entity.associate(peer.host, peer.port, ae_title=peer.called, tls_args=tls, **keywords)
    except OSError:
        # Nobody knows the host by its name.
        return Outcome("try again", "no-connection")
    if association.is_established:
        return association
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = _REJECTED.get((answer.result_source, answer.diagnostic), "association-rejected")
        # Result 1 is a rejection for good. A title may still be made known there.
        return Outcome("refused" if answer.result == 1 else "try again", reason)
    if association.acceptor.primitive is not None:
        return Outcome("refused", "no-kind-of-object-accepted")
    return Outcome("try again", "no-connection")


def _send_one(association: Any, path: Path, message_id: int) -> Outcome:
    try:
        answer = association.send_c_store(path, msg_id=message_id)
    except ValueError:
        return Outcome("refused", "kind-of-object-not-accepted")
    except (RuntimeError, OSError):
        return Outcome("try again", "connection-lost")
    except AttributeError:
        return NOT_DICOM
    status = answer.get("Status")
    return Outcome("try again", "no-answer") if status is None else _outcome(status)


def _outcome(status: int) -> Outcome:
    """Return what a status of C-STORE says."""
    if status == 0:
        return TAKEN
    said = f"status-0x{status:04X}"
    if status == DUPLICATE:
        return Outcome("already there", said)
    if status in _REMARKED:
        return Outcome("taken", said)
    return Outcome("try again" if is_passing(status) else "refused", said)


def _kind_of(path: Path) -> _Kind | Outcome:
    """Return SOP class and transfer syntax of a file, or why it cannot be sent."""
    try:
        meta = read_meta(path, "MediaStorageSOPClassUID", "TransferSyntaxUID")
    except OSError as error:
        return not_read(error)
    return (meta[0], meta[1]) if meta is not None and all(meta) else NOT_DICOM
