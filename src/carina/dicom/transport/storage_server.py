"""A server that takes radiographs by C-STORE and answers C-ECHO, within bounds."""

import ssl
from collections.abc import Callable
from typing import Any

from pynetdicom import AE, build_context, evt
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.sop_class import Verification

from carina.dicom.transport.accepted_syntaxes import STORAGE_CLASSES, transfer_syntaxes
from carina.dicom.transport.bounded import BoundedServer, Bounds, listen_at
from carina.dicom.transport.log import EventLog
from carina.dicom.transport.settings import Listening, ReceivingLimits

# Source: PS3.4 table B.2-1 (storage) and PS3.7 C.
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
# Of an A-ASSOCIATE-RJ, source and diagnostic: PS3.8 table 9-21.
_REJECTED = {(1, 3): "calling-title-not-allowed", (1, 7): "called-title-is-another", (3, 2): "too-many-associations"}


def storage_server(
    at: Listening,
    limits: ReceivingLimits,
    *,
    tls: ssl.SSLContext | None,
    store: Callable[[Any, bytes], int],
    log: EventLog,
) -> BoundedServer:
    """Return a server that takes connections once `serve_forever` runs.

    Parameters
    ----------
    at
        Where to listen, under which AE title, and who may call; whoever else calls or is called is rejected.
    limits
        How large an object may be, how many associations there are at a time, and how long they may be idle.
    tls
        What `at` says of TLS, made before anything is started.
    store
        Returns the status for a C-STORE request and its data set, after everything that it promises was done. What is
        empty or too large never reaches it.
    log
        Is told of whom and what is turned away.

    Raises
    ------
    ConfigurationError
        If the address cannot be listened on.
    """
    entity = AE(ae_title=at.aet)
    entity.require_calling_aet = list(at.allow)
    entity.maximum_associations = limits.associations
    entity.acse_timeout = entity.dimse_timeout = min(30.0, limits.idle_s)
    syntaxes = transfer_syntaxes()

    def tell_rejected(event: Any) -> None:
        answer = event.assoc.acceptor.primitive
        reason = _REJECTED.get((answer.result_source, answer.diagnostic), "other")
        log.tell("association rejected", reason=reason)

    def take(event: Any) -> int:
        if event.request.DataSet is None:
            return refuse(log, CANNOT_UNDERSTAND, "empty")
        # Without a copy: as long as nobody writes to it, BytesIO shares its bytes.
        content: bytes = event.request.DataSet.getvalue()
        if len(content) > limits.object_bytes:
            return refuse(log, CANNOT_UNDERSTAND, "too-large")
        return store(event, content)

    return listen_at(
        at.bind,
        at.port,
        entity,
        contexts=[build_context(Verification), *(build_context(uid, syntaxes) for uid in STORAGE_CLASSES)],
        handlers=[
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, take),
            (evt.EVT_REJECTED, tell_rejected),
        ],
        # Rejections want their turn, too.
        bounds=Bounds(limits.object_bytes, limits.idle_s, 2 * limits.associations + 8),
        tls=tls,
        on_refused=lambda reason: log.tell("connection refused", reason=reason),
    )


def refuse(log: EventLog, status: int, reason: str, **facts: Any) -> int:
    """Return the status of an object that is not taken, once the log was told why."""
    log.tell("refused to store", **facts, status=f"0x{status:04X}", reason=reason)
    return status


def file_beginning(event: Any) -> bytes:
    """Return what comes before the data set of a C-STORE request in a file (PS3.10 7.1)."""
    return bytes(128) + b"DICM" + bytes(encode_file_meta(event.file_meta))
