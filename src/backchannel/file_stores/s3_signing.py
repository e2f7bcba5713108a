"""Presigned URLs of S3: signature version 4 in the query.

obstore signs the host only. Here the signature also covers headers, so that a URL for an upload is good for one type
and one size, and further parameters of the query.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "s3"

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class S3Keys:
    """Credentials of S3.

    Attributes:
        token: Of temporary credentials; `None` for others.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def presign(
    method: str,
    base: str,
    path: str,
    *,
    keys: S3Keys,
    region: str,
    seconds: int,
    now: datetime,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> str:
    """A URL with which anybody can send one request for a while.

    The hash of the body is not part of it, and no checksum: who signs does not have the bytes.

    Args:
        base: `http[s]://HOST[:PORT]`, as it is in the request of the client: what changes the host in between
            invalidates the signature.
        path: Begins with a slash; not percent-encoded.
        seconds: For how long it is good, from `now` on.
        headers: Those that have to be sent with it, with exactly these values. Names in lower case.
        query: Further parameters; not percent-encoded.

    References:
        https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/{SERVICE}/aws4_request"
    signed = {**(headers or {}), "host": host_header(base)}
    names = ";".join(sorted(signed))
    parameters = {
        **(query or {}),
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{keys.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": names,
    }
    if keys.token is not None:
        parameters["X-Amz-Security-Token"] = keys.token
    encoded_path = quote(path, safe="/-_.~")
    encoded_query = "&".join(
        f"{name}={value}" for name, value in sorted((_encode(n), _encode(v)) for n, v in parameters.items())
    )
    canonical = "\n".join(
        [
            method,
            encoded_path,
            encoded_query,
            *(f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)),
            "",
            names,
            "UNSIGNED-PAYLOAD",
        ]
    )
    to_sign = "\n".join([ALGORITHM, stamp, scope, sha256(canonical.encode()).hexdigest()])
    signature = _hmac(_signing_key(keys.secret_key, stamp[:8], region), to_sign).hex()
    return f"{base}{encoded_path}?{encoded_query}&X-Amz-Signature={signature}"


def host_header(base: str) -> str:
    """The `Host` that clients send to a URL: without the port if it is the usual one."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port is None or parts.port == _PORTS.get(parts.scheme):
        return host
    return f"{host}:{parts.port}"


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, SERVICE, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
