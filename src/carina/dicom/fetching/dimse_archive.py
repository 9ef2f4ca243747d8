"""An archive that is asked by C-FIND and sends by C-GET or C-MOVE (PS3.4 C)."""

import shlex
import threading
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.dsutils import encode_file_meta

from carina.dicom.fetching.find_scu import find_series, identifier, open_association
from carina.dicom.fetching.query import Delivery, Found, Keep, Series, images
from carina.dicom.fetching.wanted import Wanted
from carina.dicom.sending.outcome import name_of
from carina.dicom.transport.accepted_syntaxes import STORAGE_CLASSES, transfer_syntaxes
from carina.dicom.transport.bounded import BoundedServer, Bounds, bound_association, listen_at
from carina.dicom.transport.settings import Peer, ServerTls, is_ae_title
from carina.dicom.transport.storage_server import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, SUCCESS
from carina.dicom.transport.tls import client_context, server_context
from carina.errors import ArchiveUnusableError, PeerError

_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
_GET = "1.2.840.10008.5.1.4.1.2.2.3"
_PENDING = frozenset({0xFF00, 0xFF01})
# All went well, or some objects did not.
_DONE = frozenset({0x0000, 0xB000})
_NONE_SENT = 0xA702
# Of an A-ASSOCIATE-RJ, source and diagnostic: the calling or the called AE title is another. Source: PS3.8 table 9-21.
_TITLES = frozenset({(1, 3), (1, 7)})
_DESTINATION_UNKNOWN = 0xA801
_IDLE_S = 60.0
_COUNTS = ("Completed", "Failed", "Warning")


class DimseArchive:
    """An archive in the Study Root information model, and the largest object that is taken from it.

    Parameters
    ----------
    here
        Where to wait for objects that come by C-MOVE; the archive must know this address by Carina's title. By default
        they come by C-GET.
    tls
        For C-MOVE, how those who bring objects connect.

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
        here: tuple[str, int] | None = None,
        tls: ServerTls | None = None,
    ) -> None:
        self._peer = peer
        self._tls = None if peer.tls is None else (client_context(peer.tls), peer.host)
        self._bounds = Bounds(object_bytes, _IDLE_S)
        self._keep: Keep | None = None
        self._taken = self._unusable = 0
        self._failed: OSError | None = None
        # By which titles somebody wanted to bring objects and was turned away: its own, and the one that it asked for.
        # None for what is no AE title.
        self._turned_away: tuple[str | None, str | None] | None = None
        self._no_room = False
        self._lock = threading.Lock()
        self._server: BoundedServer | None = None
        self._here = ""
        if here is not None:
            self._server = self._wait_at(*here, tls)
            self._here = f"{here[0]}:{self._server.server_address[1]}"

    def close(self) -> None:
        """Wait for objects no longer."""
        if self._server is not None:
            self._server.drain(0.0)

    def find(self, wanted: Wanted) -> Found:
        """Return the series that fit; see `carina.dicom.fetching.query.Archive`."""
        return find_series(self._peer, self._tls, wanted)

    def fetch(self, series: Series, keep: Keep) -> Delivery:
        """Fetch a series; see `carina.dicom.fetching.query.Archive`."""
        with self._lock:
            self._keep, self._taken, self._unusable, self._failed = keep, 0, 0, None
            self._turned_away, self._no_room = None, False
        wanted = identifier("SERIES", StudyInstanceUID=series.study, SeriesInstanceUID=series.series)
        try:
            told = self._get(wanted) if self._server is None else self._move(wanted)
        except PeerError:
            # It was refused here, because the disk is full for example.
            if self._failed is not None:
                raise self._failed from None
            raise
        finally:
            with self._lock:
                # What is brought later belongs to no series that is asked for.
                self._keep = None
        if self._failed is not None:
            raise self._failed
        return Delivery(told, self._unusable)

    def _get(self, wanted: Dataset) -> int:
        syntaxes = transfer_syntaxes()
        contexts, roles = [build_context(_GET)], []
        for storage_class in STORAGE_CLASSES:
            # One context for each, so that every object comes as it is stored.
            contexts += [build_context(storage_class, syntax) for syntax in syntaxes]
            roles.append(build_role(storage_class, scp_role=True))
        handlers = [(evt.EVT_C_STORE, self._take)]
        association = open_association(
            self._peer, contexts, self._tls, "C-GET", _GET, ext_neg=roles, evt_handlers=handlers
        )
        bound_association(association, self._bounds)
        try:
            sent, failed = self._await(association.send_c_get(wanted, _GET))
        finally:
            if association.is_established:
                association.release()
        return sent + failed

    def _move(self, wanted: Dataset) -> int:
        association = open_association(self._peer, [build_context(_MOVE)], self._tls, "C-MOVE", _MOVE)
        try:
            sent, failed = self._await(association.send_c_move(wanted, self._peer.calling, _MOVE))
        except PeerError:
            self._require_welcome()
            raise
        finally:
            if association.is_established:
                association.release()
        if not self._taken and not self._unusable and self._failed is None:
            self._require_welcome()
            if sent:
                # More series would go to the same wrong place.
                msg = (
                    f"{name_of(self._peer)} says that it sent {images(sent)}, and none arrived here. "
                    f"{self._how_to_be_known()}"
                )
                raise ArchiveUnusableError(msg)
        return sent + failed

    def _require_welcome(self) -> None:
        """Say why an archive that wanted to bring objects was turned away here, if it was.

        Raises
        ------
        ArchiveUnusableError
            If it was turned away for an AE title.
        PeerError
            If there were too many connections at a time.
        """
        if self._turned_away is None:
            if self._no_room:
                msg = (
                    f"{name_of(self._peer)} could not bring all objects: too many connections to {self._here} were "
                    "open at a time. Have it send over fewer connections, or try again."
                )
                raise PeerError(msg)
            return
        theirs, ours = self._turned_away
        called, calling = self._peer.called, self._peer.calling
        msg = f"{name_of(self._peer)} could not bring objects. "
        if theirs != called:
            who = theirs or "another title"
            msg += f"Somebody connected to {self._here} as {who}, and objects are taken from {called} only."
            if theirs is not None:
                msg += f" If {theirs} is the archive's own AE title, type --called {shlex.quote(theirs)}."
        else:
            msg += (
                f"It connected to {self._here} and asked for {ours or 'another title'}, and the AE title here is "
                f"{calling}. Have the entry for this machine changed to {calling} there"
            )
            msg += "." if ours is None else f", or type --aet {shlex.quote(ours)}."
        raise ArchiveUnusableError(msg)

    def _how_to_be_known(self) -> str:
        return (
            f"Have the AE title {self._peer.calling} (--aet) made known there as a destination of C-MOVE, with the "
            f"address and port of this machine ({self._here}, by --move)."
        )

    def _await(self, answers: Any) -> tuple[int, int]:
        """Return how many objects an archive sent and could not send, as it says, once it is done."""
        name, last = name_of(self._peer), Dataset()
        try:
            for answer, _ in answers:
                last = answer
        except (RuntimeError, ValueError):
            last = Dataset()
        status = last.get("Status")
        if status is None or status in _PENDING:
            msg = f"{name} ended the connection while it sent. Try again."
            raise PeerError(msg)
        # Not one could be sent: that may be ours, if we refused them.
        refused = status == _NONE_SENT and (self._unusable or self._failed is not None)
        if status == _DESTINATION_UNKNOWN:
            msg = f"{name} cannot send to {self._peer.calling} (status 0x{status:04X}). {self._how_to_be_known()}"
            raise ArchiveUnusableError(msg)
        if status not in _DONE and not refused:
            msg = f"{name} does not send what it found (status 0x{status:04X}). Look into its log."
            if self._server is not None and not self._taken:
                msg += f" It may not reach this machine. {self._how_to_be_known()}"
            raise PeerError(msg)
        completed, failed, warning = (int(last.get(f"NumberOf{kind}Suboperations") or 0) for kind in _COUNTS)
        return completed + warning, failed

    def _take(self, event: Any) -> int:
        """Return the status for an object that is brought."""
        content = event.request.DataSet.getvalue() if event.request.DataSet is not None else b""
        with self._lock:
            if self._keep is None:
                return OUT_OF_RESOURCES
            if not content or len(content) > self._bounds.object_bytes:
                self._unusable += 1
                return CANNOT_UNDERSTAND
            try:
                self._keep([bytes(128) + b"DICM" + encode_file_meta(event.file_meta), content])
            except OSError as error:
                self._failed = error
                return OUT_OF_RESOURCES
            self._taken += 1
        return SUCCESS

    def _note_turned_away(self, event: Any) -> None:
        request, answer = event.assoc.requestor.primitive, event.assoc.acceptor.primitive
        if (answer.result_source, answer.diagnostic) not in _TITLES:
            self._no_room = True
            return
        titles = (str(title).strip() for title in (request.calling_ae_title, request.called_ae_title))
        theirs, ours = (title if is_ae_title(title) else None for title in titles)
        self._turned_away = theirs, ours

    def _wait_at(self, bind: str, port: int, tls: ServerTls | None) -> BoundedServer:
        entity = AE(ae_title=self._peer.calling)
        entity.require_calling_aet = [self._peer.called]
        server = listen_at(
            bind,
            port,
            entity,
            contexts=[build_context(storage_class, transfer_syntaxes()) for storage_class in STORAGE_CLASSES],
            handlers=[(evt.EVT_C_STORE, self._take), (evt.EVT_REJECTED, self._note_turned_away)],
            bounds=self._bounds,
            tls=None if tls is None else server_context(tls),
        )
        threading.Thread(target=server.serve_forever, name="brought", daemon=True).start()
        return server
