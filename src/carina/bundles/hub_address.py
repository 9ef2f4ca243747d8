"""The address of a repository on a hub."""

import re

from carina.errors import ConfigurationError

_ON_HUB = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


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
