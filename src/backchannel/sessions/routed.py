"""Logins in one store and personal tokens in another."""

from collections.abc import Sequence
from datetime import datetime
from typing import override

from backchannel.context import Identity
from backchannel.sessions.base import EndReason, Session, SessionStore
from backchannel.sessions.tokens import SessionKind
from backchannel.stores.sql.accounts import AccountStatus, SqlAccounts


class RoutedSessions(SessionStore):
    """Personal tokens are kept where nothing is lost by a restart, as scripts cannot log in again; cookies, access and
    refresh tokens are kept where their use costs less.

    Args:
        logins: The store of everything but personal tokens.
        personal: The store of personal tokens.
    """

    def __init__(self, logins: SessionStore, personal: SessionStore) -> None:
        self._logins = logins
        self._personal = personal

    @override
    async def create(self, *sessions: Session) -> None:
        await self._store_of(sessions[0]).create(*sessions)

    @override
    async def find(self, token_hash: str) -> Session | None:
        return await self._logins.find(token_hash) or await self._personal.find(token_hash)

    @override
    async def find_with_account(
        self, token_hash: str, kind: SessionKind, accounts: SqlAccounts
    ) -> tuple[Session, AccountStatus | None] | None:
        # Scripts with personal tokens need not wait for, or fail with, the store of logins.
        found = None
        if kind != "personal":
            found = await self._logins.find_with_account(token_hash, kind, accounts)
        return found or await self._personal.find_with_account(token_hash, kind, accounts)

    @override
    async def find_by_id(self, identity: Identity, session_id: str) -> Session | None:
        found = await self._logins.find_by_id(identity, session_id)
        return found or await self._personal.find_by_id(identity, session_id)

    @override
    async def touch(self, session: Session, now: datetime) -> None:
        await self._store_of(session).touch(session, now)

    @override
    async def exchange(
        self, session: Session, now: datetime, key: str, successors: Sequence[Session]
    ) -> bool:
        return await self._logins.exchange(session, now, key, successors)

    @override
    async def end(self, identity: Identity, session_id: str, now: datetime, reason: EndReason) -> bool:
        return await self._logins.end(identity, session_id, now, reason) or await self._personal.end(
            identity, session_id, now, reason
        )

    @override
    async def end_family(self, identity: Identity, family: str, now: datetime, reason: EndReason) -> int:
        return await self._logins.end_family(identity, family, now, reason)

    @override
    async def end_all(self, identity: Identity, now: datetime, reason: EndReason) -> int:
        ended = await self._personal.end_all(identity, now, reason)
        return ended + await self._logins.end_all(identity, now, reason)

    @override
    async def all_of(self, identity: Identity, now: datetime) -> Sequence[Session]:
        both = [*await self._logins.all_of(identity, now), *await self._personal.all_of(identity, now)]
        return sorted(both, key=lambda each: (each.created_at, each.id), reverse=True)

    @override
    async def delete_all(self, identity: Identity) -> int:
        return await self._logins.delete_all(identity) + await self._personal.delete_all(identity)

    @override
    async def delete_expired(self, now: datetime) -> int:
        return await self._logins.delete_expired(now) + await self._personal.delete_expired(now)

    @override
    async def aclose(self) -> None:
        await self._logins.aclose()
        await self._personal.aclose()

    def _store_of(self, session: Session) -> SessionStore:
        return self._personal if session.kind == "personal" else self._logins
