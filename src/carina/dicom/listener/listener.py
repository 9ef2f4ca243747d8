"""The listener: objects come in, are judged, and their answers go out; nothing that was acknowledged is lost."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from carina.dicom.listener.judging import Judge, JudgeProcess
from carina.dicom.listener.keeper import Keeper
from carina.dicom.listener.receiver import Receiver
from carina.dicom.listener.work import DeliveryThread, Judging
from carina.dicom.sending.sending import build_sender
from carina.dicom.transport.bounded import BoundedServer
from carina.dicom.transport.log import EventLog, quiet_libraries
from carina.dicom.transport.settings import ListenSettings
from carina.dicom.transport.storage_server import storage_server
from carina.dicom.transport.tls import server_context

_HOUSEKEEPING_S = 60.0
_SIGNAL_S = 0.5
_DAY_S = 86_400.0


class Listener:
    """All of it, in a process. `factory` makes the judge; see `carina.dicom.listener.judging.JudgeProcess`.

    Raises
    ------
    ConfigurationError
        If the folder cannot be used, or another process uses it.
    """

    def __init__(self, settings: ListenSettings, factory: Callable[[], Judge], log: EventLog) -> None:
        self._settings, self._log = settings, log
        self._tls = None if settings.tls is None else server_context(settings.tls)
        sender = None if settings.destination is None else build_sender(settings.destination)
        self._keeper = Keeper(settings, log, delivers=sender is not None)
        self._judging = [
            Judging(JudgeProcess(factory, settings.limits.judging_s), self._keeper, log, settings.retries)
            for _ in range(settings.limits.workers)
        ]
        self._delivery = None if sender is None else DeliveryThread(sender, self._keeper, log, settings.retries)
        self._receiver = Receiver(self._keeper, log, settings.limits)
        self._stopping = threading.Event()
        self._server: BoundedServer | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return 0 if self._server is None else int(self._server.server_address[1])

    def start(self) -> None:
        """Go on with what an earlier process left, and listen.

        Raises
        ------
        CarinaError
            If the judge cannot be made.
        ConfigurationError
            If the address cannot be used.
        """
        try:
            self._keeper.recover()
            for judging in self._judging:
                judging.process.start()
            self._server = storage_server(
                self._settings, self._settings.limits, tls=self._tls, store=self._receiver.take, log=self._log
            )
        except BaseException:
            for judging in self._judging:
                judging.process.end()
            self._keeper.journal.close()
            raise
        for judging in self._judging:
            judging.start()
        if self._delivery is not None:
            self._delivery.start()
        threading.Thread(target=self._server.serve_forever, name="server", daemon=True).start()
        threading.Thread(target=self._keep_house, name="housekeeping", daemon=True).start()
        self._log.tell("listening", address=f"{self._settings.bind}:{self.port}", tls=int(self._tls is not None))

    def stop(self) -> None:
        """Take nothing new, finish what is under way, and close the journal. The rest waits for the next start."""
        self._log.tell("stopping")
        self._stopping.set()
        until = time.monotonic() + self._settings.limits.stop_s
        if self._server is not None:
            self._server.drain(until - time.monotonic())
        self._keeper.to_judge.close()
        self._keeper.to_send.close()
        for judging in self._judging:
            judging.end(until - time.monotonic())
        if self._delivery is not None:
            self._delivery.join(max(0.1, until - time.monotonic()))
        states = self._keeper.journal.states()
        self._keeper.journal.close()
        self._log.tell("stopped", waiting=states.get("received", 0) + states.get("judged", 0))

    def _keep_house(self) -> None:
        """Tell once a minute what waits, and forget once a day what is long done."""
        forgotten = 0.0
        while not self._stopping.wait(_HOUSEKEEPING_S):
            try:
                if time.time() > forgotten + _DAY_S:
                    forgotten = time.time()
                    self._keeper.journal.forget(forgotten - self._settings.remember_days * _DAY_S)
                if len(self._keeper.to_judge) or len(self._keeper.to_send):
                    self._log.tell(
                        "waiting",
                        to_judge=len(self._keeper.to_judge),
                        to_send=len(self._keeper.to_send),
                        bytes=self._keeper.room.taken,
                    )
            except OSError as error:
                self._log.tell("not noted", kind=type(error).__name__)


def listen(settings: ListenSettings, factory: Callable[[], Judge], log: EventLog) -> None:
    """Listen until SIGTERM or SIGINT; called in the main thread. See `Listener`.

    Raises
    ------
    CarinaError
        See `Listener` and `Listener.start`.
    """
    wanted = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        wanted.set()

    with quiet_libraries(log):
        listener = Listener(settings, factory, log)
        before = {which: signal.signal(which, stop) for which in (signal.SIGINT, signal.SIGTERM)}
        try:
            listener.start()
            # The system may hand the signal to any thread; this one then learns of it when it next runs.
            while not wanted.wait(_SIGNAL_S):
                pass
            listener.stop()
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)
