"""Compiled graphs that are kept from one process to the next, so that a command starts sooner; never trusted unseen.

What a graph was compiled to lies in the user's own cache folder under a name made from the graph, the library,
the processor and the settings, with a hash of itself before it. What does not fit its hash, belongs to somebody else or
could have been written by somebody else is not used, and the graph is compiled again.
"""

import hashlib
import logging
import os
import stat
from pathlib import Path

from carina.storage.atomic import whole_file
from carina.storage.cache_folder import default_cache_folder

_log = logging.getLogger(__name__)
_HASH_BYTES = 32
# Two graphs a model, in some settings; the oldest go first.
_KEPT = 12


def graph_key(*parts: str) -> str:
    """Return the name of a compiled graph: a hash of all that it depends on."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def recall_graph(key: str) -> bytes | None:
    """Return what was kept under a name, or none where there is nothing, or nothing that can be trusted."""
    path = _folder() / key
    try:
        if not (_is_ours_alone(path.parent) and _is_ours_alone(path)):
            return None
        content = path.read_bytes()
    except OSError:
        return None
    digest, graph = content[:_HASH_BYTES], content[_HASH_BYTES:]
    if hashlib.sha256(graph).digest() != digest:
        _log.info("a compiled graph in the cache is damaged; it is compiled again")
        return None
    return graph


def keep_graph(key: str, graph: bytes) -> None:
    """Keep a compiled graph; where that is not possible (a full disk, a read-only home) nothing happens."""
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _is_ours_alone(folder):
            return
        with whole_file(folder / key) as temporary:
            temporary.write_bytes(hashlib.sha256(graph).digest() + graph)
            temporary.chmod(0o600)
        by_age = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in by_age[_KEPT:]:
            path.unlink(missing_ok=True)
    except OSError as error:
        _log.info("a compiled graph could not be kept: %s", error.strerror)


def _folder() -> Path:
    return default_cache_folder() / "graphs"


def _is_ours_alone(path: Path) -> bool:
    """Return whether a file or folder is no link, belongs to this user, and can be written by nobody else."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
