"""What ``carina dicom listen`` needs to know: typed, from a TOML file and options, refused where it is unknown."""

import random
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from carina.errors import ConfigurationError

MEGABYTE = 1_000_000


def is_ae_title(title: str) -> bool:
    """Tell whether a text may be an AE title here.

    Source: PS3.5 6.2, VR AE, without characters that would have to be escaped somewhere.
    """
    return re.fullmatch(r"[A-Za-z0-9_.\- ]{1,16}", title) is not None and title == title.strip()


def _ae_title(title: str) -> str:
    if not is_ae_title(title):
        msg = "an AE title has 1 to 16 letters, digits, spaces, dots, hyphens or underscores"
        raise ValueError(msg)
    return title


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or beyond 65535
        known = False
    if not known or parts.query or parts.fragment:
        msg = "an address of DICOMweb begins with http:// or https://, as in https://pacs.example/dicom-web"
        raise ValueError(msg)
    if parts.username is not None or parts.password is not None:
        msg = "a password does not belong in an address; put it into ~/.netrc, or a token into CARINA_DICOMWEB_TOKEN"
        raise ValueError(msg)
    return url.rstrip("/")


AeTitle = Annotated[str, AfterValidator(_ae_title)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseModel):
    """A table of settings; what is unknown is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_Model = TypeVar("_Model", bound=Settings)


class ServerTls(Settings):
    """TLS for those who connect to Carina: PEM files, the certificate with its chain.

    Attributes
    ----------
    client_ca
        Only clients with a certificate signed by one of these may connect.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


class ClientTls(Settings):
    """TLS for connections that Carina makes.

    Attributes
    ----------
    ca
        Who may have signed the server's certificate (PEM); by default whom the system trusts.
    certificate, key
        To show to a server that asks for one (PEM).
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            msg = "certificate and key go together"
            raise ValueError(msg)
        return self


class Peer(Settings):
    """Another application entity: its address and AE title, and Carina's own title as it is told to the peer."""

    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65_535)
    called: AeTitle = "ANY-SCP"
    calling: AeTitle = "CARINA"
    tls: ClientTls | None = None


class Web(Settings):
    """A DICOMweb server.

    Attributes
    ----------
    url
        Up to where ``/studies`` follows. Its user and password are looked for in ``~/.netrc``; a token in the
        environment (``CARINA_DICOMWEB_TOKEN``) goes before.
    tls
        For https.
    """

    url: WebAddress
    tls: ClientTls = ClientTls()


class Destination(Settings):
    """Where answers go, either by C-STORE (`dicom`) or by STOW-RS (`web`)."""

    dicom: Peer | None = None
    web: Web | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.dicom is None) == (self.web is None):
            msg = "a destination is either dicom or web"
            raise ValueError(msg)
        return self

    @property
    def other(self) -> Peer | Web:
        """The one of the two that is there."""
        chosen = self.dicom or self.web
        if chosen is None:
            msg = "A destination without an address."
            raise ValueError(msg)
        return chosen


class ReceivingLimits(Settings):
    """What is taken at most by whatever listens, and how long it works on an object.

    Attributes
    ----------
    object_mb
        Of one object. A longer one is refused for good (0xC000).
    keep_free_mb
        On the disk; below it everything is refused for now (0xA700), so that what waits can still be judged.
    associations
        At a time. Memory is needed for as many objects.
    workers
        Processes that judge.
    judging_s
        For one object; then the process is ended.
    idle_s
        Without a byte from the other side; also for one PDU.
    stop_s
        For what is under way, when it is stopped.
    """

    object_mb: float = Field(default=128, gt=0, le=4000)
    keep_free_mb: float = Field(default=512, ge=0)
    associations: int = Field(default=10, ge=1, le=200)
    workers: int = Field(default=1, ge=1, le=64)
    judging_s: float = Field(default=120, gt=0)
    idle_s: float = Field(default=60, gt=0)
    stop_s: float = Field(default=20, ge=0)

    @property
    def object_bytes(self) -> int:
        """The largest object."""
        return int(self.object_mb * MEGABYTE)

    @property
    def keep_free_bytes(self) -> int:
        """Left on the disk."""
        return int(self.keep_free_mb * MEGABYTE)


class IntakeLimits(ReceivingLimits):
    """What the listener takes at most.

    Attributes
    ----------
    quota_mb
        Of all objects that wait, in all; beyond it everything is refused for now (0xA700).
    """

    quota_mb: float = Field(default=20_000, gt=0)

    @property
    def quota_bytes(self) -> int:
        """All that wait."""
        return int(self.quota_mb * MEGABYTE)


class Listening(Settings):
    """Where objects are received by C-STORE, and from whom.

    Attributes
    ----------
    allow
        AE titles that may call; all others are rejected.
    aet
        Carina's own AE title; associations that call another are rejected.
    bind, port
        Where to listen. Port 0 takes any free one, and the first line tells which.
    tls
        A table of its own; without it nothing is encrypted.
    """

    allow: tuple[AeTitle, ...] = Field(min_length=1)
    aet: AeTitle = "CARINA"
    bind: str = "127.0.0.1"
    port: Port = 11112
    tls: ServerTls | None = None


class Retries(Settings):
    """How often and when something is tried again.

    The n-th pause is ``first_s`` × 2^(n - 1), at most ``longest_s``, of which a random half to the whole is waited,
    so that many who wait do not come at once.

    Attributes
    ----------
    first_s, longest_s
        Pauses. With the values that stand here the last attempt comes after some two days.
    sending
        Attempts to send the answers to an object; then they go to the dead-letter folder.
    judging
        Attempts to judge an object, each of which ended or broke a worker.
    """

    first_s: float = Field(default=5, gt=0)
    longest_s: float = Field(default=1800, gt=0)
    sending: int = Field(default=120, ge=1)
    judging: int = Field(default=3, ge=1)

    def pause_s(self, failed: int) -> float:
        """Return how long to wait after so many failed attempts."""
        longest = min(self.longest_s, self.first_s * 2.0 ** min(failed - 1, 60))
        return longest * random.uniform(0.5, 1)  # noqa: S311  # no secret


class ListenSettings(Listening):
    """All that the listener needs to know.

    Attributes
    ----------
    folder
        For objects, answers and the journal; on a disk of this machine.
    keep
        Whether objects and answers are kept after they were sent.
    remember_days
        How long a duplicate of an object is known as one.
    bundle
        That judges; by default the released one.
    answers
        Kinds of answers, as `carina.dicom.answers.answers` names them.
    prevalence
        Of the flagged finding, where the images come from.
    destination, limits, retries
        Tables of their own. Without a destination, answers stay in the folder.
    """

    folder: Path
    keep: bool = False
    remember_days: float = Field(default=90, gt=0)
    bundle: Path | None = None
    answers: tuple[str, ...] = Field(default=("sr", "sc", "seg"), min_length=1)
    prevalence: float | None = Field(default=None, ge=0, le=1)
    destination: Destination | None = None
    limits: IntakeLimits = IntakeLimits()
    retries: Retries = Retries()


def read_toml(path: Path) -> dict[str, Any]:
    """Return the settings in a file.

    Raises
    ------
    ConfigurationError
        If it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"The settings {path} cannot be read: {error.strerror}. Name a TOML file."
        raise ConfigurationError(msg) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"The settings {path} are not valid TOML: {error}."
        raise ConfigurationError(msg) from None


def listen_settings(values: Mapping[str, Any]) -> ListenSettings:
    """Return settings from plain values, as a TOML file or options give them.

    Raises
    ------
    ConfigurationError
        If one is missing, unknown or impossible; the message names it.
    """
    return checked_settings(ListenSettings, values)


def peer_at(address: str, **values: Any) -> Peer:
    """Return a peer from ``HOST:PORT`` (an IPv6 address in square brackets) and its other settings.

    Raises
    ------
    ConfigurationError
        If it is none.
    """
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@]+):(\d{1,5})", address)
    if found is None:
        msg = f"{address!r} is no address. Write HOST:PORT, as in pacs.example:104."
        raise ConfigurationError(msg)
    return checked_settings(Peer, {"host": found[1].strip("[]"), "port": int(found[2]), **values})


def web_at(url: str, tls: ClientTls | None = None) -> Web:
    """Return a DICOMweb server from its address.

    Raises
    ------
    ConfigurationError
        If it is none, or begins with http:// although TLS is asked for.
    """
    try:
        address = _web_address(url)
    except ValueError as error:
        shown = "The address of the server" if "@" in url else repr(url)
        msg = f"{shown} cannot be used: {error}."
        raise ConfigurationError(msg) from None
    if tls is not None and urlsplit(address).scheme != "https":
        msg = f"{address!r} is not encrypted, and TLS is asked for. Write https://, or leave out the options of TLS."
        raise ConfigurationError(msg)
    return Web(url=address, tls=tls or ClientTls())


def client_tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ClientTls:
    """Return TLS settings from options.

    Raises
    ------
    ConfigurationError
        If there is a certificate without a key, or a key without a certificate.
    """
    return checked_settings(ClientTls, {"ca": ca, "certificate": certificate, "key": key})


def checked_settings(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """Return settings of a model from plain values.

    Raises
    ------
    ConfigurationError
        If one is missing, unknown or impossible; the message names it.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigurationError(_in_words(error)) from None


def _in_words(error: ValidationError) -> str:
    first = error.errors()[0]
    where, given = ".".join(str(part) for part in first["loc"]), first["input"]
    if first["type"] == "missing":
        return f"Setting {where} is missing. Give it in the settings' file or as an option."
    if first["type"] == "extra_forbidden":
        return f"There is no setting {where}. Check its spelling."
    said = first["msg"].removeprefix("Value error, ")
    if (ours := _SAID.get(first["type"])) is not None:
        said = ours.format(**first.get("ctx", {}))
    # Of several settings no value is shown, and none that may hold a password.
    hidden = not where or isinstance(given, dict) or (isinstance(given, str) and "@" in given)
    about = f"Setting {where}: {said}." if where else f"{said[:1].upper()}{said[1:]}."
    return about if hidden else f"{about} Received: {given!r}."


# What pydantic says, by its name for the kind of error.
_SAID: Mapping[str, str] = {
    "greater_than_equal": "it must be {ge} or more",
    "greater_than": "it must be more than {gt}",
    "less_than_equal": "it must be {le} or less",
    "int_parsing": "it must be a whole number",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_parsing": "it must be a number",
    "float_type": "it must be a number",
    "bool_parsing": "it must be true or false",
    "bool_type": "it must be true or false",
    "string_type": "it must be a text, in quotes",
    "string_too_short": "it must not be empty",
    "path_type": "it must be a path, in quotes",
    "tuple_type": "it must be a list, as in ['ORTHANC']",
    "too_short": "it must have at least {min_length} entry",
    "model_type": "it must be a table with settings",
}
