"""What the network's verbs share: who is at the other end, and by which certificates it is known."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from carina.cli.options import option
from carina.errors import ConfigurationError

if TYPE_CHECKING:
    from carina.dicom.transport.settings import ClientTls

# Libraries of the network, which not everybody installs.
NETWORK = ("pynetdicom", "requests")
CA = Annotated[Path | None, option("FILE", "CA certificates (PEM) used to verify the server, for TLS.")]
CERTIFICATE = Annotated[Path | None, option("FILE", "Carina's own certificate (PEM), for TLS.", "--cert")]
KEY = Annotated[Path | None, option("FILE", "Private key of that certificate (PEM).")]


def tls_of(*, tls: bool, ca: Path | None, certificate: Path | None, key: Path | None) -> "ClientTls | None":
    """Return TLS settings, none without any of the options.

    Raises
    ------
    ConfigurationError
        If there is a certificate without a key, or the other way round.
    """
    from carina.dicom.transport.settings import client_tls  # noqa: PLC0415  # pydantic, which a --help does without

    if not (tls or ca or certificate or key):
        return None
    return client_tls(ca, certificate, key)


def destination_of(
    to: str | None, stow: str | None, *, called: str | None, calling: str, tls: "ClientTls | None" = None
) -> dict[str, Any]:
    """Return where to send, as settings have it, from options.

    Raises
    ------
    ConfigurationError
        If it is neither or both of the two, an address is none, or there is an AE title for a web server.
    """
    from carina.dicom.transport.settings import peer_at, web_at  # noqa: PLC0415

    if (to is None) == (stow is None):
        msg = "Say where to: one of --to HOST:PORT and --stow URL."
        raise ConfigurationError(msg)
    if stow is not None:
        if called is not None:
            msg = "--called goes with --to: a DICOMweb server has no AE title. Leave it out."
            raise ConfigurationError(msg)
        return {"web": web_at(stow, tls).model_dump()}
    peer = peer_at(to or "", calling=calling, tls=tls, **({} if called is None else {"called": called}))
    return {"dicom": peer.model_dump()}
