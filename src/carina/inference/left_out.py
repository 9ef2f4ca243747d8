"""Which files of the named folders and archives were left out: counted by kind, and named in a file on request."""

import csv
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TextIO

from carina.errors import ConfigurationError
from carina.inference.results import path_in_words
from carina.radiographs.file_kind import FileKind, counted


class LeftOutFiles(AbstractContextManager["LeftOutFiles"]):
    """What `carina.inference.inputs.image_inputs` tells of the files that it leaves out.

    Nothing is collected but the counts: the names go to the file as they come.

    Parameters
    ----------
    names
        A CSV file to write with the columns path and kind; by default none. It is written over.

    Raises
    ------
    ConfigurationError
        If the file cannot be written.
    """

    def __init__(self, names: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._stream: TextIO | None = None
        if names is None:
            return
        try:
            self._stream = names.open("w", newline="", encoding="utf-8")
        except OSError as error:
            msg = f"--left-out {names} cannot be written: {error.strerror}."
            raise ConfigurationError(msg) from None
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self._writer.writerow(["path", "kind"])

    def __call__(self, path: Path, kind: FileKind) -> None:
        """Count one file, and write its name."""
        self.counts[kind.name] += 1
        if self._stream is not None:
            self._writer.writerow([path_in_words(path), kind.name])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def sentence(self) -> str | None:
        """Return what was left out, by kind; None where nothing was."""
        return say_left_out(self.counts)


def say_left_out(counts: Mapping[str, int]) -> str | None:
    """Return what was left out, by kind; None where nothing was."""
    return f"Left out: {counted(counts)}." if counts else None
