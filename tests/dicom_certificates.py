"""Certificates for tests, made by the openssl command; the standard library cannot make any."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


@dataclass(frozen=True)
class Certificates:
    """An authority, and servers here and elsewhere and a client that it vouches for; and a stranger."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def server_context(self, name: str = "server", *, clients: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(name), self.key(name))
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.path("authority"))
        return context

    def client_context(self, name: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.path("authority"))
        if name is not None:
            context.load_cert_chain(self.path(name), self.key(name))
        return context


def make_certificates(folder: Path) -> Certificates:
    """Make all of them; skips the test where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the test's certificates, is not installed")
    for name in ("authority", "stranger"):
        _openssl(
            folder,
            f"req -x509 {_KEY} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem",
        )
    (folder / "server.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    (folder / "client.ext").write_text("extendedKeyUsage=clientAuth\n")
    (folder / "elsewhere.ext").write_text("subjectAltName=DNS:elsewhere.example\n")
    for name in ("server", "elsewhere", "client"):
        _openssl(
            folder,
            f"req {_KEY} -subj /CN={name} -keyout {name}.key -out {name}.csr",
        )
        _openssl(
            folder,
            f"x509 -req -in {name}.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 "
            f"-extfile {name}.ext -out {name}.pem",
        )
    return Certificates(folder)


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
