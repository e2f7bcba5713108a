"""Whether a login is still good at the provider: a person who is disabled there loses their sessions here."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import override

import structlog

from backchannel.errors import UnavailableError
from backchannel.oidc.id_tokens import InvalidIdTokenError, verified_claims
from backchannel.oidc.provider import GrantRefusedError, Provider, Tokens
from backchannel.oidc.sealing import Sealer
from backchannel.sessions.base import Session, SessionCheck
from backchannel.stores.sql.provider_logins import ProviderLogin, SqlProviderLogins
from backchannel.stores.times import utc_now

RETRY_SECONDS = 60
"""Time until the next try after the provider did not answer, and for which a check belongs to one replica."""

STALE = timedelta(days=1)
"""How long a session is used without an answer of the provider: one that is away must not lock people out, and one that
is away for a day must not be trusted for ever. As with keys (`fetched_document`)."""

MAX_REMEMBERED = 10_000

log = structlog.get_logger(__name__)


class ProviderChecks(SessionCheck):
    """Refreshes the provider's tokens of a session that is used, at most once in a time, on one replica.

    Args:
        seconds: The time. A person who is disabled at the provider loses the session after it, with the next use.
        leeway: See `verified_claims`.
    """

    def __init__(
        self,
        provider: Provider,
        store: SqlProviderLogins,
        sealer: Sealer,
        *,
        seconds: int,
        leeway: int,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self.provider = provider
        self._sealer = sealer
        self._seconds = seconds
        self._leeway = leeway
        self._clock = clock
        # Only times before which no check is due anywhere: whether a session has ended is never remembered.
        self._due: dict[str, datetime] = {}
        self._running = set[asyncio.Task[bool]]()

    async def begin(self, session: Session, tokens: Tokens, subject: str) -> None:
        """Remember a login that has just begun a session.

        Raises:
            UnavailableError: It cannot be stored.
        """
        now = self._clock()
        sealed = self._seal(session.id, tokens, subject)
        check_at = None if tokens.refresh_token is None else now + timedelta(seconds=self._seconds)
        login = ProviderLogin(session.id, sealed, now, check_at, session.expires_at)
        await self.store.add(session.identity, login)

    async def id_token(self, session: Session) -> str | None:
        """The ID token of a session, for the logout at the provider."""
        login = await self.store.find(session.identity, session.id)
        values = None if login is None else self._sealer.open(f"login {session.id}", login.sealed)
        return None if values is None else values["id_token"]

    async def forget(self, session: Session) -> None:
        """Delete what is known of a login whose session ends."""
        self._due.pop(session.id, None)
        await self.store.delete(session.identity, session.id)

    @override
    async def still_good(self, session: Session) -> bool:
        now = self._clock()
        if self._due.get(session.id, now) > now:
            return True
        login = await self.store.find(session.identity, session.id)
        if login is None or login.check_at is None:
            return self._remember(session.id, session.expires_at)
        stale_at = login.checked_at + STALE
        if login.check_at > now and stale_at > now:
            return self._remember(session.id, min(login.check_at, stale_at))
        if login.check_at <= now and await self.store.claim(
            session.identity, login, now + timedelta(seconds=RETRY_SECONDS)
        ):
            # Not ended with the request: a refresh token that was exchanged must be stored.
            task = asyncio.create_task(self._refreshed(session, login), name="oidc_refresh")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return await asyncio.shield(task)
        if stale_at <= now:
            raise self.provider.unavailable()
        return True

    async def aclose(self) -> None:
        """Wait, for a bounded time, for checks that are under way."""
        if self._running:
            await asyncio.wait(self._running, timeout=1)
        for task in self._running:
            task.cancel()

    async def _refreshed(self, session: Session, login: ProviderLogin) -> bool:
        values = self._sealer.open(f"login {session.id}", login.sealed)
        if values is None:
            log.warning("oidc_login_unreadable", session=session.id)
            return False
        try:
            tokens = await self.provider.refresh(values["refresh_token"])
            if tokens.id_token is not None:
                claims = await verified_claims(
                    self.provider,
                    tokens.id_token,
                    nonce=None,
                    access_token=tokens.access_token,
                    leeway=self._leeway,
                )
                if claims["sub"] != values["subject"]:
                    raise InvalidIdTokenError("it is of another person")
        except GrantRefusedError:
            return False
        except InvalidIdTokenError as error:
            log.warning("oidc_refresh_refused", session=session.id, reason=str(error))
            return False
        except UnavailableError:
            if login.checked_at + STALE <= self._clock():
                raise
            return True
        now = self._clock()
        new = Tokens(
            tokens.access_token,
            tokens.id_token or values["id_token"],
            tokens.refresh_token or values["refresh_token"],
        )
        sealed = self._seal(session.id, new, values["subject"])
        next_at = now + timedelta(seconds=self._seconds)
        await self.store.checked(session.identity, session.id, sealed, now, next_at)
        return self._remember(session.id, next_at)

    def _seal(self, session_id: str, tokens: Tokens, subject: str) -> str:
        # Not the access token: nothing uses it.
        values = {"refresh_token": tokens.refresh_token, "id_token": tokens.id_token, "subject": subject}
        return self._sealer.seal(f"login {session_id}", values)

    def _remember(self, session_id: str, due: datetime) -> bool:
        if len(self._due) >= MAX_REMEMBERED:
            self._due.clear()
        self._due[session_id] = due
        return True
