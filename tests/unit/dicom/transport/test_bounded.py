"""A peer that means harm holds up nobody but itself."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, build_context, evt
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA

from carina.dicom.transport.bounded import BoundedServer, Bounds
from dicom_certificates import make_certificates
from dicom_network import CR, ECHO, association, eventually, send
from dicom_stand_in import make_image

LARGEST = 20_000


class Taken:
    """A server that keeps the lengths of what it gets."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, idle_s: float = 1.0, connections: int = 6) -> None:
        self.lengths: list[int] = []
        self.refused: list[str] = []
        self.hold = threading.Event()
        self.hold.set()
        entity = AE("CARINA")
        entity.maximum_associations = 50
        entity.network_timeout = entity.acse_timeout = 30
        self.server: Any = entity.make_server(
            ("127.0.0.1", 0),
            contexts=[build_context(CR, "1.2.840.10008.1.2.1"), build_context(ECHO)],
            ssl_context=tls,
            evt_handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_C_ECHO, lambda _: 0)],
            server_class=BoundedServer,
            bounds=Bounds(LARGEST, idle_s, connections),
            on_refused=self.refused.append,
        )
        entity._servers.append(self.server)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _store(self, event: Any) -> int:
        self.lengths.append(len(event.request.DataSet.getvalue()))
        self.hold.wait(30)
        return 0

    def alive(self) -> bool:
        with association(self.port) as made:
            return made.is_established and made.send_c_echo().Status == 0


@pytest.fixture
def taken() -> Iterator[Taken]:
    made = Taken()
    yield made
    made.hold.set()
    made.server.drain(0.0)


def ended(connection: socket.socket, within_s: float) -> bool:
    """Whether the other side ends the connection in time."""
    connection.settimeout(within_s)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def raw_association(port: int) -> Any:
    """Return an established association, whose socket is then written to by hand."""
    entity = AE("SENDER")
    entity.requested_contexts = [build_context(CR, "1.2.840.10008.1.2.1"), build_context(ECHO)]
    made = entity.associate("127.0.0.1", port, ae_title="CARINA")
    assert made.is_established
    return made


def part(value: bytes, context: int = 1) -> bytes:
    primitive = P_DATA()
    primitive.presentation_data_value_list.append((context, value))
    return P_DATA_TF(primitive).encode()


def test_an_object_up_to_the_largest_is_whole(taken: Taken) -> None:
    image = make_image(1)
    assert send(taken.port, [image]) == [0]
    assert taken.lengths == [pytest.approx(8192 + 500, abs=300)]


def test_of_a_longer_object_one_byte_more_is_kept(taken: Taken) -> None:
    # 32 megabytes come, and the connection is as good as before.
    assert send(taken.port, [make_image(1, side=4000), make_image(2)]) == [0, 0]
    assert taken.lengths[0] == LARGEST + 1
    assert taken.lengths[1] < LARGEST


def test_a_pdu_of_four_gigabytes_ends_its_connection(taken: Taken) -> None:
    with socket.create_connection(("127.0.0.1", taken.port)) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 2**32 - 1) + bytes(1000))
        assert ended(connection, 5)
    assert taken.alive()


def test_a_pdu_that_stops_ends_its_connection(taken: Taken) -> None:
    with socket.create_connection(("127.0.0.1", taken.port)) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 1000) + bytes(10))
        assert ended(connection, 10)
    assert taken.alive()


def drip(connection: socket.socket, seconds: float) -> None:
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        connection.sendall(b"x")
        time.sleep(0.2)


def test_a_pdu_that_drips_ends_its_connection(taken: Taken) -> None:
    with socket.create_connection(("127.0.0.1", taken.port)) as connection:
        connection.sendall(struct.pack(">BBL", 1, 0, 1000))
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            drip(connection, 15.0)


def test_a_command_without_end_ends_its_association(taken: Taken) -> None:
    made = raw_association(taken.port)
    made.dul.socket.socket.sendall(b"".join(part(b"\x01" + bytes(16_000)) for _ in range(5)))
    eventually(lambda: not made.is_established, "it goes on")
    assert taken.alive()


def test_messages_without_waiting_for_answers_end_the_association(taken: Taken) -> None:
    taken.hold.clear()
    made = raw_association(taken.port)
    captured: list[bytes] = []
    raw = made.dul.socket.socket
    made.dul.socket.send = captured.append
    threading.Thread(target=lambda: made.send_c_store(make_image(1)), daemon=True).start()
    eventually(lambda: len(captured) >= 2, "nothing was sent")
    time.sleep(0.3)
    with contextlib.suppress(OSError):
        for _ in range(20):
            raw.sendall(b"".join(captured))
            time.sleep(0.1)
    eventually(lambda: not made.is_established, "it goes on")
    taken.hold.set()
    # One was being answered, two waited.
    eventually(lambda: len(taken.lengths) <= 3, "too many were taken")
    assert taken.alive()


def test_more_connections_than_wanted_are_closed(taken: Taken) -> None:
    held = [socket.create_connection(("127.0.0.1", taken.port)) for _ in range(6)]
    eventually(lambda: len(taken.server.active_associations) == 6, "not all came")
    with socket.create_connection(("127.0.0.1", taken.port)) as one_more:
        assert ended(one_more, 5)
    assert taken.refused == ["too-many-connections"]
    for connection in held:
        connection.close()
    eventually(taken.alive, "there is no room again")


def test_who_begins_no_tls_keeps_nobody_out(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    made = Taken(tls=certificates.server_context(), idle_s=600)
    try:
        silent = [socket.create_connection(("127.0.0.1", made.port)) for _ in range(3)]
        with association(made.port, tls_args=(certificates.client_context(), "localhost")) as through:
            assert through.is_established
            assert through.send_c_echo().Status == 0
        for connection in silent:
            connection.close()
    finally:
        made.server.drain(0.0)


def test_who_begins_no_tls_is_not_waited_for(tmp_path: Path) -> None:
    made = Taken(tls=make_certificates(tmp_path).server_context(), idle_s=0.5)
    try:
        with socket.create_connection(("127.0.0.1", made.port)) as connection:
            assert ended(connection, 30)
        eventually(lambda: made.refused == ["tls-handshake-failed"], "nobody was told")
    finally:
        made.server.drain(0.0)


def test_draining_answers_what_is_under_way_and_takes_nothing_new() -> None:
    made = Taken()
    made.hold.clear()
    idle, busy = raw_association(made.port), raw_association(made.port)
    statuses: list[Any] = []
    thread = threading.Thread(target=lambda: statuses.append(busy.send_c_store(make_image(1)).get("Status")))
    thread.start()
    eventually(lambda: len(made.lengths) == 1, "nothing came")
    drained = threading.Thread(target=made.server.drain, args=(20.0,))
    drained.start()
    eventually(lambda: idle.is_aborted, "the idle one goes on")
    assert drained.is_alive()
    made.hold.set()
    drained.join(10)
    assert not drained.is_alive()
    thread.join(10)
    assert statuses == [0]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", made.port))
