"""``carina serve``: the parts of a site, each in a process of its own."""

import ctypes
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Literal, get_args

from sqlalchemy import select

from carina.dicom.listener.judging import end_with_parent
from carina.dicom.transport.log import EventLog, ToEvents, quiet_libraries
from carina.errors import CarinaError, ConfigurationError
from carina.service.database.sessions import reading
from carina.service.judging.models import register_models
from carina.service.notices.queue import keep_addresses
from carina.service.people.people_tables import Account
from carina.service.process_group import run_group, set_from_signal
from carina.service.site_folder import LOCKS_FOLDER, Site, open_site

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Role = Literal["all", "web", "worker", "listener"]
ROLES: tuple[Role, ...] = get_args(Role)
# Beyond what a part has for what is under way.
_GRACE_S = 5.0

Run = Callable[[Site, EventLog, threading.Event], None]


def serve(
    folder: Path,
    role: Role = "all",
    *,
    database: str | None = None,
    as_json: bool = False,
    tell: Callable[[str], None],
) -> None:
    """Serve a site until SIGTERM or SIGINT; called in the main thread.

    Parameters
    ----------
    folder
        Of the site; it is made if it is not there.
    role
        Which parts run here.
    database
        Instead of what the site's settings say.
    as_json
        Whether the log has one JSON object per line.
    tell
        Is given sentences for whoever started it: the address, and how to make the first account.

    Raises
    ------
    ConfigurationError
        If the folder, its settings, its database or an address cannot be used, or the site is served already.
    BundleError
        If its model is no bundle, or was altered.
    """
    site = open_site(folder, database=database, make=True)
    as_json = as_json or site.settings.log == "json"
    log = EventLog(sys.stdout, as_json=as_json)
    held = None
    address: socket.socket | None = None
    try:
        held = _hold(folder) if role == "all" else None
        keep_addresses(site.engine, site.settings.webhooks)
        for sentence in register_models(site):
            tell(sentence)
        deleted = site.clean()
        if deleted:
            log.tell("cleaned", never_acknowledged=deleted)
        address = _address(site) if role in ("all", "web") else None
        parts = _parts(site, role, database, as_json, address)
        if address is not None:
            _welcome(site, address, tell)
        site.close()
        run_group(parts, log, stop_s=site.settings.limits.stop_s + _GRACE_S)
    finally:
        site.close()
        for opened in (held, address):
            if opened is not None:
                opened.close()


def _parts(
    site: Site,
    role: Role,
    database: str | None,
    as_json: bool,
    address: socket.socket | None,  # passed on
) -> dict[str, Callable[[], None]]:
    settings = site.settings
    wanted: dict[str, Run] = {}
    if address is not None:
        wanted["web"] = partial(_web, address)
    if role in ("all", "worker"):
        wanted |= {f"worker {number + 1}": _worker for number in range(settings.limits.workers)}
    if role in ("all", "listener"):
        if settings.listener is not None:
            wanted["listener"] = _listener
        if settings.watch is not None:
            wanted["watched folder"] = _watch
        if settings.dicomweb is not None:
            wanted["DICOMweb"] = _poll
        if settings.destination is not None:
            wanted["outbox"] = _outbox
        if role == "listener" and not wanted:
            msg = (
                f"{site.folder / 'site.toml'} has no [listener], [watch], [dicomweb] or [destination]: this role has "
                "nothing to do."
            )
            raise ConfigurationError(msg)
    return {name: partial(_run_part, run, site.folder, database, as_json) for name, run in wanted.items()}


def _run_part(run: Run, folder: Path, database: str | None, as_json: bool) -> None:  # of a partial
    """Run a part in its own process, until SIGTERM or until the process that started it ends."""
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        set_from_signal(stop)

    # Ctrl-C goes to the whole group; the process that started this one decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=end_with_parent, daemon=True).start()
    log = EventLog(sys.stdout, as_json=as_json)
    with quiet_libraries(log):
        try:
            site = open_site(folder, database=database)
            try:
                run(site, log, stop)
            finally:
                site.close()
        except CarinaError as error:
            # Carina's own sentences name settings and files, and no patient.
            sys.stderr.write(f"carina: {error}\n")
            sys.exit(1)
        except Exception as error:  # noqa: BLE001  # its text may hold anything that came in
            log.tell("internal error", kind=type(error).__name__)
            sys.exit(1)


def _web(address: socket.socket, site: Site, log: EventLog, stop: threading.Event) -> None:
    import uvicorn  # noqa: PLC0415  # of this part alone

    from carina.service.web.app import build_app  # noqa: PLC0415

    _share_memory()
    app = build_app(site)
    config = uvicorn.Config(
        app,
        # An access log would hold addresses; the audit log says who saw what.
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=site.settings.behind_proxy,
        forwarded_allow_ips=list(site.settings.proxies),
        timeout_graceful_shutdown=3,
        timeout_keep_alive=30,
    )
    server = uvicorn.Server(config)
    # Uvicorn would take the signals for itself: it would end before the pages that listen, and wait for them.
    server.capture_signals = nullcontext  # type: ignore[assignment, method-assign]

    def end_server() -> None:
        stop.wait()
        # Else pages that wait for arrivals would hold it.
        app.state.arrivals.stop()
        server.should_exit = True

    threading.Thread(target=end_server, daemon=True).start()
    log.tell("pages ready")
    pages, events = logging.getLogger("carina.service.web"), ToEvents(log, "page failed")
    pages.addHandler(events)
    pages.propagate = False
    try:
        server.run(sockets=[address])
    finally:
        pages.removeHandler(events)
        pages.propagate = True


def _share_memory() -> None:
    """Let the threads of this process share two arenas of memory; with sixteen, as usual, it takes 35 MB more."""
    with suppress(OSError, AttributeError):
        # M_ARENA_MAX of mallopt(3); other C libraries than GNU's have neither.
        ctypes.CDLL(None).mallopt(-8, 2)


def _worker(site: Site, log: EventLog, stop: threading.Event) -> None:
    from carina.service.fitting.site_fitter import SiteFitter  # noqa: PLC0415
    from carina.service.judging.site_worker import Worker  # noqa: PLC0415
    from carina.service.judging.slots import Slot  # noqa: PLC0415  # of this part alone
    from carina.service.notices.notice_sender import NoticeSender  # noqa: PLC0415
    from carina.service.retention import keep_house  # noqa: PLC0415
    from carina.service.watching.alerts import watch_days  # noqa: PLC0415

    slot = Slot(site.folder / LOCKS_FOLDER)
    # One worker of each machine is enough; two would do no harm.
    if slot.is_first:
        threading.Thread(target=keep_house, args=(site, log, stop), name="housekeeping", daemon=True).start()
        fitter = SiteFitter(site, slot.name, log)
        threading.Thread(target=fitter.run, args=(stop,), name="fitting", daemon=True).start()
        threading.Thread(target=watch_days, args=(site, log, stop), name="watching", daemon=True).start()
        if site.settings.webhooks:
            notices = NoticeSender(site, log)
            threading.Thread(target=notices.run, args=(stop,), name="notices", daemon=True).start()
    try:
        Worker(site, slot.name, log).run(stop)
    finally:
        slot.close()


def _listener(site: Site, log: EventLog, stop: threading.Event) -> None:
    from carina.service.intake.site_listener import listen  # noqa: PLC0415  # of this part alone

    if site.settings.listener is not None:
        listen(site, site.settings.listener, log, stop)


def _watch(site: Site, log: EventLog, stop: threading.Event) -> None:
    from carina.service.intake.watch import watch  # noqa: PLC0415  # of this part alone

    if site.settings.watch is not None:
        watch(site, site.settings.watch, log, stop)


def _poll(site: Site, log: EventLog, stop: threading.Event) -> None:
    from carina.service.intake.poll import poll  # noqa: PLC0415  # of this part alone

    if site.settings.dicomweb is not None:
        poll(site, site.settings.dicomweb, log, stop)


def _outbox(site: Site, log: EventLog, stop: threading.Event) -> None:
    from carina.service.outbox import Outbox  # noqa: PLC0415  # of this part alone

    Outbox(site, log).run(stop)


def _hold(folder: Path) -> IO[bytes] | None:
    """Keep others from serving the same folder; the system lets go of it when this process ends, however it ends."""
    if fcntl is None:
        return None
    (folder / LOCKS_FOLDER).mkdir(mode=0o700, exist_ok=True)
    held = (folder / LOCKS_FOLDER / "serve").open("ab")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        msg = f"{folder} is served by another process already. End it, or name another folder."
        raise ConfigurationError(msg) from None
    return held


def _address(site: Site) -> socket.socket:
    """Return what listens for the pages. It stays open while their process is started again: who asks then waits."""
    bind, port = site.settings.bind, site.settings.port
    try:
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        address = socket.socket(family, socket.SOCK_STREAM)
        with suppress(OSError):
            address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            address.bind((bind, port))
            address.listen(256)
        except OSError:
            address.close()
            raise
    except OSError as error:
        msg = f"{bind}:{port} cannot be used for the pages: {error.strerror}. Set another port in site.toml."
        raise ConfigurationError(msg) from None
    return address


def _welcome(site: Site, address: socket.socket, tell: Callable[[str], None]) -> None:
    host, port = address.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    tell(f"The worklist is at http://{shown}:{port}/ (Ctrl-C ends it).")
    with reading(site.engine) as session:
        anybody = session.scalar(select(Account.id).limit(1))
    if anybody is None:
        tell(
            "There is no account yet. Make the first one in another terminal:\n"
            f"  carina serve account add NAME --role administrator --folder {site.folder}"
        )
