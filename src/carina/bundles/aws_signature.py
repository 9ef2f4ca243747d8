"""A request to a bucket is signed by an account of AWS, or of a server that speaks S3.

boto3 does the same, and cannot be installed beside Matplotlib: they need different versions of python-dateutil.

Source: AWS, "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

_NOTHING = hashlib.sha256(b"").hexdigest()


def sign_request(
    address: str,
    region: str,
    key: str,
    secret: str,
    token: str | None,
    moment: datetime,
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the headers that sign a GET without a body.

    Parameters
    ----------
    address
        The whole address, quoted, without a query.
    region, key, secret, token
        Of the account; the token is for temporary ones.
    moment
        Now, in UTC.
    headers
        More headers to be signed.
    """
    parts, stamp = urlsplit(address), moment.strftime("%Y%m%dT%H%M%SZ")
    signed = {"x-amz-content-sha256": _NOTHING, "x-amz-date": stamp, **(headers or {})}
    if token:
        signed["x-amz-security-token"] = token
    lines = {name.lower(): value for name, value in {"host": parts.netloc, **signed}.items()}
    names = ";".join(sorted(lines))
    canonical = "".join(f"{name}:{lines[name]}\n" for name in sorted(lines))
    request = "\n".join(("GET", parts.path or "/", "", canonical, names, _NOTHING))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    derived = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    signature = hmac.digest(derived, text.encode(), "sha256").hex()
    credential = f"AWS4-HMAC-SHA256 Credential={key}/{scope},SignedHeaders={names},Signature={signature}"
    return {**signed, "Authorization": credential}
