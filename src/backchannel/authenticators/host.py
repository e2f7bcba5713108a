"""Callers whom somebody else has authenticated: the application that hosts the server, or the proxy in front of it."""

import inspect
from collections.abc import Awaitable, Callable
from typing import override

from starlette.requests import HTTPConnection

from backchannel.authenticators.base import Authenticated, Authenticator
from backchannel.context import Identity, has_hidden
from backchannel.errors import UnauthenticatedError
from backchannel.web.forwarded import from_trusted_proxy

type Identify = Callable[[HTTPConnection], Awaitable[Identity | None] | Identity | None]
"""Says who is calling; `None` if nobody has logged in."""


class HostAuthenticator(Authenticator):
    """Asks a function of the host application, such as one that reads its session.

    What it finds is taken for sent by the browser itself, so requests of other sites' pages that change something are
    refused (`Authenticated.ambient`).

    Args:
        identify: The function; may be `async def`.
    """

    def __init__(self, identify: Identify) -> None:
        self._identify = identify

    @override
    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        found = self._identify(request)
        identity = await found if inspect.isawaitable(found) else found
        return None if identity is None else Authenticated(identity, ambient=True)


class ProxyHeaderAuthenticator(Authenticator):
    """Takes the user's id from a header that a proxy sets after it has authenticated the caller.

    The header counts only from the addresses of trusted proxies. From anybody else it is refused: whoever sends it
    tries to be somebody. The proxy must remove it from what its clients send.

    Args:
        header: The header's name.
    """

    def __init__(self, header: str) -> None:
        self._header = header

    @override
    async def authenticate(self, request: HTTPConnection) -> Authenticated | None:
        values = request.headers.getlist(self._header)
        if not values:
            return None
        if not from_trusted_proxy(request.scope):
            raise UnauthenticatedError(
                f"{self._header} counts only from the proxies that BACKCHANNEL_TRUSTED_PROXIES names."
            )
        try:
            # Only then is it looked at: most bytes of other alphabets would be control characters of Latin-1.
            user = _decoded(values[0])
            if len(values) > 1 or "," in user or has_hidden(user):
                raise ValueError("it must have one value, the id of the user")
            return Authenticated(Identity(user), ambient=True)
        except UnicodeDecodeError:
            raise UnauthenticatedError(f"{self._header}: it must be UTF-8.") from None
        except ValueError as error:
            raise UnauthenticatedError(f"{self._header}: {error}".rstrip(".") + ".") from None


def _decoded(value: str) -> str:
    """A header's value as the proxy meant it: frameworks read bytes as Latin-1, proxies send UTF-8."""
    return value.encode("latin-1").decode()
