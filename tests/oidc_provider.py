"""An identity provider that tests log in at: it checks PKCE and gives the claims that a test wants."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

CLIENT = "carina-site"
SECRET = "a secret of the client"  # noqa: S105


class OidcProvider(ThreadingHTTPServer):
    """A provider on this machine. What it signs can be changed by `claims`, `key` and `algorithm`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.issuer = f"http://127.0.0.1:{self.server_address[1]}"
        self.key: Any = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
        self.algorithm = "ES256"
        self.claims: dict[str, Any] = {}
        self.published: list[Any] = [self.key]
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    def consent(self, url: str) -> dict[str, str]:
        """Return what a browser brings back whose person agreed to what the address asks for."""
        parts = urlsplit(url)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert parts.path == "/authorize"
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT
        assert asked["scope"].split()[0] == "openid"
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Return the answer to a code."""
        expected = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or challenge.decode().rstrip("=") != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if authorization.replace("%20", "+") != expected or form["redirect_uri"] != asked["redirect_uri"]:
            return 401, {"error": "invalid_client"}
        at = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "s-1", "iat": at, "exp": at + 300, "nonce": asked["nonce"]}
        claims |= {"preferred_username": "Hanna.Reader", "groups": ["radiology"]} | self.claims
        header = {"alg": self.algorithm, "kid": "one"}
        signed = jwt.encode(
            header, {k: v for k, v in claims.items() if v is not None}, self.key, algorithms=["ES256", "HS256"]
        )
        return 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": signed, "expires_in": 300}

    def public_keys(self) -> dict[str, Any]:
        """Return the keys that it publishes."""
        return {"keys": [key.as_dict(private=isinstance(key, OctKey)) for key in self.published]}


class _Handler(BaseHTTPRequestHandler):
    server: OidcProvider

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        base = self.server.issuer
        said = {
            "/.well-known/openid-configuration": {
                "issuer": base,
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "jwks_uri": f"{base}/keys",
            },
            "/keys": self.server.public_keys(),
        }.get(self.path)
        self._answer(404 if said is None else 200, said or {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self._answer(*self.server.token(form, self.headers.get("Authorization", "")))

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be silent."""


@contextmanager
def oidc_provider() -> Iterator[OidcProvider]:
    """Run a provider."""
    with OidcProvider() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield made
        made.shutdown()
