"""The interface of authenticators, and the chain in which they are tried in order."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from backchannel.context import Identity
from backchannel.errors import UnauthenticatedError

__all__ = [
    "Authenticated",
    "Authenticator",
    "authenticate",
]


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The result of a successful authentication.

    Attributes:
        identity: The caller.
        set_cookie: The value of a `Set-Cookie` header for the response, or `None`.
    """

    identity: Identity
    set_cookie: str | None = None


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
        """


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
