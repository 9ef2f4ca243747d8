"""Files go to another application entity or a DICOMweb server, again and again where it helps."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from carina.dicom.sending.outcome import Outcome
from carina.dicom.transport.settings import Destination, Peer, Retries

# At a time: as many as one association or a few seconds are for.
_TOGETHER = 50


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
    other = destination.other
    if isinstance(other, Peer):
        from carina.dicom.sending.store_scu import StoreScu  # noqa: PLC0415  # one of two libraries is needed

        return StoreScu(other)
    from carina.dicom.sending.stow import StowSender  # noqa: PLC0415

    return StowSender(other)


@dataclass(frozen=True, slots=True)
class SentFile:
    """What became of a file in its last attempt, and how many attempts there were."""

    path: Path
    outcome: Outcome
    attempts: int


def send_files(sender: Sender, paths: Sequence[Path], retries: Retries) -> Iterator[SentFile]:
    """Yield what became of each DICOM file, as soon as it is certain: those that were taken first."""
    for first in range(0, len(paths), _TOGETHER):
        waiting, attempt = list(paths[first : first + _TOGETHER]), 0
        while waiting:
            attempt += 1
            again = []
            for path, outcome in zip(waiting, sender.send(waiting), strict=True):
                if outcome.lasting or attempt >= retries.sending:
                    yield SentFile(path, outcome, attempt)
                else:
                    again.append(path)
            waiting = again
            if waiting:
                time.sleep(retries.pause_s(attempt))
