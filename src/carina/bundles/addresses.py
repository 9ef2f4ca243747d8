"""A bundle lies in a folder, or at an address that leads to one."""

import os
import re
from pathlib import Path

_ADDRESS = re.compile(r"(?:hf|https?|s3)://")


def bundle_at(place: str | os.PathLike[str]) -> Path:
    """Return the folder at a path, or the one that an address leads to; see `carina.bundles.fetching.fetch_bundle`.

    Raises
    ------
    ConfigurationError, BundleError
        See there.
    """
    if not isinstance(place, str) or _ADDRESS.match(place) is None:
        return Path(place)
    from carina.bundles.fetching import fetch_bundle  # noqa: PLC0415  # encryption takes a while to import

    return fetch_bundle(place)
