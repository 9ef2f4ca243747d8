"""``carina dicom send``: files go to an archive."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from carina.cli.console import print_note, print_result
from carina.cli.dicom.peers import CA, CERTIFICATE, KEY, NETWORK, destination_of, tls_of
from carina.cli.options import argument, option, switch
from carina.errors import ConfigurationError
from carina.extras import require_libraries
from carina.inference.inputs import image_inputs
from carina.inference.left_out import LeftOutFiles
from carina.radiographs.file_kind import FileKind

_NO_OBJECT = FileKind("file without a DICOM header", is_image=False)


def send_command(
    files: Annotated[list[Path], argument("PATH", "DICOM files, or folders that hold DICOM files.")],
    to: Annotated[str | None, option("HOST:PORT", "Archive to send to by C-STORE.")] = None,
    called: Annotated[str | None, option("AET", "AE title of the archive. Default: ANY-SCP.")] = None,
    aet: Annotated[str, option("AET", "Carina's own AE title.")] = "CARINA",
    stow: Annotated[str | None, option("URL", "DICOMweb server to send to by STOW-RS.")] = None,
    tls: Annotated[bool, switch("Use TLS. A URL with https uses it by itself.", "--tls")] = False,
    ca: CA = None,
    certificate: CERTIFICATE = None,
    key: KEY = None,
    attempts: Annotated[
        int, option("NUMBER", "How often to try each file if the failure may pass. Pauses grow from 1 s.", min=1)
    ] = 5,
    as_json: Annotated[bool, switch("Print one JSON object per line.", "--json")] = False,
) -> None:
    """Send DICOM files to an archive.

    They are sent as they are. Each line says what became of one file: taken; already there; refused; try again (after
    all attempts); or not sent, because it is not a DICOM file or cannot be read. Taken means that the other side
    confirmed it, not only that it answered. What each reason means is said once below. The exit code is 1 unless every
    file was taken or is already there.
    """
    require_libraries("carina dicom send", *NETWORK)
    from carina.dicom.sending.outcome import meaning_of  # noqa: PLC0415
    from carina.dicom.sending.sending import build_sender, send_files  # noqa: PLC0415
    from carina.dicom.transport.log import quiet_libraries  # noqa: PLC0415  # the network's libraries
    from carina.dicom.transport.settings import Destination, Retries  # noqa: PLC0415

    secured = tls_of(tls=tls, ca=ca, certificate=certificate, key=key)
    values = destination_of(to, stow, called=called, calling=aet, tls=secured)
    destination = Destination.model_validate(values)
    others = LeftOutFiles()
    paths = _files(files, others)
    counts: Counter[str] = Counter()
    meanings: dict[str, str] = {}
    failed = 0
    with quiet_libraries():
        sender = build_sender(destination)
        for sent in send_files(sender, paths, Retries(first_s=1, longest_s=60, sending=attempts)):
            outcome = sent.outcome
            failed += not outcome.sent
            counts[outcome.state] += 1
            reason = outcome.reason
            if reason is not None:
                meanings.setdefault(reason, meaning_of(reason, destination.other))
            if as_json:
                row = {"path": str(sent.path), "state": outcome.state, "attempts": sent.attempts}
                print_result(json.dumps({**row, "reason": reason, "message": meanings[reason]} if reason else row))
            else:
                print_result(f"{outcome.state:<13}  {sent.path}" + (f"  {reason}" if reason else ""))
    if not as_json:
        for reason, meaning in meanings.items():
            print_note(f"{reason}: {meaning}")
    if len(paths) > 1 and not as_json:
        print_note(f"{len(paths)} files: {', '.join(f'{count} {state}' for state, count in counts.items())}.")
    if (said := others.sentence()) is not None:
        print_note(said)
    if failed:
        raise typer.Exit(1)


def _files(named: Sequence[Path], others: LeftOutFiles) -> list[Path]:
    """Return the files that were named, and of folders those that are DICOM objects, each once; count the others.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    found: list[Path] = []
    for path in named:
        if not path.is_dir():
            found.append(path)
            continue
        # A folder that may not be entered comes up, too, and so is told.
        below = [each.path for each in image_inputs([path], left_out=others) if each.path != path or _is_closed(path)]
        for file in below:
            if _is_object(file):
                found.append(file)
            else:
                others(file, _NO_OBJECT)
    if not found:
        what = [f"There is no DICOM file in {', '.join(map(str, named))}.", others.sentence()]
        msg = " ".join([*filter(None, what), "Name files, or folders that hold some."])
        raise ConfigurationError(msg)
    return list(dict.fromkeys(found))


def _is_closed(folder: Path) -> bool:
    try:
        os.scandir(folder).close()
    except OSError:
        return True
    return False


def _is_object(path: Path) -> bool:
    """Tell whether a file is a DICOM object; one that cannot be read may be one, and is told when it is to be sent."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return True
