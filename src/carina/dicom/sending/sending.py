"""Files go to another application entity or a DICOMweb server, again and again where it helps."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from carina.dicom.transport.settings import Destination, Retries

# At a time: as many as one association or a few seconds are for.
_TOGETHER = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file that was sent.

    Attributes
    ----------
    state
        ``taken`` and ``already there``: the other side has it, and said so. ``refused``: it does not want it, and would
        refuse it again. ``try again``: it, or the way to it, failed for a reason that may pass. ``not sent``: the file
        cannot be sent to anybody.
    reason
        Why, in a word or a status; of a file that was taken, what the other side remarked.
    """

    state: Literal["taken", "already there", "refused", "try again", "not sent"]
    reason: str | None = None

    @property
    def sent(self) -> bool:
        """Whether the other side has it."""
        return self.state in ("taken", "already there")

    @property
    def lasting(self) -> bool:
        """Whether the same would happen again."""
        return self.state != "try again"


TAKEN = Outcome("taken")
NOT_DICOM = Outcome("not sent", "not-a-dicom-file")
# Source: PS3.7 C.4.2, duplicate SOP instance.
DUPLICATE = 0x0111


def is_passing(status: int) -> bool:
    """Tell whether a status or failure reason of DICOM is one of the moment; the others judge the object.

    Source: PS3.7 C: 0xA7xx is a lack of resources, 0x0110 a failure while processing, 0x0213 a limit of resources.
    """
    return 0xA700 <= status <= 0xA7FF or status in (0x0110, 0x0213)


class Sender(Protocol):
    """What sends files."""

    def send(self, paths: Sequence[Path]) -> list[Outcome]:
        """Return what became of each DICOM file, in the same order; never raises for a peer that fails."""


def build_sender(destination: Destination) -> Sender:
    """Return what sends to a destination.

    Raises
    ------
    ConfigurationError
        If its certificates cannot be used.
    """
    if destination.dicom is not None:
        from carina.dicom.sending.store_scu import StoreScu  # noqa: PLC0415  # one of two libraries is needed

        return StoreScu(destination.dicom)
    from carina.dicom.sending.stow import StowSender  # noqa: PLC0415

    if destination.web is None:
        msg = "A destination without an address."
        raise ValueError(msg)
    return StowSender(destination.web)


@dataclass(frozen=True, slots=True)
class SentFile:
    """What became of a file after all attempts.

    Attributes
    ----------
    path
        Of the file.
    outcome
        Of the last attempt.
    attempts
        How many there were.
    """

    path: Path
    outcome: Outcome
    attempts: int


def send_files(
    sender: Sender, paths: Sequence[Path], retries: Retries, *, stopped: threading.Event | None = None
) -> Iterator[SentFile]:
    """Yield what became of each file, as soon as it is certain: those that were taken first.

    Parameters
    ----------
    sender
        What sends.
    paths
        DICOM files.
    retries
        `sending` attempts for each, with pauses.
    stopped
        Ends the attempts when it is set.
    """
    stopped = stopped or threading.Event()
    for first in range(0, len(paths), _TOGETHER):
        waiting, attempt = list(paths[first : first + _TOGETHER]), 0
        while waiting:
            attempt += 1
            again = []
            for path, outcome in zip(waiting, sender.send(waiting), strict=True):
                last = outcome.lasting or attempt >= retries.sending or stopped.is_set()
                if outcome.sent or last:
                    yield SentFile(path, outcome, attempt)
                else:
                    again.append(path)
            waiting = again
            if waiting:
                stopped.wait(retries.pause_s(attempt, random_share()))


def random_share() -> float:
    """Return a random number from 0 to 1, for pauses."""
    return random.random()  # noqa: S311  # no secret


def now() -> float:
    """Return the time in seconds since 1970, as the journal has it."""
    return time.time()
