"""What a site needs to know: ``site.toml`` in its folder, typed, refused where it is unknown. All of it has a default.

What people change while they work, such as whether the site is silent or live, is no setting: the database holds it.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from carina.decisions.triage import Priority
from carina.dicom.transport.settings import (
    MEGABYTE,
    Destination,
    Listening,
    Port,
    ReceivingLimits,
    Retries,
    Settings,
    Web,
    checked_settings,
    read_toml,
)

SETTINGS_FILE = "site.toml"


def _https(url: str) -> str:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        msg = "an address begins with http:// or https://, as in https://viewer.example/study"
        raise ValueError(msg)
    if parts.username is not None or parts.password is not None:
        msg = "a password does not belong in an address"
        raise ValueError(msg)
    return url


def _network(words: str) -> str:
    try:
        return str(ip_network(words, strict=False))
    except ValueError:
        msg = "a proxy is named by its address, or by a network such as 172.16.0.0/12"
        raise ValueError(msg) from None


Network = Annotated[str, AfterValidator(_network)]
HttpAddress = Annotated[str, AfterValidator(_https)]
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def is_private(url: str) -> bool:
    """Return whether what is sent to an address is read by nobody on the way: by TLS, or on this very machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _tls(url: str) -> str:
    if not is_private(_https(url)):
        msg = "login by a provider needs https://"
        raise ValueError(msg)
    return url


PrivateAddress = Annotated[str, AfterValidator(_tls)]


class Targets(Settings):
    """Minutes in which a study of each priority should be read. Waiting time is shown against them."""

    fast_track: float = Field(default=30, gt=0)
    expedite: float = Field(default=120, gt=0)
    secondary_review: float = Field(default=480, gt=0)
    routine: float = Field(default=1440, gt=0)

    def minutes(self, priority: Priority | None) -> float:
        """Return the target of a priority; what is not judged has that of a second reading."""
        return {"fast-track": self.fast_track, "expedite": self.expedite, "routine": self.routine}.get(
            priority or "", self.secondary_review
        )


class Limits(ReceivingLimits):
    """What the site takes and uses at most.

    Attributes
    ----------
    object_mb, upload_mb
        Of one image, and of one upload, which may be a ZIP archive.
    attempts
        To judge an image that breaks the process that judges it. Then it is listed with that reason.
    """

    object_mb: float = Field(default=128, gt=0, le=512)
    upload_mb: float = Field(default=2_000, gt=0, le=32_000)
    attempts: int = Field(default=2, ge=1, le=10)

    @property
    def upload_bytes(self) -> int:
        """The largest upload."""
        return int(self.upload_mb * MEGABYTE)


class WatchSettings(Settings):
    """The watched folder; without this table there is none. Its files stay where they are.

    Attributes
    ----------
    folder
        Whose images are taken, with those in folders within it.
    every_s
        How often it is looked at. A file is taken once it has not changed from one look to the next.
    """

    folder: Path
    every_s: float = Field(default=2, ge=0.1, le=3600)


class Retention(Settings):
    """What is deleted by itself: by default nothing. What is unread is never deleted.

    Attributes
    ----------
    days
        After which the images of a study that was read are deleted.
    disk_share
        Of the disk (0 to 1) that the site's images take at most; beyond it the oldest studies that were read go first.
    """

    days: float | None = Field(default=None, gt=0)
    disk_share: float | None = Field(default=None, gt=0, lt=1)


class WatchingSettings(Settings):
    """The control charts; see `carina.service.watching.charts`.

    Attributes
    ----------
    first_days
        How many of the site's first days give the limits. Days with too few studies are not among them.
    fewest
        Studies (or verdicts) of a day from which its shares and means count.
    """

    first_days: int = Field(default=20, ge=5, le=366)
    fewest: int = Field(default=10, ge=1)


class PollSettings(Settings):
    """A DICOMweb server that is asked for new radiographs; without this table none is.

    Attributes
    ----------
    web
        The server; see `carina.dicom.transport.settings.Web`.
    every_s
        How often it is asked.
    days
        Studies of today and of so many days before are asked for. What came before is taken once.
    modalities
        Of the series.
    """

    web: Web
    every_s: float = Field(default=300, ge=10, le=86_400)
    days: int = Field(default=1, ge=0, le=31)
    modalities: tuple[Literal["CR", "DX"], ...] = Field(default=("CR", "DX"), min_length=1)


class OidcSettings(Settings):
    """Login by an identity provider (OpenID Connect); without this table there is none.

    Attributes
    ----------
    issuer
        The provider, as it names itself: its settings are at ``ISSUER/.well-known/openid-configuration``.
    client_id
        Of this site at the provider.
    client_secret_file
        A file with the secret; none for a public client. It is kept apart from these settings.
    address
        Of this site, as browsers know it: the provider leads back to ``ADDRESS/login/oidc/back``.
    name_claim
        By which an account is named.
    role_claim, roles
        Which claim says what somebody may do, and which value of it gives which role. Who has several gets the first
        role of this table; who has none may not log in.
    scopes
        Asked for beside ``openid``.
    words
        On the button.
    """

    issuer: PrivateAddress
    client_id: str = Field(min_length=1, max_length=200)
    client_secret_file: Path | None = None
    address: PrivateAddress
    name_claim: str = Field(default="preferred_username", min_length=1)
    role_claim: str = Field(default="groups", min_length=1)
    roles: dict[str, Literal["reader", "administrator", "auditor"]] = Field(min_length=1)
    scopes: tuple[str, ...] = ("profile",)
    words: str = Field(default="Log in with your hospital's account", min_length=1, max_length=60)


class SiteSettings(Settings):
    """All that a site needs to know.

    Attributes
    ----------
    bind, port
        Where the pages are. Port 0 takes any free one, and the first line tells which.
    database
        ``postgresql://USER@HOST/NAME``; by default a file of SQLite in the site's folder.
    bundle, silent
        The model in use, by default the released one, and models that judge beside it in silence. They count when the
        site is new; later an administrator switches models on the page.
    prevalence
        Of the flagged finding among those who are radiographed here; see `carina.decisions.triage.choose_triage`.
    viewers
        The site's own viewers: a name, and an address with ``{StudyInstanceUID}`` or ``{AccessionNumber}`` in it.
    webhooks
        Addresses that are told of events; see `carina.service.notices`.
    metrics
        Who may read ``/metrics``: ``token`` (a token with the scope metrics), ``anybody``, or ``off``.
    log
        ``plain`` lines, or ``json`` objects. Neither holds a value of a patient's.
    behind_proxy, hosts
        Whether a proxy in front of the site ends TLS and says so (X-Forwarded-Proto), and the names by which browsers
        know the site, such as ``carina.hospital.example``. A request for any other name is refused.
    proxies
        Addresses or networks of that proxy, by default this machine: what they say of a browser's address is believed.
        Failed logins are counted by it, so that nobody locks out all who come through the same proxy.
    answers
        Kinds of answers that a live site sends to its destination, as `carina.dicom.answers.answers` names them.
    targets, limits, listener, watch, dicomweb, watching, retention, oidc, destination, retries
        Tables of their own. Without `listener` there is no DICOM listener. Without a destination nothing is sent, and a
        silent site sends nothing in any case.
    """

    bind: str = "127.0.0.1"
    port: Port = 8000
    database: str | None = None
    bundle: Path | None = None
    silent: tuple[Path, ...] = ()
    prevalence: float | None = Field(default=None, ge=0, le=1)
    viewers: dict[str, HttpAddress] = Field(default_factory=dict)
    webhooks: tuple[HttpAddress, ...] = ()
    metrics: Literal["token", "anybody", "off"] = "token"
    log: Literal["plain", "json"] = "plain"
    behind_proxy: bool = False
    hosts: tuple[str, ...] = ()
    proxies: tuple[Network, ...] = ("127.0.0.1", "::1")
    targets: Targets = Targets()
    limits: Limits = Limits()
    listener: Listening | None = None
    watch: WatchSettings | None = None
    dicomweb: PollSettings | None = None
    watching: WatchingSettings = WatchingSettings()
    oidc: OidcSettings | None = None
    retention: Retention = Retention()
    answers: tuple[str, ...] = Field(default=("sr", "sc"), min_length=1)
    destination: Destination | None = None
    retries: Retries = Retries()

    @model_validator(mode="after")
    def _private(self) -> Self:
        # Names and pictures of patients would go over the network as they are.
        if self.bind not in LOOPBACK and not self.behind_proxy:
            msg = (
                "pages on another address than 127.0.0.1 need a proxy in front that ends TLS; set behind_proxy = true "
                "once there is one"
            )
            raise ValueError(msg)
        return self


def read_settings(folder: Path, *, database: str | None = None) -> SiteSettings:
    """Return the settings of a site's folder; defaults where it has no ``site.toml``.

    Parameters
    ----------
    folder
        Of the site. Relative paths in its settings begin there.
    database
        From the command line; goes before the file's.

    Raises
    ------
    ConfigurationError
        If one is unknown or impossible; the message names it.
    """
    path = folder / SETTINGS_FILE
    values = read_toml(path) if path.is_file() else {}
    if database is not None:
        values["database"] = database
    settings = checked_settings(SiteSettings, values)
    changed: dict[str, object] = {"silent": tuple(folder / bundle for bundle in settings.silent)}
    if settings.bundle is not None:
        changed["bundle"] = folder / settings.bundle
    if settings.oidc is not None and settings.oidc.client_secret_file is not None:
        secret = folder / settings.oidc.client_secret_file
        changed["oidc"] = settings.oidc.model_copy(update={"client_secret_file": secret})
    if settings.watch is not None:
        changed["watch"] = settings.watch.model_copy(update={"folder": folder / settings.watch.folder})
    return settings.model_copy(update=changed)
