"""pynetdicom's server, with limits on what a peer can make it hold, read or wait for.

By itself it takes PDUs of up to 4 GB, messages of any length, as many messages as a peer sends without waiting for
answers, as many connections as there are, and lets one peer that begins no TLS handshake keep all others out.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from carina.errors import ConfigurationError

# What is offered as the largest PDU: larger ones cost less of the processor for each byte.
OFFERED_PDU = 262_144
# Some peers send longer ones than they were offered; proposals of many contexts are long as well.
_LARGEST_PDU = 1_048_576
# A command has a dozen short elements.
_LARGEST_COMMAND = 65_536
# A peer without an asynchronous operations window, which is never granted, sends one message and waits.
_MESSAGES_WAITING = 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one peer may ask for.

    Attributes
    ----------
    object_bytes
        Of a data set. Of a longer one, one byte more than this is kept, by which it is known.
    idle_s
        For each PDU, from its first byte to its last, and for the TLS handshake.
    connections
        Open at a time.
    """

    object_bytes: int
    idle_s: float
    connections: int = 64


class _Reads:
    """Reads PDUs from a socket, within bounds, in place of `AssociationSocket.recv`."""

    def __init__(self, association_socket: Any, idle_s: float) -> None:
        self._socket = association_socket
        self._idle_s = idle_s

    def __call__(self, count: int) -> bytearray:
        """Return so many bytes, or fewer if the connection ends.

        Raises
        ------
        ConnectionError
            If there are more than a PDU may have, or they come too slowly. pynetdicom ends the association then.
        """
        if count > _LARGEST_PDU:
            msg = "PDU too long"
            raise ConnectionError(msg)
        content, read = bytearray(count), 0
        until = time.monotonic() + self._idle_s
        with memoryview(content) as view:
            while read < count:
                got = self._socket.socket.recv_into(view[read:])
                if not got:
                    break
                read += got
                if time.monotonic() > until:
                    msg = "PDU too slow"
                    raise ConnectionError(msg)
        del content[read:]
        return content


class _Messages(DIMSEServiceProvider):  # type: ignore[misc]  # pynetdicom has no types here
    """Messages within bounds."""

    def __init__(self, association: Any, object_bytes: int, draining: Callable[[], bool]) -> None:
        super().__init__(association)
        self._object_bytes = object_bytes
        self._draining = draining
        self._of_command = self._of_data = 0
        self._unanswered = 0

    @property
    def under_way(self) -> bool:
        """Whether a message is being received, or was received and is not answered yet."""
        return self.message is not None or self._unanswered > 0

    def receive_primitive(self, primitive: Any) -> None:
        """Take the next part of a message; what goes beyond the largest object is dropped but for one byte."""
        if self.message is None:
            self._of_command = self._of_data = 0
            if self._draining() or self.msg_queue.qsize() >= _MESSAGES_WAITING:
                self._end()
                return
        values = []
        for context_id, value in primitive.presentation_data_value_list:
            if value[0] & 1:
                self._of_command += len(value) - 1
                kept = value
            else:
                room = max(0, self._object_bytes + 1 - self._of_data)
                kept = value if len(value) - 1 <= room else value[: 1 + room]
                self._of_data += len(kept) - 1
            values.append((context_id, kept))
        if self._of_command > _LARGEST_COMMAND:
            self._end()
            return
        primitive.presentation_data_value_list[:] = values
        self._unanswered += 1
        super().receive_primitive(primitive)
        if self.message is not None:
            # Not its last part.
            self._unanswered -= 1

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Send an answer, or a request."""
        super().send_msg(primitive, context_id)
        self._unanswered = max(0, self._unanswered - 1)

    def _end(self) -> None:
        # As if the peer had gone: this runs in the thread that an abort would wait for.
        self.dul.socket.close()


def bound_association(association: Any, bounds: Bounds, draining: Callable[[], bool] = lambda: False) -> None:
    """Hold an association, whose messages have not begun, to some bounds."""
    association_socket = association.dul.socket
    association_socket.recv = _Reads(association_socket, bounds.idle_s)
    association_socket._shutdown_socket = lambda: _close(association.dul)
    if association_socket.socket is not None:
        # Else a peer that stops within a PDU would be waited for without end.
        association_socket.socket.settimeout(bounds.idle_s)
    association.dimse = _Messages(association, bounds.object_bytes, draining)


def listen_at(
    host: str,
    port: int,
    entity: Any,
    *,
    contexts: list[Any],
    handlers: list[Any],
    bounds: Bounds,
    tls: ssl.SSLContext | None,
    on_refused: Callable[[str], None] = lambda _: None,
) -> "BoundedServer":
    """Return a server of an application entity, which takes connections once `serve_forever` runs.

    Raises
    ------
    ConfigurationError
        If the address cannot be listened on.
    """
    entity.require_called_aet = True
    entity.maximum_pdu_size = OFFERED_PDU
    entity.network_timeout = bounds.idle_s
    try:
        server: BoundedServer = entity.make_server(
            (host, port),
            contexts=contexts,
            ssl_context=tls,
            evt_handlers=handlers,
            server_class=BoundedServer,
            bounds=bounds,
            on_refused=on_refused,
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        msg = f"{host}:{port} cannot be listened on: {reason}. Choose another address or port."
        raise ConfigurationError(msg) from None
    # What it is taken off again when it is shut down.
    entity._servers.append(server)
    return server


def _close(dul: Any) -> None:
    """Close the socket of an association, in place of what leaves it open where the peer was faster."""
    connection = dul.socket.socket
    if connection is None:
        return
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
    if dul.state_machine.current_state == "Sta2":
        # Nobody asked for an association: its thread need not wait any longer for one to be asked for.
        dul.to_user_queue.put(None)


class _Handler(RequestHandler):  # type: ignore[misc]
    """Makes an association of a connection."""

    def _create_association(self) -> Any:
        association = super()._create_association()
        server: BoundedServer = self.server
        bound_association(association, server.bounds, lambda: server.draining)
        # The end of the program waits for the server, not for a peer.
        association.daemon = association.dul.daemon = True
        return association


class BoundedServer(ThreadedAssociationServer):  # type: ignore[misc]
    """A server of associations, within bounds. Made by `ApplicationEntity.make_server`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *arguments: Any, bounds: Bounds, on_refused: Callable[[str], None], **keywords: Any) -> None:
        self.bounds = bounds
        self.draining = False
        self._on_refused = on_refused
        self._handshakes = 0
        self._counting = threading.Lock()
        super().__init__(*arguments, request_handler=_Handler, **keywords)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. TLS begins in its own thread, not here, where all others would wait for it."""
        connection, address = self.socket.accept()
        connection.settimeout(self.bounds.idle_s)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  # a base class's
        """Tell whether there is room for another connection."""
        room = len(self.active_associations) + self._handshakes < self.bounds.connections
        if not room:
            self._on_refused("too-many-connections")
        return room

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Begin TLS, where it is wanted, and then the association."""
        if self.ssl_context is None:
            super().process_request_thread(request, client_address)
            return
        with self._counting:
            self._handshakes += 1
        try:
            secured = self.ssl_context.wrap_socket(request, server_side=True)
        except (OSError, ValueError):
            self._on_refused("tls-handshake-failed")
            self.shutdown_request(request)
        else:
            super().process_request_thread(secured, client_address)
        finally:
            with self._counting:
                self._handshakes -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Say that a connection failed; the original prints a traceback."""
        self._on_refused("connection-failed")

    def drain(self, seconds: float) -> None:
        """Take no new connection and no new message, and end each association once its message is answered.

        Parameters
        ----------
        seconds
            After this long, associations are ended in the middle of a message. It was not acknowledged then.
        """
        self.draining = True
        self.shutdown()
        until = time.monotonic() + seconds
        while associations := self.active_associations:
            over = time.monotonic() > until
            for association in associations:
                if over or not association.dimse.under_way:
                    # It waits for a thread that may itself be waiting for the peer.
                    threading.Thread(target=_abort, args=(association,), daemon=True).start()
            if over:
                return
            time.sleep(0.05)


def _abort(association: Any) -> None:
    with contextlib.suppress(Exception):
        association.abort()
