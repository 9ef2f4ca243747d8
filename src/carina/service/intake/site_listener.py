"""The site's DICOM listener: what comes by C-STORE is taken in before it is acknowledged."""

import threading
import time
from typing import Any

from carina.dicom.transport.log import EventLog, shown
from carina.dicom.transport.settings import Listening
from carina.dicom.transport.storage_server import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    SUCCESS,
    file_beginning,
    refuse,
    storage_server,
)
from carina.dicom.transport.tls import server_context
from carina.service.intake.take import NotTakenError, Taken, take
from carina.service.parts import LISTENER, Presence
from carina.service.site_folder import Site


def listen(site: Site, settings: Listening, log: EventLog, stop: threading.Event) -> None:
    """Listen until `stop` is set; then finish what is under way.

    Raises
    ------
    ConfigurationError
        If the address cannot be listened on, or TLS' files cannot be used.
    """
    limits = site.settings.limits
    presence = Presence(site, LISTENER)
    server = storage_server(
        settings,
        limits,
        tls=None if settings.tls is None else server_context(settings.tls),
        store=lambda event, content: store(site, event, content, log),
        log=log,
    )
    threading.Thread(target=server.serve_forever, name="server", daemon=True).start()
    log.tell("listening", address=f"{settings.bind}:{server.server_address[1]}", tls=int(settings.tls is not None))
    while not stop.wait(1):
        presence.say()
    server.drain(limits.stop_s)
    presence.leave()


def store(site: Site, event: Any, content: bytes, log: EventLog) -> int:
    """Return the status for a C-STORE request, once what was sent is on the disk or was refused."""
    started = time.perf_counter()
    try:
        said = take(site, file_beginning(event) + content, name="", source="c-store")
    except NotTakenError as error:
        return refuse(log, OUT_OF_RESOURCES, error.code)
    if isinstance(said, Taken):
        what = "received" if said.is_new else "duplicate"
        milliseconds = 1000 * (time.perf_counter() - started)
        log.tell(what, image=said.image_id, object=shown(said.digest), bytes=len(content), ms=milliseconds)
        return SUCCESS
    if said.code == "own-answer":
        # A PACS that forwards whatever it gets sends Carina its own answers, too.
        log.tell("own answer")
        return SUCCESS
    return refuse(log, CANNOT_UNDERSTAND, said.code)
