"""A bundle lies in a folder, or at an address that leads to one."""

import os
import re
from pathlib import Path

from carina.errors import ConfigurationError

_ADDRESS = re.compile(r"(?:hf|https?|s3)://")
_ON_HUB = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


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


def hub_repository(address: str) -> tuple[str, str]:
    """Return the repository and the revision (``main`` if none is named) in ``hf://owner/name@revision``.

    Raises
    ------
    ConfigurationError
        If it is another address.
    """
    scheme, _, rest = address.partition("://")
    found = _ON_HUB.fullmatch(rest)
    if scheme != "hf" or found is None:
        msg = f"{address} is no address of a hub. Write it like hf://owner/name@revision."
        raise ConfigurationError(msg)
    return found[1], found[2] or "main"
