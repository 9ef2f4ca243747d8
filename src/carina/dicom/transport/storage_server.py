"""A server that takes radiographs by C-STORE and answers C-ECHO, within bounds."""

import ssl
from collections.abc import Callable, Sequence
from typing import Any

from pynetdicom import AE, build_context, evt
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.sop_class import Verification

from carina.dicom.transport.accepted_syntaxes import STORAGE_CLASSES, transfer_syntaxes
from carina.dicom.transport.bounded import BoundedServer, Bounds, listen_at
from carina.dicom.transport.log import EventLog

# Source: PS3.4 table B.2-1 (storage) and PS3.7 C.
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
# Of an A-ASSOCIATE-RJ, source and diagnostic: PS3.8 table 9-21.
_REJECTED = {(1, 3): "calling-title-not-allowed", (1, 7): "called-title-is-another", (3, 2): "too-many-associations"}


def storage_server(
    bind: str,
    port: int,
    *,
    aet: str,
    allow: Sequence[str],
    associations: int,
    idle_s: float,
    object_bytes: int,
    tls: ssl.SSLContext | None,
    store: Callable[[Any], int],
    log: EventLog,
) -> BoundedServer:
    """Return a server that takes connections once `serve_forever` runs.

    Parameters
    ----------
    bind, port
        Where to listen.
    aet, allow
        Its own AE title, and those that may call; whoever else calls or is called is rejected.
    associations, idle_s, object_bytes, tls
        See `carina.dicom.transport.bounded.Bounds`.
    store
        Returns the status for a C-STORE request, after everything that it promises was done.
    log
        Is told of whom it turns away.

    Raises
    ------
    ConfigurationError
        If the address cannot be listened on.
    """
    entity = AE(ae_title=aet)
    entity.require_calling_aet = list(allow)
    entity.maximum_associations = associations
    entity.acse_timeout = entity.dimse_timeout = min(30.0, idle_s)
    syntaxes = transfer_syntaxes()

    def tell_rejected(event: Any) -> None:
        answer = event.assoc.acceptor.primitive
        reason = _REJECTED.get((answer.result_source, answer.diagnostic), "other")
        log.tell("association rejected", reason=reason)

    return listen_at(
        bind,
        port,
        entity,
        contexts=[build_context(Verification), *(build_context(uid, syntaxes) for uid in STORAGE_CLASSES)],
        handlers=[
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, store),
            (evt.EVT_REJECTED, tell_rejected),
        ],
        # Rejections want their turn, too.
        bounds=Bounds(object_bytes, idle_s, 2 * associations + 8),
        tls=tls,
        on_refused=lambda reason: log.tell("connection refused", reason=reason),
    )


def file_beginning(event: Any) -> bytes:
    """Return what comes before the data set of a C-STORE request in a file (PS3.10 7.1)."""
    return bytes(128) + b"DICM" + bytes(encode_file_meta(event.file_meta))
