"""The cookies of one deployment.

Browsers share cookies between the ports of a host, so the name says which deployment a cookie belongs to, and two
servers on one host do not erase each other's.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from starlette.requests import HTTPConnection

type SameSite = Literal["lax", "strict", "none"]

MAX_VALUE_CHARS = 2000
"""Browsers keep cookies of 4,096 bytes with name and attributes (RFC 6265, section 6.1)."""


@dataclass(frozen=True, slots=True)
class CookieFormat:
    """How the cookies of a deployment are named and which attributes they have.

    A cookie is `Secure` unless it could then not come back: in development over plain HTTP. `__Host-` (or `__Secure-`
    below a prefix) in the name makes browsers refuse one that a neighbour sets (RFC 6265bis, section 4.1.3).

    Attributes:
        deployment: Part of the names, the same for all replicas and for no other deployment of the host.
        path: The prefix of the server's paths; `/` without one.
        always_secure: Whether cookies are `Secure` even if the request seems to come over plain HTTP.
        cross_site: Whether pages of other sites may show the server in a frame and stay logged in:
            `SameSite=None; Partitioned` (CHIPS) in place of `SameSite=Lax`.
    """

    deployment: str
    path: str = "/"
    always_secure: bool = False
    cross_site: bool = False

    def set(self, kind: str, value: str, max_age: int, request: HTTPConnection) -> str:
        """The value of a `Set-Cookie` header.

        Args:
            kind: What the cookie is for, such as `visitor` or `session`.
            value: Its value, of characters that need no quoting.
            max_age: Its lifetime in seconds.
        """
        assert len(value) <= MAX_VALUE_CHARS
        secure = self._is_secure(request)
        same_site = "None" if self.cross_site and secure else "Lax"
        parts = [f"{self.name(kind, secure=secure)}={value}", f"Max-Age={max_age}", f"Path={self.path}"]
        parts += ["HttpOnly", f"SameSite={same_site}"]
        parts += ["Secure"] * secure + ["Partitioned"] * (same_site == "None")
        return "; ".join(parts)

    def delete(self, kind: str, request: HTTPConnection) -> str:
        """The value of a `Set-Cookie` header that removes a cookie."""
        return self.set(kind, "", 0, request)

    def values(self, kind: str, request: HTTPConnection) -> list[str]:
        """The values of a cookie that a request has, the most trustworthy first. There can be several: a neighbour can
        set one for a parent domain or another path, and one may be left from before the server had HTTPS."""
        secure, plain = self.name(kind, secure=True), self.name(kind, secure=False)
        found: dict[str, list[str]] = {secure: [], plain: []}
        for header in request.headers.getlist("cookie"):
            for pair in header.split(";"):
                name, separator, value = pair.strip().partition("=")
                if separator and name in found and len(value) <= MAX_VALUE_CHARS:
                    found[name].append(value)
        if self.always_secure:
            return found[secure]
        return found[secure] + found[plain]

    def _is_secure(self, request: HTTPConnection) -> bool:
        return self.always_secure or request.url.scheme in {"https", "wss"}

    def name(self, kind: str, *, secure: bool) -> str:
        """The name of a cookie."""
        prefix = "" if not secure else "__Host-" if self.path == "/" else "__Secure-"
        return f"{prefix}backchannel_{kind}_{self.deployment}"


def deployment_name(key: bytes, prefix: str) -> str:
    """The name of a deployment: derived from what its replicas share and its neighbours do not, and from nothing that
    may change while people use it, such as its address.

    Args:
        key: The key that signs cookies.
        prefix: The prefix of the server's paths.
    """
    return hmac.digest(hashlib.sha256(key).digest(), f"deployment\0{prefix}".encode(), "sha256").hex()[:8]
