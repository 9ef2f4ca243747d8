"""What lies at a path that somebody named, and what to do where something else was wanted there.

Every command that takes a data set, a run, a bundle, an evaluation or an audit asks here when it finds another thing,
so that all say the same: what the folder is, and the command that makes the wanted thing, with the paths that were
typed.
"""

import difflib
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from carina.errors import ConfigurationError
from carina.radiographs.file_kind import is_archive
from carina.radiographs.lungs import LUNG_GRAPH
from carina.radiographs.read import kind_at, read_head
from carina.storage.seal import SEAL_FILE

Kind = Literal["data set", "finished run", "unfinished run", "bundle", "lung segmenter", "evaluation", "audit"]
Wanted = Literal["data set", "run", "bundle", "model", "evaluation", "audit"]

# The file by which each kind of folder is known: the one that is written last, or without which it cannot be read.
# In the order of asking: a bundle holds files of its run.
MARKERS: dict[Kind, str] = {
    "bundle": "bundle.json",
    "data set": "dataset.json",
    "audit": "audit.json",
    "evaluation": "metrics.json",
    "finished run": "run.json",
    "unfinished run": "started.json",
    "lung segmenter": LUNG_GRAPH,
}

_FITS: dict[Wanted, tuple[Kind, ...]] = {
    "data set": ("data set",),
    "run": ("finished run",),
    "bundle": ("bundle",),
    "model": ("bundle", "finished run"),
    "evaluation": ("evaluation",),
    "audit": ("audit",),
}
_WORDS: dict[Wanted, str] = {
    "data set": "a data set",
    "run": "a run",
    "bundle": "a bundle",
    "model": "a run or a bundle",
    "evaluation": "an evaluation",
    "audit": "an audit",
}
_MADE_BY: dict[Wanted, str] = {
    "data set": "carina data import",
    "run": "carina train",
    "bundle": "carina export",
    "model": "carina train or carina export",
    "evaluation": "carina evaluate",
    "audit": "carina audit",
}
# So many files are looked at to tell a folder of images.
_LOOKED_AT = 500
_NAMED = 5


def kind_of(path: Path) -> Kind | None:
    """Return which kind of Carina's own folders a path is; none where it is another thing, or nothing."""
    # A bundle that lost its description is a damaged bundle.
    if _is_file(path / SEAL_FILE):
        return "bundle"
    return next((kind for kind, marker in MARKERS.items() if _is_file(path / marker)), None)


def require_model_first(model: Path, dataset: Path, typed: Sequence[str]) -> None:
    """Refuse a model and a data set that were named in the wrong order.

    Parameters
    ----------
    model, dataset
        As they were named.
    typed
        The words of the command, for the message.

    Raises
    ------
    ConfigurationError
        If the first is a data set and the second a run or a bundle.
    """
    kind = kind_of(dataset)
    if kind_of(model) == "data set" and kind in _FITS["model"]:
        other = {model: dataset, dataset: model}
        words = [word if word.startswith("-") else str(other.get(Path(word), word)) for word in typed]
        msg = (
            f"{model} is a data set and {dataset} is {_with_article(kind)}. The model comes first: {shlex.join(words)}"
        )
        raise ConfigurationError(msg)


def wrong_place(path: Path, wanted: Wanted) -> str:
    """Return what is to be said of a path that is not what was wanted: what it is, and what to do, in one line."""
    if not os.path.lexists(path):
        return f"There is no folder {path}. {_instead_of_missing(path, wanted)}"
    kind = kind_of(path)
    return f"{path} is {_what_it_is(path, kind)}, not {_WORDS[wanted]}. {_what_to_do(path, kind, wanted)}"


def without_images(path: Path) -> str | None:
    """Return what is to be said of a folder of Carina's own where a folder of images was wanted; none for any other."""
    kind = kind_of(path)
    if kind is None:
        return None
    what = f"this folder is {_with_article(kind)} and holds no images."
    if kind == "data set":
        evaluate = _command("carina evaluate", path, "--out", _beside(path, "evaluation"))
        return f"{what} Its images lie elsewhere. Judge them by: {evaluate}"
    return f"{what} Name a folder of images."


def _what_it_is(path: Path, kind: Kind | None) -> str:
    if kind is not None:
        return _with_article(kind)
    if not _is_folder(path):
        return "a file" if _is_file(path) else "neither a file nor a folder"
    if not _may_be_looked_into(path):
        return "a folder that this user may not look into"
    if not _names_in(path):
        return "an empty folder"
    return "a folder of images" if _holds_images(path) else "another folder"


def _what_to_do(path: Path, kind: Kind | None, wanted: Wanted) -> str:
    if kind is not None:
        return how_to_train(path) if (kind, wanted) in _TRAINED_ON else _from_kind(path, kind, wanted)
    if not _is_folder(path) and kind_of(path.parent) in _FITS[wanted]:
        return f"It lies in {_WORDS[wanted]}: name the folder {path.parent}."
    inside = _places_in(path, wanted)
    if inside:
        return f"In it there {_listed(inside, wanted)}. Name {'that' if len(inside) == 1 else 'one of them'}."
    if wanted == "data set" and _can_be_imported(path):
        return f"Import it: {_command('carina data import', path, '--out', _beside(path, 'dataset'))}"
    if _is_folder(path) and not _may_be_looked_into(path):
        return "Ask its owner for permission."
    return _made_by(wanted, path if _is_folder(path) and not _names_in(path) else None)


def _from_kind(path: Path, kind: Kind, wanted: Wanted) -> str:
    """Return how to come from one kind of folder to the wanted one."""
    if kind == "unfinished run" and wanted != "data set":
        return f"Go on with it: {_command('carina train --resume', path)}"
    if (kind, wanted) in _MADE_OF:
        say, verb, made = _MADE_OF[kind, wanted]
        return f"{say}: {_command(verb, path, '--out', _beside(path, made))}"
    dataset = learned_from(path)
    if wanted == "data set" and dataset is not None:
        return f"It learned from the data set {dataset}."
    if kind in _FITS["model"] and wanted in ("evaluation", "audit"):
        return f"Make one: {measuring(path, dataset, wanted)}"
    if kind == "bundle" and wanted == "run":
        return "Name the folder of the run that it was made of."
    return _written_by(path, kind) or _made_by(wanted)


def measuring(model: Path, dataset: str | None, wanted: Literal["evaluation", "audit"]) -> str:
    """Return the command that evaluates or audits a model; without a data set one is asked for."""
    verb, out = _MADE_BY[wanted], _beside(model, wanted)
    if dataset is None:
        return f"{_command(verb, model)}, then a data set, and --out {_quoted(out)}"
    return _command(verb, model, dataset, "--out", out)


_TRAINED_ON = (("data set", "run"), ("data set", "model"))
_MADE_OF: dict[tuple[Kind, Wanted], tuple[str, str, str]] = {
    ("data set", "evaluation"): ("Measure the released model on it", "carina evaluate", "evaluation"),
    ("finished run", "bundle"): ("Make a bundle of it", "carina export", "bundle"),
}


def how_to_train(dataset: Path) -> str:
    """Return the command that trains on a data set, or that none can because it is only for tests."""
    try:
        if json.loads((dataset / MARKERS["data set"]).read_bytes())["test_only"]:
            return "This data set is only for tests: train on one that was imported without --test-only."
    except (OSError, ValueError, KeyError, TypeError):  # what opens it says what is wrong with it
        pass
    return f"Train on it: {_command('carina train', dataset, '--out', _beside(dataset, 'run'))}"


def _made_by(wanted: Wanted, out: Path | None = None) -> str:
    return f"{_WORDS[wanted].capitalize()} is made by {_MADE_BY[wanted]}" + (
        "." if out is None else f", with --out {_quoted(out)}"
    )


def meant_by(path: Path) -> str:
    """Return a question that names what lies closest to a path at which there is nothing, or an advice."""
    meant = _close_to(path)[1]
    return f"Did you mean {meant[0]}?" if meant else "Check the path."


def _close_to(path: Path) -> tuple[Path, list[Path]]:
    """Return the folder in which a missing path's way ends, and what in it has a similar name, the closest first."""
    there, above = path.absolute(), path
    while not _is_folder(there.parent) and there != there.parent:
        there, above = there.parent, above.parent
    folder = above.parent
    close = difflib.get_close_matches(there.name, _names_in(folder), n=3, cutoff=0.6)
    meant = [folder / name / path.relative_to(above) for name in close]
    return folder, [each for each in meant if os.path.lexists(each)] or [folder / name for name in close]


def _instead_of_missing(path: Path, wanted: Wanted) -> str:
    """Return what may have been meant by a path at which there is nothing."""
    folder, meant = _close_to(path)
    fitting = [each for each in meant if kind_of(each) in _FITS[wanted]] or meant
    if fitting:
        kind = kind_of(fitting[0])
        return f"Did you mean {fitting[0]}{'' if kind is None else f' ({_with_article(kind)})'}?"
    inside = _places_in(folder, wanted)
    if inside:
        where = "In this folder" if folder == Path() else f"In {folder}"
        return f"{where} there {_listed(inside, wanted)}."
    return _made_by(wanted, path)


def _listed(places: list[Path], wanted: Wanted) -> str:
    if len(places) == 1:
        return f"is {places[0]} ({_WORDS[wanted]})"
    names = ", ".join(str(place) for place in places[:_NAMED])
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return f"are {names}{more} ({'runs or bundles' if wanted == 'model' else f'{wanted}s'})"


def _with_article(kind: Kind) -> str:
    special: dict[Kind, str] = {
        "unfinished run": "a run that was not finished",
        "lung segmenter": "the folder of a lung segmenter",
    }
    return special.get(kind, f"{'an' if kind[0] in 'ae' else 'a'} {kind}")


def _places_in(folder: Path, wanted: Wanted) -> list[Path]:
    return [folder / name for name in _names_in(folder) if kind_of(folder / name) in _FITS[wanted]]


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(islice((entry.name for entry in os.scandir(folder)), _LOOKED_AT))
    except OSError:
        return []


def _may_be_looked_into(folder: Path) -> bool:
    try:
        os.scandir(folder).close()
    except OSError:
        return False
    return True


def _holds_images(folder: Path) -> bool:
    return any(kind_at(path.parent, path.name).is_image for path in islice(_files_below(folder), _LOOKED_AT))


def _files_below(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(above, name) for name in sorted(names))


def _can_be_imported(path: Path) -> bool:
    if _is_folder(path):
        return _holds_images(path)
    return path.suffix.lower() in (".csv", ".tsv", ".xlsx") or is_archive(read_head(path) or b"")


def learned_from(path: Path) -> str | None:
    """Return the first data set that a run learned from, if it says so and it still lies there."""
    try:
        datasets = json.loads((path / MARKERS["unfinished run"]).read_bytes())["datasets"]
        return str(datasets[0]) if kind_of(Path(datasets[0])) == "data set" else None
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def _written_by(path: Path, kind: Kind) -> str | None:
    """Return by which command an evaluation or an audit was written: the model and the data are named there."""
    if kind not in ("evaluation", "audit"):
        return None
    try:
        command = json.loads((path / MARKERS[kind]).read_bytes())["command"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return f"It was written by: {command}" if isinstance(command, str) and command else None


def _beside(path: Path, what: str) -> Path:
    """Return a free name beside a path for what is made of it."""
    named = path if path.name not in ("", "..") else path.resolve()
    stem = named.stem if _is_file(named) else named.name
    free: Iterable[str] = (f"{stem}-{what}{number}" for number in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(named.with_name(name) for name in free if not os.path.lexists(named.with_name(name)))


def _is_file(path: Path) -> bool:
    # Unlike Path.is_file, this never raises for a path that may not be looked at.
    return os.path.isfile(path)  # noqa: PTH113


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112


def _command(command: str, *words: str | Path) -> str:
    return " ".join((command, *map(_quoted, words)))


def _quoted(word: str | Path) -> str:
    return shlex.quote(str(word))
