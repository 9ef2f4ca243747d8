"""A bundle is fetched from a hub, a web server or a bucket: once, into the cache, and checked before it is opened.

An address ends with the hash of the seal, which the publisher names::

    hf://owner/name@revision#sha256=5c1f…    a repository of the Hugging Face Hub (or of HF_ENDPOINT)
    https://example.org/models/mine#sha256=…  a folder on a web server
    s3://bucket/models/mine#sha256=…          a folder in a bucket (or of AWS_ENDPOINT_URL)

First ``SHA256SUMS`` is read and compared with that hash, then each file that it names with its own. What differs is
deleted, and nothing is read of it.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from carina.bundles.aws_signature import sign_request
from carina.bundles.hub_address import hub_repository
from carina.errors import BundleError, ConfigurationError
from carina.storage.atomic import whole_folder
from carina.storage.cache_folder import default_cache_folder
from carina.storage.seal import SEAL_FILE, file_sha256, parse_seal

_HUB = "https://huggingface.co"
_PIN = re.compile(r"sha256=([0-9a-f]{64})")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TIMEOUT_S = 60.0
_CHUNK = 1 << 20
# The released bundle has 24 MB. A server must not fill the disk.
_LARGEST_SEAL, _LARGEST_FILE = 1 << 20, 1 << 29

_Open = Callable[[str], AbstractContextManager[IO[bytes]]]
"""What opens a file of the folder at an address by its name."""


def fetch_bundle(address: str) -> Path:
    """Return the folder of a bundle that was fetched, or had been fetched before.

    Whoever opens it checks all of it again (`carina.bundles.bundle.open_bundle`).

    Raises
    ------
    ConfigurationError
        If the address is not understood or does not end with a hash; the message then tells the hash that was found.
    BundleError
        If it cannot be reached, or anything is not what the hash promises. Nothing of it is kept.
    """
    place, _, fragment = address.partition("#")
    pin = _PIN.fullmatch(fragment)
    if fragment and pin is None:
        msg = f"{address}: the part after # is not sha256= and 64 hexadecimal digits. Copy the hash of the seal again."
        raise ConfigurationError(msg)
    folder = None if pin is None else default_cache_folder() / "bundles" / pin[1]
    if folder is not None and pin is not None and folder.is_dir():
        if _is_whole(folder, pin[1]):
            return folder
        shutil.rmtree(folder)
    open_file = _opener_of(place)
    sealed = _read(place, open_file, SEAL_FILE, _LARGEST_SEAL)
    found = hashlib.sha256(sealed).hexdigest()
    if folder is None or pin is None:
        msg = (
            f"{address} names no hash, so anybody who can change the files there could exchange the model. "
            f"The seal found there has the hash {found}. Compare it with what the publisher tells you, and then write: "
            f"{place}#sha256={found}"
        )
        raise ConfigurationError(msg)
    if found != pin[1]:
        msg = f"{place} is not the bundle that was asked for: its seal is {found}, not {pin[1]}. Nothing was kept."
        raise BundleError(msg)
    with whole_folder(folder, what="bundle") as temporary:
        for name, sha256 in parse_seal(sealed, f"{place}/{SEAL_FILE}").items():
            content = _read(place, open_file, name, _LARGEST_FILE)
            if hashlib.sha256(content).hexdigest() != sha256:
                msg = f"{place}: {name} is not the file that was sealed. Nothing was kept. Tell the publisher."
                raise BundleError(msg)
            (temporary / name).write_bytes(content)
        (temporary / SEAL_FILE).write_bytes(sealed)
    return folder


def _is_whole(folder: Path, pin: str) -> bool:
    try:
        sealed = (folder / SEAL_FILE).read_bytes()
        sums = parse_seal(sealed, str(folder / SEAL_FILE))
        same = all(file_sha256(folder / name) == sha256 for name, sha256 in sums.items())
    except (OSError, BundleError):
        return False
    return same and hashlib.sha256(sealed).hexdigest() == pin


def _read(place: str, open_file: _Open, name: str, largest: int) -> bytes:
    content = bytearray()
    try:
        with open_file(name) as stream:
            # In parts, whatever size the server claims.
            while len(content) <= largest and (part := stream.read(_CHUNK)):
                content += part
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        msg = f"{place}: {name} could not be fetched ({reason}). Check the address and the connection."
        raise BundleError(msg) from None
    if len(content) > largest:
        msg = f"{place}: {name} is larger than {largest:,} bytes, which no file of a bundle is. Nothing was kept."
        raise BundleError(msg)
    return bytes(content)


def _opener_of(place: str) -> _Open:
    scheme, _, rest = place.partition("://")
    if scheme == "hf":
        repository, revision = hub_repository(place)
        base = f"{os.environ.get('HF_ENDPOINT', _HUB).rstrip('/')}/{repository}/resolve/{quote(revision, safe='')}"
        return partial(_open_web, base, token=os.environ.get("HF_TOKEN"))
    if scheme == "s3":
        bucket, _, prefix = rest.strip("/").partition("/")
        return partial(_open_s3, bucket, prefix)
    if "@" in urlsplit(place).netloc or urlsplit(place).query:
        # An address is printed, and it stays in the history of a shell.
        msg = "An address must hold no password and no query. Make the folder readable, or use hf:// or s3://."
        raise ConfigurationError(msg)
    return partial(_open_web, place.rstrip("/"))


class _OnlySafely(HTTPRedirectHandler):
    """Follow no redirection from an encrypted connection to an open one."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Return the request that follows."""
        _require_safe(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_safe(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        msg = f"The connection to {parts.hostname} is not encrypted. Use https:// (http:// is for this machine alone)."
        raise ConfigurationError(msg)


def _open_web(base: str, name: str, *, token: str | None = None) -> Any:
    _require_safe(base)
    request = Request(f"{base}/{quote(name)}", headers={"User-Agent": "carina"})  # noqa: S310  # checked above
    if token:  # and not to where the hub sends on
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return build_opener(_OnlySafely).open(request, timeout=_TIMEOUT_S)


def _open_s3(bucket: str, prefix: str, name: str) -> Any:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    server = os.environ.get("AWS_ENDPOINT_URL") or f"https://s3.{region}.amazonaws.com"
    address = f"{server.rstrip('/')}/{quote(f'{bucket}/{prefix}/{name}'.replace('//', '/'))}"
    _require_safe(address)
    request = Request(address, headers={"User-Agent": "carina"})  # noqa: S310  # checked above
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:  # a public folder is read without an account
        signed = sign_request(address, region, key, secret, os.environ.get("AWS_SESSION_TOKEN"), datetime.now(UTC))
        for header, value in signed.items():
            request.add_unredirected_header(header, value)
    return build_opener(_OnlySafely).open(request, timeout=_TIMEOUT_S)
