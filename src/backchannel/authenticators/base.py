"""The interface of authenticators, and the chain in which they are tried in order."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from backchannel.context import Identity
from backchannel.errors import UnauthenticatedError
from backchannel.sessions.base import Session

__all__ = [
    "Authenticated",
    "Authenticator",
    "RejectedCookieError",
    "authenticate",
]

VISITOR = "visitor"
NEW_VISITOR = "new visitor"
"""The method of those who have not logged in: with the cookie of an earlier request, or without."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The result of a successful authentication.

    Attributes:
        identity: The caller.
        set_cookie: The value of a `Set-Cookie` header for the response, or `None`.
        session: The caller's session on this server, if the credentials are the token of one.
        method: How the caller was authenticated, for `GET /auth/me`; empty: not said.
        ambient: Whether a browser, or the proxy behind which it is, sends the credentials with every request, whichever
            page makes it. Requests with unsafe methods from pages of other origins are refused then.
    """

    identity: Identity
    set_cookie: str | None = None
    session: Session | None = None
    method: str = ""
    ambient: bool = False


class RejectedCookieError(UnauthenticatedError):
    """A cookie is worthless, and the response removes it.

    Attributes:
        set_cookie: The value of the `Set-Cookie` header.
    """

    def __init__(self, message: str, set_cookie: str) -> None:
        super().__init__(message)
        self.set_cookie = set_cookie


class Authenticator(ABC):
    """Verifies one kind of credentials.

    A request without this kind of credentials returns `None`, and the next authenticator is tried. Invalid credentials
    raise an error, which ends the chain: a request with an invalid token is never treated as anonymous.
    """

    @abstractmethod
    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        """Authenticate a request.

        Returns:
            The caller, or `None` if the request has no credentials of this kind.

        Raises:
            UnauthenticatedError: Invalid credentials.
            ForbiddenError: The credentials must not be used from the request's origin.
            UnavailableError: What would verify them cannot be reached now.
        """

    async def aclose(self) -> None:  # noqa: B027 - most have nothing to close
        """Close connections when the server ends. Idempotent."""


async def authenticate(chain: Sequence[Authenticator], request: HTTPConnection) -> Authenticated:
    """Authenticate a request by the first authenticator that finds credentials.

    Raises:
        UnauthenticatedError: Missing or invalid credentials.
        ForbiddenError: The credentials must not be used from the request's origin.
    """
    for authenticator in chain:
        authenticated = await authenticator.authenticate(request)
        if authenticated is not None:
            return authenticated
    raise UnauthenticatedError("Log in, or send a valid bearer token in the Authorization header.")
