"""Where Carina keeps what it can make again: ``CARINA_CACHE``, else ``XDG_CACHE_HOME``, else ``~/.cache``."""

import os
from pathlib import Path


def default_cache_folder() -> Path:
    """Return the folder for caches; it need not exist."""
    if own := os.environ.get("CARINA_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "carina"
