"""The cookie of a session."""

from starlette.requests import HTTPConnection

from backchannel.errors import UnauthenticatedError
from backchannel.sessions.base import Session
from backchannel.sessions.service import Sessions
from backchannel.web.cookies import CookieFormat

COOKIE = "session"

MAX_VALUES = 4
"""How many cookies of the same name are looked at."""


class SessionCookies:
    """Reads and writes the cookie.

    Attributes:
        format: Of all cookies of this deployment.
    """

    def __init__(self, sessions: Sessions, cookies: CookieFormat) -> None:
        self._sessions = sessions
        self.format = cookies

    async def session(self, request: HTTPConnection, *, check: bool = True) -> Session | None:
        """The live session of a request; `None` without a cookie.

        A stale value, left at another path or set by a neighbour, does not hide the live one. With those of two people
        the request is nobody's, as a neighbour may have planted its own.

        Args:
            check: See `Sessions.recognise`.

        Raises:
            UnauthenticatedError: There are cookies, and no session is live.
            UnavailableError: See `Sessions.recognise`.
        """
        values = self.format.values(COOKIE, request)
        if not values:
            return None
        found: dict[tuple[str, str], Session] = {}
        refused: UnauthenticatedError | None = None
        for value in dict.fromkeys(values[:MAX_VALUES]):
            try:
                session = await self._sessions.recognise(value, "cookie", check=check)
                found.setdefault(session.identity.owner, session)
            except UnauthenticatedError as error:
                # Values come with the most trustworthy first.
                refused = refused or error
        if len(found) == 1:
            return next(iter(found.values()))
        if refused is not None and not found:
            raise refused
        raise UnauthenticatedError("The browser sends two logins at once. Log in again.")

    def begin(self, token: str, request: HTTPConnection) -> str:
        """The value of a `Set-Cookie` header that begins a session in a browser."""
        return self.format.set(COOKIE, token, self._sessions.lifetimes.longest, request)

    def remove(self, request: HTTPConnection) -> str:
        """The value of a `Set-Cookie` header that removes the cookie."""
        return self.format.delete(COOKIE, request)
