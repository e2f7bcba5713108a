"""What the endpoints below `/auth` use."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from fastapi import Request

from backchannel.accounts.logins import Logins
from backchannel.accounts.passwords import Passwords
from backchannel.authenticators.base import Authenticated
from backchannel.errors import NotFoundError, UnauthenticatedError
from backchannel.http.auth.login_page import LoginMethods
from backchannel.http.services import Services
from backchannel.oidc.logins import OidcLogins
from backchannel.sessions.base import Session
from backchannel.sessions.cookies import SessionCookies
from backchannel.sessions.service import Sessions
from backchannel.stores.times import utc_now
from backchannel.web.clients import Client, client_of
from backchannel.web.origins import WriteOrigins

SWEEP_SECONDS = 3600

NO_USER = "Nobody can log in yet. Make a user with: backchannel user add NAME"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """The parts of logins.

    Attributes:
        logins: Checks passwords; `None` where people do not log in with one.
        passwords: Its threads; closed at the end.
        oidc: Logs people in with an identity provider; `None` without one.
        origins: Which pages may send requests with unsafe methods.
    """

    sessions: Sessions
    cookies: SessionCookies
    origins: WriteOrigins
    logins: Logins | None = None
    passwords: Passwords | None = None
    oidc: OidcLogins | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Delete what has expired, at once and then every hour, while the block runs, and close everything at its end.
        Without any account, say how to make one."""
        if self.logins is not None and self.oidc is None and not await self.logins.accounts.any():
            log.warning("no_user", hint=NO_USER)
            sys.stdout.write(f"{NO_USER}\n")
            sys.stdout.flush()
        sweeping = asyncio.create_task(self._sweep(), name="sessions")
        try:
            yield
        finally:
            sweeping.cancel()
            await asyncio.wait([sweeping])
            await self._close()

    async def _close(self) -> None:
        if self.passwords is not None:
            self.passwords.close()
        if self.oidc is not None:
            await self.oidc.aclose()
        await self.sessions.store.aclose()

    async def _sweep(self) -> None:
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self.sessions.store.delete_expired(utc_now())
                    if self.logins is not None:
                        await self.logins.limits.delete_old(utc_now())
                    if self.oidc is not None:
                        await self.oidc.delete_expired(utc_now())
            except Exception:
                log.exception("sessions_not_swept")
            await asyncio.sleep(SWEEP_SECONDS)


def access_of(services: Services) -> Access:
    """The parts of logins.

    Raises:
        NotFoundError: The application identifies callers itself.
    """
    access: Access | None = services.parts.access
    if access is None:
        raise NotFoundError("Nobody logs in here: the application identifies its callers itself.")
    return access


def client(request: Request) -> Client:
    """From where a request comes."""
    return client_of(request, request.state.backchannel.request_id)


def login_methods(access: Access) -> LoginMethods:
    """How people log in here."""
    return LoginMethods(access.logins is not None, access.oidc.name if access.oidc is not None else None)


async def former_session(request: Request, access: Access) -> Session | None:
    """The session that a browser has before a login or logout, which ends it."""
    try:
        # Without the identity provider, which may be away.
        return await access.cookies.session(request, check=False)
    except UnauthenticatedError:
        return None


def prefix_of(request: Request) -> str:
    """The prefix under which a browser reaches the server, without a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def home_of(request: Request) -> str:
    """The path of the chat page."""
    return f"{prefix_of(request)}/"


async def authenticated(request: Request) -> Authenticated:
    """How the caller was authenticated.

    Raises:
        UnauthenticatedError: Missing or invalid credentials.
        ForbiddenError: The credentials must not be used from the request's origin.
    """
    exchange = request.state.backchannel
    await exchange.authenticate(request)
    return exchange.authenticated
