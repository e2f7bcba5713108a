"""Anonymous users, each identified by a signed cookie.

The cookie contains a random user id and its HMAC-SHA256, so a client cannot forge another user's. It is HttpOnly and
SameSite=Lax; cross-origin requests with unsafe methods are rejected.
"""

import base64
import hashlib
import hmac
import ipaddress
from typing import override
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from backchannel.authenticators.base import Authenticated, Authenticator
from backchannel.context import Identity
from backchannel.errors import ForbiddenError
from backchannel.ids import new_id

COOKIE = "backchannel_session"
MAX_AGE_SECONDS = 365 * 24 * 3600
_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class AnonymousAuthenticator(Authenticator):
    """Identifies a user by the cookie, and creates a user and a cookie for a request without one.

    Args:
        key: The key that signs the cookies. Changing it invalidates all cookies.
        origins: Other origins whose pages may send requests with unsafe methods; `*` allows all.
        development: Whether pages of loopback origins may, too. Those that send no cookies, as `fetch` does by default
            to another port, share one user per origin.
    """

    def __init__(self, key: bytes, *, origins: tuple[str, ...] = (), development: bool = False) -> None:
        self._key = key
        self._origins = frozenset(origins)
        self._development = development

    @override
    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        origin = request.headers.get("origin")
        cross_origin = origin is not None and not _same_host(origin, request)
        if cross_origin:
            self._check_origin(request, origin or "")
        user = self._verify(request.cookies.get(COOKIE, ""))
        if user is not None:
            return Authenticated(Identity(user, anonymous=True))
        if (
            cross_origin
            and self._development
            and is_loopback_origin(origin or "")
            and _from_loopback(request)
        ):
            digest = hashlib.sha256(f"page:{origin}".encode()).hexdigest()[:24]
            return Authenticated(Identity(f"usr_page_{digest}", anonymous=True))
        user = new_id("user")
        return Authenticated(Identity(user, anonymous=True), self._cookie(user, request))

    def _check_origin(self, request: HTTPConnection, origin: str) -> None:
        method: str = request.scope.get("method", "GET")
        if method in _SAFE_METHODS or origin in self._origins or "*" in self._origins:
            return
        if self._development and is_loopback_origin(origin):
            return
        raise ForbiddenError(
            f"Pages of {origin[:100]} may not act here. Add it to BACKCHANNEL_CORS_ORIGINS if they should."
        )

    def _cookie(self, user: str, request: HTTPConnection) -> str:
        secure = "; Secure" if request.url.scheme == "https" else ""
        return f"{COOKIE}={user}.{self._sign(user)}; Max-Age={MAX_AGE_SECONDS}; Path=/; HttpOnly; SameSite=Lax{secure}"

    def _verify(self, cookie: str) -> str | None:
        user, separator, signature = cookie.rpartition(".")
        if not separator or not hmac.compare_digest(signature.encode(), self._sign(user).encode()):
            return None
        return user

    def _sign(self, user: str) -> str:
        digest = hmac.digest(self._key, f"anonymous:{user}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_loopback_origin(origin: str) -> bool:
    """Whether an origin's host is `localhost`, a subdomain of it, or a loopback address; on any port."""
    host = _parse_origin(origin)[1]
    return host == "localhost" or host.endswith(".localhost") or _is_loopback(host)


def _same_host(origin: str, request: HTTPConnection) -> bool:
    return _parse_origin(origin)[0] == request.headers.get("host", "").lower()


def _parse_origin(origin: str) -> tuple[str, str]:
    """The origin's host with and without the port; both empty if it is not a URL."""
    try:
        parts = urlsplit(origin)
        return parts.netloc.lower(), parts.hostname or ""
    except ValueError:
        return "", ""


def _from_loopback(request: HTTPConnection) -> bool:
    return request.client is not None and _is_loopback(request.client.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
