"""Who is calling: a chain of authenticators, asked in order."""

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
    """Who it is, and what to tell their client so that it is known next time.

    Attributes:
        set_cookie: A `Set-Cookie` header for the response, or `None`.
    """

    identity: Identity
    set_cookie: str | None = None


class Authenticator(ABC):
    """Recognises one kind of credentials.

    Contract: `None` means that the request carries none of this kind and the next may look. Raising means
    that it carries some and they do not hold; then nobody else is asked, so a bad token never falls back to
    being anonymous.
    """

    @abstractmethod
    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        """Who is calling, by this kind of credentials.

        Raises:
            UnauthenticatedError: There are credentials of this kind and they do not hold.
            ForbiddenError: They hold, but may not be used from where the request comes.
        """


async def authenticate(chain: Sequence[Authenticator], request: HTTPConnection) -> Authenticated:
    """Ask each authenticator in turn.

    Raises:
        UnauthenticatedError: None of them knows the caller, or one found bad credentials.
    """
    for authenticator in chain:
        found = await authenticator.authenticate(request)
        if found is not None:
            return found
    raise UnauthenticatedError("Log in, or send a valid bearer token in the Authorization header.")
