"""The contract of session stores."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from backchannel.context import Identity
from backchannel.sessions.tokens import SessionKind
from backchannel.stores.sql.accounts import AccountStatus, SqlAccounts

type EndReason = Literal["logout", "revoked", "replaced", "password", "disabled", "reuse", "provider"]
"""Why a session has ended: its owner logged out or revoked it, a login of the same browser replaced it, the password
was changed, the account was disabled, a refresh token was used twice, or the login at the identity provider has
ended."""

MAX_USER_AGENT_CHARS = 200

KEEP_ENDED = timedelta(days=1)
"""How long an ended or expired session is stored, so that its owner is told why, and reuse of its token is noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login of one browser, or one token.

    Attributes:
        id: `ses_…`. Not secret: it names the session to its owner, and cannot be used in place of the token.
        identity: The owner, with the scopes of the session.
        token_hash: The digest of the token.
        family: Of access and refresh tokens: the login that they come from.
        last_seen_at: The last use, exact to a minute.
        idle_seconds: After so long without use it expires; `None`: only at `expires_at`.
        expires_at: It ends then at the latest.
        name: What its owner calls a personal token.
        user_agent: Of the login, shortened.
        address: Of the login, shortened to a network; see `web.clients.Client.region`.
        rotated_at: When a refresh token was exchanged.
        rotation_key: The key of `tokens.derived_token` of that exchange.
        ended_at: When it was ended before it expired.
    """

    id: str
    kind: SessionKind
    identity: Identity
    token_hash: str = field(repr=False)
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    idle_seconds: int | None = None
    family: str | None = None
    name: str | None = None
    user_agent: str | None = None
    address: str | None = None
    rotated_at: datetime | None = None
    rotation_key: str | None = field(default=None, repr=False)
    ended_at: datetime | None = None
    ended_reason: EndReason | None = None

    def expired(self, now: datetime) -> bool:
        """Whether its time is over, by lack of use or in all."""
        idle = self.idle_seconds
        return now >= self.expires_at or (
            idle is not None and now - self.last_seen_at >= timedelta(seconds=idle)
        )

    def live(self, now: datetime) -> bool:
        """Whether it can still be used."""
        return self.ended_at is None and self.rotated_at is None and not self.expired(now)


class SessionCheck(ABC):
    """Decides with whoever has logged somebody in whether the login is still good."""

    @abstractmethod
    async def still_good(self, session: Session) -> bool:
        """Whether a live session of a browser can go on.

        Raises:
            UnavailableError: That is not known, and has not been for too long.
        """


class SessionStore(ABC):
    """Sessions by the digest of their token, shared by all replicas.

    What one replica ends, no other replica finds alive afterwards: nothing is cached. Methods with an identity see and
    change only sessions of that owner. Every method but `aclose` raises `backchannel.errors.UnavailableError` if the
    store cannot be reached.
    """

    @abstractmethod
    async def create(self, *sessions: Session) -> None:
        """Store new sessions of one owner, all or none."""

    @abstractmethod
    async def find(self, token_hash: str) -> Session | None:
        """The session of a token. Also one that has ended or expired, for at least `KEEP_ENDED`."""

    async def find_with_account(
        self, token_hash: str, kind: SessionKind, accounts: SqlAccounts
    ) -> tuple[Session, AccountStatus | None] | None:
        """The session of a token, as `find` has it, with the account of its owner, if there is one. A store in the
        database of the accounts needs one statement for both; this needs two.

        Args:
            kind: Of the token. Where stores differ by kind, only the one of this kind is asked.
        """
        session = await self.find(token_hash)
        return None if session is None else (session, await accounts.status(session.identity))

    @abstractmethod
    async def find_by_id(self, identity: Identity, session_id: str) -> Session | None:
        """The session of an owner by its id, live or not."""

    @abstractmethod
    async def touch(self, session: Session, now: datetime) -> None:
        """Note a use. A session that is gone is not made anew."""

    @abstractmethod
    async def exchange(
        self, session: Session, now: datetime, key: str, successors: Sequence[Session]
    ) -> bool:
        """Mark a refresh token as exchanged, and store its successors, in one step. Of several calls for one token one
        is true; the others, and those for a token that has ended, change nothing."""

    @abstractmethod
    async def end(self, identity: Identity, session_id: str, now: datetime, reason: EndReason) -> bool:
        """End a session; whether it was found and had not ended before."""

    @abstractmethod
    async def end_family(self, identity: Identity, family: str, now: datetime, reason: EndReason) -> int:
        """End all tokens of one login, also those that are stored meanwhile by an exchange; how many."""

    @abstractmethod
    async def end_all(self, identity: Identity, now: datetime, reason: EndReason) -> int:
        """End all sessions of an owner, also those that are stored meanwhile by an exchange; how many. One that a login
        creates at the same time may stay: logins look at the account again afterwards."""

    @abstractmethod
    async def all_of(self, identity: Identity, now: datetime) -> Sequence[Session]:
        """The live sessions of an owner, newest first, perhaps not all of very many. Without access tokens, which are
        short-lived and come with their refresh token."""

    @abstractmethod
    async def delete_all(self, identity: Identity) -> int:
        """Delete everything that is stored of an owner; how many sessions. May be repeated."""

    @abstractmethod
    async def delete_expired(self, now: datetime) -> int:
        """Delete sessions that ended or expired more than `KEEP_ENDED` ago; how many. Zero for a store that does so by
        itself."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""
