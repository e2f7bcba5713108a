"""Anonymous visitors, each identified by a signed cookie.

The cookie contains a random user id and its HMAC-SHA256, so a client cannot forge another user's. Requests that change
something are refused from pages of other origins. A cookie is only set with the response to such a request: the first
visit of a page, or an address that somebody is made to open, makes no visitor.
"""

import base64
import hashlib
import hmac
import re
from typing import override

from starlette.requests import HTTPConnection

from backchannel.authenticators.base import NEW_VISITOR, VISITOR, Authenticated, Authenticator
from backchannel.context import Identity
from backchannel.ids import new_id
from backchannel.web.cookies import CookieFormat
from backchannel.web.origins import SAFE_METHODS, Origin, WriteOrigins, is_loopback

COOKIE = "visitor"
OLD_COOKIE = "backchannel_session"
"""The cookie's name before it said which deployment it belongs to. It is still read."""

MAX_AGE_SECONDS = 400 * 24 * 3600
"""The longest lifetime that browsers grant (RFC 6265bis, section 5.5)."""

_VISITOR = re.compile(r"usr_([0-9a-f]{32}|page_[0-9a-f]+)")


class AnonymousAuthenticator(Authenticator):
    """Identifies a visitor by the cookie, and makes a visitor for a request without one.

    Args:
        key: The key that signs the cookies. Changing it invalidates all cookies.
        cookies: How the cookie is named.
        origins: Which pages may send requests with unsafe methods.
        development: Whether pages of loopback origins that send no cookies, as `fetch` does by default to another port,
            share one visitor per origin.
    """

    def __init__(
        self, key: bytes, cookies: CookieFormat, origins: WriteOrigins, *, development: bool = False
    ) -> None:
        self._key = key
        self._cookies = cookies
        self._origins = origins
        self._development = development

    @override
    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        self._origins.check(request)
        user = self._user(request)
        if user is not None:
            return Authenticated(Identity(user, anonymous=True), method=VISITOR)
        shared = self._shared_user(request)
        if shared is not None:
            return Authenticated(Identity(shared, anonymous=True), method=VISITOR)
        user = new_id("user")
        reads = request.scope.get("method", "GET") in SAFE_METHODS
        cookie = None if reads else self.cookie(user, request)
        return Authenticated(Identity(user, anonymous=True), cookie, method=NEW_VISITOR)

    def cookie(self, user: str, request: HTTPConnection) -> str:
        """The value of a `Set-Cookie` header that identifies a visitor from now on."""
        return self._cookies.set(COOKIE, f"{user}.{self._sign(user)}", MAX_AGE_SECONDS, request)

    def _user(self, request: HTTPConnection) -> str | None:
        values = [*self._cookies.values(COOKIE, request), request.cookies.get(OLD_COOKIE, "")]
        return next((user for value in values if (user := self._verify(value)) is not None), None)

    def _shared_user(self, request: HTTPConnection) -> str | None:
        if not self._development or self._origins.is_same(request) is not False:
            return None
        origin = Origin.parse(request.headers.get("origin", ""))
        client = request.client.host if request.client else ""
        if origin is None or not origin.is_loopback or not is_loopback(client):
            return None
        digest = hashlib.sha256(f"page:{origin}".encode()).hexdigest()[:24]
        return f"usr_page_{digest}"

    def _verify(self, cookie: str) -> str | None:
        user, separator, signature = cookie.rpartition(".")
        if not separator or not hmac.compare_digest(signature.encode(), self._sign(user).encode()):
            return None
        return user

    def _sign(self, user: str) -> str:
        digest = hmac.digest(self._key, f"anonymous:{user}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_visitor(user: str) -> bool:
    """Whether a user id has the form of those that visitors get."""
    return _VISITOR.fullmatch(user) is not None
