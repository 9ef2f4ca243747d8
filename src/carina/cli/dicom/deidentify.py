"""``carina dicom deidentify``: radiographs in DICOM lose what says whose they are."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carina.cli.console import print_note, print_result, running_count
from carina.cli.options import argument, option, switch
from carina.errors import ConfigurationError, InputError
from carina.extras import require_libraries
from carina.inference.inputs import image_inputs
from carina.inference.left_out import LeftOutFiles
from carina.storage.atomic import whole_folder

if TYPE_CHECKING:
    from carina.dicom.deidentification.deidentify import Deidentified

_NOT_ENOUGH = (
    "What was written is less of a person's, not nobody's: pictures may still show who it is. Whoever answers for the "
    "data decides whether it may be passed on."
)
_NO_KEY = "Without --key the same patient gets another pseudonym next time."


def deidentify_command(
    paths: Annotated[
        list[str],
        argument(
            "PATH", "DICOM images, folders that hold them, patterns (in quotes), or - for a list on standard input."
        ),
    ],
    out: Annotated[Path, option("DIR", "Folder to write; it must not exist.")],
    key: Annotated[
        Path | None,
        option("FILE", "File with a secret key: the same key gives the same pseudonyms. It is made if absent."),
    ] = None,
    register: Annotated[
        Path | None, option("FILE", "New CSV file that tells what each file became. Keep it as private as the key.")
    ] = None,
    keep_patient_characteristics: Annotated[
        bool, switch("Keep age (at most 90), sex, size and weight.", "--keep-patient-characteristics")
    ] = False,
    shift_dates: Annotated[
        bool,
        switch(
            "Move dates to earlier ones instead of removing them, by the same time for all images of a patient.",
            "--shift-dates",
        ),
    ] = False,
    keep_device: Annotated[bool, switch("Keep which device made the image.", "--keep-device")] = False,
    keep_uids: Annotated[bool, switch("Keep all UIDs as they are.", "--keep-uids")] = False,
    pixels_looked_at: Annotated[
        bool,
        switch(
            "Confirm that you looked at the images and that no name is burned into the pixels.", "--pixels-looked-at"
        ),
    ] = False,
    as_json: Annotated[bool, switch("Print one JSON object per line.", "--json")] = False,
) -> None:
    """Write DICOM images without what identifies the patient.

    It follows the Basic Profile of DICOM PS3.15. An image that cannot be written becomes an error row, and the exit
    code is 1. Rows show inputs by number, since files and folders are often named after people; --register tells which
    is which.
    """
    # pydicom takes longer to import than all else here.
    from carina.dicom.deidentification.deidentify import WrittenBeforeError, deidentify  # noqa: PLC0415
    from carina.dicom.deidentification.profile import Options  # noqa: PLC0415
    from carina.dicom.deidentification.pseudonyms import Pseudonyms, read_or_create_key  # noqa: PLC0415

    require_libraries("De-identifying", "dicomanonymizer")
    _require_apart(out, paths, [file for file in (key, register) if file is not None])
    options = Options(keep_patient_characteristics, keep_device, keep_uids, shift_dates)
    with ExitStack() as stack:
        folder = stack.enter_context(whole_folder(out, what="de-identified images"))
        record = None if register is None else stack.enter_context(_register_in(register))
        pseudonyms = Pseudonyms(None if key is None else read_or_create_key(key))
        tell = stack.enter_context(running_count("read", streamed=True))
        others = LeftOutFiles()
        number = failed = copies = 0
        # By what was written, which input it was.
        first: dict[Path, int] = {}
        for number, each in enumerate(image_inputs(paths, left_out=others), start=1):
            made: Deidentified | InputError
            try:
                made = deidentify(each.read(), folder, pseudonyms, options, pixels_looked_at=pixels_looked_at)
                if first.setdefault(made.path, number) != number:
                    copies += 1
                    note = f"the same image as input {first[made.path]}: one file was written of both"
                    made = replace(made, notes=(*made.notes, note))
            except InputError as error:
                made = error
                if isinstance(error, WrittenBeforeError):
                    made = InputError(f"{error} It is input {first[error.path]}.", error.code)
                failed += 1
            (_print_json if as_json else _print_row)(number, made)
            if record is not None:
                record(number, each.path, made)
            tell(number)
    if (said := others.sentence()) is not None:
        print_note(said)
    if not as_json:
        same = f"{copies} the same as another input, " if copies else ""
        print_note(f"{number - failed - copies} written, {same}{failed} not written.")
        print_note(" ".join([_NOT_ENOUGH, *([] if key else [_NO_KEY])]))
    if failed:
        which = "The register tells" if register is not None else "--register FILE tells"
        print_note(f"{failed} input{'s' * (failed > 1)} could not be de-identified. {which} which file is which input.")
        raise typer.Exit(1)


def _require_apart(out: Path, paths: list[str], private: list[Path]) -> None:
    """Refuse a folder among what is to be read, and private files among what is to be passed on."""
    for path in map(Path, paths):
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            msg = f"--out {out} lies in a folder that is to be read. Choose a folder outside."
            raise ConfigurationError(msg)
    for file in private:
        if file.resolve().is_relative_to(out.resolve()):
            msg = f"{file} would lie among what is to be passed on, and undoes it. Choose a place outside {out}."
            raise ConfigurationError(msg)


def _print_json(number: int, made: "Deidentified | InputError") -> None:
    content: dict[str, object] = {"input": number}
    if isinstance(made, InputError):
        content["error"] = {"code": made.code, "message": str(made)}
    else:
        content |= {
            "path": made.path.as_posix(),
            "sop_instance_uid": made.sop_instance_uid,
            "notes": list(made.notes),
        }
    print_result(json.dumps(content))


def _print_row(number: int, made: "Deidentified | InputError") -> None:
    if isinstance(made, InputError):
        print_result(f"{number:>7}  not written  {made}")
        return
    print_result(f"{number:>7}  written      {made.path.as_posix()}")
    for note in made.notes:
        print_result(f"{'':>7}  note         {note}")


@contextmanager
def _register_in(path: Path) -> "Iterator[Callable[[int, Path, Deidentified | InputError], None]]":
    """Yield what adds a row to a new table of which file became which, that only its owner may read."""
    from carina.dicom.deidentification.pseudonyms import create_private  # noqa: PLC0415
    from carina.inference.results import path_in_words  # noqa: PLC0415  # it brings the models along

    try:
        stream = create_private(path)
    except FileExistsError:
        msg = f"{path} already exists. Name a new file for the register."
        raise ConfigurationError(msg) from None
    rows = csv.writer(stream)

    def write(*cells: object) -> None:
        rows.writerow(cells)
        # Each row is written at once: if the command is broken off, the table still names what was written.
        stream.flush()

    def add(number: int, path: Path, made: "Deidentified | InputError") -> None:
        became = ("", made.code) if isinstance(made, InputError) else (made.path.as_posix(), "")
        write(number, path_in_words(path), *became)

    with stream:
        write("input", "file", "became", "error")
        yield add
