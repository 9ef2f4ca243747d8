"""What may travel in a bundle: no code, no reference to another file, no folder of the machine that it was made on."""

import json
import re
import shlex
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from carina.errors import BundleError


def require_self_contained(graph: Path) -> None:
    """Refuse a graph that needs another file.

    Raises
    ------
    BundleError
        If it refers to one.
    """
    # A tensor outside the graph is named by an entry with the key "location" (onnx.proto, TensorProto.external_data).
    # Protobuf keeps a string in one piece however it is encoded, so that searching the bytes misses none; our graphs
    # use the word nowhere else, and by chance eight such bytes stand once in 10^12 graphs.
    if b"location" in graph.read_bytes():
        msg = f"{graph} refers to data outside of the graph. Save it with all its data inside."
        raise BundleError(msg)


def require_without_code(path: Path) -> None:
    """Refuse a Keras file that holds anything but Keras' own layers and numbers. It is looked at, not loaded.

    Raises
    ------
    BundleError
        If it holds more, or is no Keras file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        msg = f"{path} is no Keras model. Train or export the model again."
        raise BundleError(msg) from None
    if extra := sorted(names - {"metadata.json", "config.json", "model.weights.h5"}):
        msg = f"{path} holds {extra[0]!r}, which no model of Carina needs. Train or export the model again."
        raise BundleError(msg)
    if foreign := sorted(_classes(config) - {"keras", "builtins"}):
        msg = f"{path} holds code or layers that are not Keras' own ({foreign[0]}). Train or export the model again."
        raise BundleError(msg)


def _classes(config: Any) -> set[str]:
    """Return the top packages that a Keras configuration builds objects from; Lambda layers by their own name."""
    if isinstance(config, list):
        return set().union(*(_classes(item) for item in config))
    if not isinstance(config, dict):
        return set()
    found = set().union(*(_classes(item) for item in config.values()))
    if config.get("class_name") in ("Lambda", "__lambda__"):
        found.add("Lambda")
    if "class_name" in config and "module" in config:
        found.add(str(config["module"]).split(".")[0])
    return found


def without_folders(value: Any) -> Any:
    """Return the same with every absolute path cut to its last part."""
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    return last_part(value) if isinstance(value, str) and _is_path(value) else value


def without_directories(command: str) -> str:
    """Return what was typed with every path, relative ones too, cut to its last part."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    options = (re.fullmatch(r"(--?[A-Za-z][\w-]*=)?(.*)", word, re.DOTALL) for word in words)
    return shlex.join((match[1] or "") + last_part(match[2]) for match in options if match)


def _is_path(text: str) -> bool:
    return text.startswith("~") or PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


def last_part(text: str) -> str:
    """Return a path's last part; text without a separator as it is."""
    # Windows' rules know both separators.
    return PureWindowsPath(text).name or text if re.search(r"[/\\]", text) else text
