"""The session cookie of people who have logged in."""

import hmac
from typing import override

from starlette.requests import HTTPConnection

from backchannel.authenticators.base import Authenticated, Authenticator, RejectedCookieError
from backchannel.errors import OriginUnknownError, UnauthenticatedError
from backchannel.sessions.cookies import SessionCookies
from backchannel.sessions.service import Sessions
from backchannel.web.origins import WriteOrigins

CSRF_HEADER = "x-csrf-token"


class SessionAuthenticator(Authenticator):
    """Identifies a person by the cookie of their session.

    A request that changes something must come from a page of this server, or one that may act here: by what the browser
    says of it (`web.origins`) or else by the session's CSRF token in `X-CSRF-Token`.

    Args:
        origins: Which pages may send requests with unsafe methods.
    """

    def __init__(self, sessions: Sessions, cookies: SessionCookies, origins: WriteOrigins) -> None:
        self._sessions = sessions
        self._cookies = cookies
        self._origins = origins

    @override
    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        try:
            session = await self._cookies.session(request)
        except UnauthenticatedError as error:
            raise RejectedCookieError(error.message, self._cookies.remove(request)) from None
        if session is None:
            return None
        try:
            self._origins.check(request, evidence=True)
        except OriginUnknownError:
            given = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(given.encode(), self._sessions.csrf_token(session).encode()):
                raise
        return Authenticated(session.identity, session=session, method="session")
