"""An archive that is asked by C-FIND and sends by C-GET or C-MOVE (PS3.4 C)."""

import threading
from collections.abc import Iterator
from typing import Any, Literal

from pydicom import Dataset
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.dsutils import encode_file_meta

from carina.dicom.network.bounded import OFFERED_PDU, BoundedServer, Bounds, bound_association
from carina.dicom.network.query import Keep, Series, Wanted, is_uid
from carina.dicom.network.receiver import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS
from carina.dicom.network.sending import Outcome
from carina.dicom.network.settings import Peer, ServerTls
from carina.dicom.network.store_scu import associate
from carina.dicom.network.syntaxes import STORAGE_CLASSES, transfer_syntaxes
from carina.dicom.network.tls import client_context, server_context
from carina.errors import ConfigurationError, PeerError

_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_GET = "1.2.840.10008.5.1.4.1.2.2.3"
_PENDING = frozenset({0xFF00, 0xFF01})
# All went well, or some objects did not.
_DONE = frozenset({0x0000, 0xB000})
_NONE_SENT = 0xA702
_IDLE_S = 60.0
_MOST = 100_000


class DicomArchive:
    """An archive in the Study Root information model.

    Parameters
    ----------
    peer
        Its address.
    by
        How it sends. For C-MOVE it must know Carina's title and address.
    object_bytes
        The largest object that is taken.
    bind, port
        For C-MOVE, where to wait for objects.
    tls
        For C-MOVE, of those who bring them.

    Raises
    ------
    ConfigurationError
        If a certificate cannot be used, or the port is taken.
    """

    def __init__(
        self,
        peer: Peer,
        object_bytes: int,
        *,
        by: Literal["get", "move"] = "get",
        bind: str = "127.0.0.1",
        port: int = 0,
        tls: ServerTls | None = None,
    ) -> None:
        self._peer, self._by = peer, by
        self._tls = None if peer.tls is None else (client_context(peer.tls), peer.host)
        self._bounds = Bounds(object_bytes, _IDLE_S)
        self._keep: Keep | None = None
        self._lost = 0
        self._failed: OSError | None = None
        self._lock = threading.Lock()
        self._server: Any = None
        if by == "move":
            self._server = self._wait_at(bind, port, tls)

    def close(self) -> None:
        """Wait for objects no longer."""
        if self._server is not None:
            self._server.drain(0.0)

    def find(self, wanted: Wanted) -> list[Series]:
        """Return the series that fit; see `carina.dicom.network.query.Archive`."""
        association = self._associate([build_context(_FIND)])
        found: dict[Series, None] = {}
        try:
            # One question is answered to its end before the next one.
            studies = list(self._ask(association, _identifier("STUDY", StudyDate=wanted.dates, StudyInstanceUID="")))
            uids = [str(study.get("StudyInstanceUID", "")) for study in studies]
            for study_uid in filter(is_uid, uids):
                for modality in wanted.modalities:
                    keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": "", "Modality": modality}
                    for series in self._ask(association, _identifier("SERIES", **keys)):
                        series_uid = str(series.get("SeriesInstanceUID", ""))
                        # Not every archive heeds every key.
                        if is_uid(series_uid) and str(series.get("Modality", "")) in ("", modality):
                            found[Series(study_uid, series_uid)] = None
        finally:
            if association.is_established:
                association.release()
        return list(found)

    def fetch(self, series: Series, keep: Keep) -> int:
        """Fetch a series; see `carina.dicom.network.query.Archive`."""
        self._keep, self._lost, self._failed = keep, 0, None
        wanted = _identifier("SERIES", StudyInstanceUID=series.study, SeriesInstanceUID=series.series)
        failed = self._get(wanted) if self._by == "get" else self._move(wanted)
        if self._failed is not None:
            raise self._failed
        # Those that were refused here are among those that the archive could not send.
        return max(failed, self._lost)

    def _get(self, wanted: Dataset) -> int:
        syntaxes = transfer_syntaxes()
        contexts, roles = [build_context(_GET)], []
        for storage_class in STORAGE_CLASSES:
            # One context for each, so that every object comes as it is stored.
            contexts += [build_context(storage_class, syntax) for syntax in syntaxes]
            roles.append(build_role(storage_class, scp_role=True))
        association = self._associate(contexts, ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, self._take)])
        bound_association(association, self._bounds)
        try:
            return self._await(association.send_c_get(wanted, _GET))
        finally:
            if association.is_established:
                association.release()

    def _move(self, wanted: Dataset) -> int:
        association = self._associate([build_context(_MOVE)])
        try:
            return self._await(association.send_c_move(wanted, self._peer.calling, _MOVE))
        finally:
            if association.is_established:
                association.release()

    def _await(self, answers: Any) -> int:
        """Return how many objects an archive could not send, once it says that it is done."""
        for answer, _ in answers:
            status = answer.get("Status")
            if status is None:
                break
            if status in _PENDING:
                continue
            # Not one could be sent: that may be ours, if we refused them.
            refused = status == _NONE_SENT and (self._lost or self._failed is not None)
            if status not in _DONE and not refused:
                msg = f"{self._name} does not send what it found (status 0x{status:04X}). {self._hint(status)}"
                raise PeerError(msg)
            return int(answer.get("NumberOfFailedSuboperations", 0) or 0)
        msg = f"{self._name} ended the connection while it sent. Try again."
        raise PeerError(msg)

    def _hint(self, status: int) -> str:
        if status == 0xA801:
            return f"Make {self._peer.calling}, with this machine's address and port, known there."
        return "Look into its log."

    def _ask(self, association: Any, wanted: Dataset) -> Iterator[Dataset]:
        count = 0
        try:
            for answer, identifier in association.send_c_find(wanted, _FIND):
                status = answer.get("Status")
                if status in _PENDING and identifier is not None and count < _MOST:
                    count += 1
                    yield identifier
                elif status not in _PENDING and status != SUCCESS:
                    reason = "no answer" if status is None else f"status 0x{status:04X}"
                    msg = f"{self._name} does not answer the query ({reason}). Look into its log."
                    raise PeerError(msg)
        except (RuntimeError, ValueError):
            msg = f"{self._name} ended the connection during the query. Try again."
            raise PeerError(msg) from None

    def _associate(self, contexts: list[Any], **keywords: Any) -> Any:
        association = associate(self._peer, contexts, self._tls, **keywords)
        if isinstance(association, Outcome):
            msg = (
                f"{self._name} does not take the association ({association.reason}). Check address, titles and what it "
                "offers."
            )
            raise PeerError(msg)
        return association

    @property
    def _name(self) -> str:
        return f"{self._peer.called} at {self._peer.host}:{self._peer.port}"

    def _take(self, event: Any) -> int:
        """Return the status for an object that is brought."""
        content = event.request.DataSet.getvalue() if event.request.DataSet is not None else b""
        with self._lock:
            if not content or len(content) > self._bounds.object_bytes or self._keep is None:
                self._lost += 1
                return CANNOT_UNDERSTAND
            try:
                self._keep([bytes(128) + b"DICM" + encode_file_meta(event.file_meta), content])
            except OSError as error:
                self._failed = error
                return OUT_OF_RESOURCES
        return SUCCESS

    def _wait_at(self, bind: str, port: int, tls: ServerTls | None) -> Any:
        entity = AE(ae_title=self._peer.calling)
        entity.require_calling_aet = [self._peer.called]
        entity.require_called_aet = True
        entity.maximum_pdu_size = OFFERED_PDU
        entity.network_timeout = _IDLE_S
        syntaxes = list(transfer_syntaxes())
        try:
            server = entity.make_server(
                (bind, port),
                contexts=[build_context(storage_class, syntaxes) for storage_class in STORAGE_CLASSES],
                ssl_context=None if tls is None else server_context(tls),
                evt_handlers=[(evt.EVT_C_STORE, self._take)],
                server_class=BoundedServer,
                bounds=self._bounds,
                on_refused=lambda _: None,
            )
        except OSError as error:
            msg = f"{bind}:{port} cannot be listened on: {error.strerror}. Choose another address or port."
            raise ConfigurationError(msg) from None
        entity._servers.append(server)
        threading.Thread(target=server.serve_forever, name="brought", daemon=True).start()
        return server


def _identifier(level: str, **keys: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier
