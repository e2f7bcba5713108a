"""What is done with sessions: begin, recognise, refresh, end. Knows accounts, and writes the audit log."""

import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from backchannel.audit import Audit, subject_of
from backchannel.context import Identity
from backchannel.errors import NotFoundError, UnauthenticatedError, UnavailableError
from backchannel.ids import new_id
from backchannel.sessions.base import MAX_USER_AGENT_CHARS, EndReason, Session, SessionCheck, SessionStore
from backchannel.sessions.refusals import DISABLED, InvalidGrantError, InvalidScopeError, ended_message
from backchannel.sessions.tokens import SessionKind, derived_token, kind_of, new_token, token_hash
from backchannel.stores.sql.accounts import AccountStatus, SqlAccounts
from backchannel.stores.times import utc_now
from backchannel.web.clients import Client

TOUCH_SECONDS = 60
"""How exact `Session.last_seen_at` is: more often would be a write per request."""

REPEAT_SECONDS = 10
"""For so long after its exchange, a refresh token gives the same answer again: a client whose connection broke has lost
the first one. Later it is taken for stolen."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long sessions last, in seconds.

    Attributes:
        idle: Of cookies and refresh tokens, without use.
        longest: Of cookies and refresh tokens, in all.
        access: Of access tokens.
    """

    idle: int
    longest: int
    access: int


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The answer to a grant.

    Attributes:
        expires_in: Seconds until the access token expires.
    """

    access_token: str
    refresh_token: str
    expires_in: int
    identity: Identity


class Sessions:
    """The sessions of a server.

    Args:
        key: The server's secret, for CSRF tokens.
        check: Of people who have logged in with an identity provider.
    """

    def __init__(
        self,
        store: SessionStore,
        accounts: SqlAccounts,
        audit: Audit,
        lifetimes: Lifetimes,
        key: bytes,
        *,
        check: SessionCheck | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self.audit = audit
        self.lifetimes = lifetimes
        self._accounts = accounts
        self._key = key
        self._check = check
        self._clock = clock

    async def begin(
        self,
        identity: Identity,
        client: Client,
        *,
        former: Session | None = None,
        password_of: datetime | None = None,
    ) -> tuple[str, Session]:
        """Begin the session of a browser, and end the one that the browser had before. Returns the token for the
        cookie, which is always a new one.

        Args:
            password_of: When the password was set with which the person has logged in, if it was with one.

        Raises:
            UnauthenticatedError: The account was disabled, or its password changed, meanwhile.
            UnavailableError: It cannot be stored.
        """
        token = new_token("cookie")
        session = self._session("cookie", identity, token, client, idle_seconds=self.lifetimes.idle)
        await self.audit.grant("login.succeeded", identity, client, subject=session.id)
        await self._create(session, password_of=password_of)
        if former is not None:
            await self.store.end(former.identity, former.id, self._clock(), "replaced")
        return token, session

    async def grant(
        self, identity: Identity, client: Client, *, password_of: datetime | None = None
    ) -> TokenPair:
        """Begin a login of a program.

        Args:
            password_of: See `begin`.

        Raises:
            UnauthenticatedError: The account was disabled, or its password changed, meanwhile.
            UnavailableError: It cannot be stored.
        """
        family = new_id("family")
        refresh, access = new_token("refresh"), new_token("access")
        pair = self._pair(identity, client, family, refresh, access)
        await self.audit.grant("token.granted", identity, client, subject=pair[0].id)
        await self._create(*pair, password_of=password_of)
        return TokenPair(access, refresh, self._access_seconds(pair[1]), identity)

    async def personal(self, identity: Identity, name: str, days: int, client: Client) -> tuple[str, Session]:
        """Make a personal token.

        Raises:
            UnavailableError: It cannot be stored.
        """
        token = new_token("personal")
        session = self._session("personal", identity, token, client, name=name[:200])
        session = replace(session, expires_at=session.created_at + timedelta(days=days))
        await self.audit.grant("token.created", None, client, subject=session.id, owner=subject_of(identity))
        await self._create(session)
        return token, session

    async def recognise(self, token: str, *kinds: SessionKind, check: bool = True) -> Session:
        """The live session of a token, with the scopes that its owner still has.

        Args:
            check: Whether the identity provider must still accept the login. It need not for a session that is ended.

        Raises:
            UnauthenticatedError: There is none; the message says why.
            UnavailableError: The store, or the identity provider for too long, cannot be reached.
        """
        kind = kind_of(token)
        if kind == "refresh" and kind not in kinds:
            raise UnauthenticatedError(
                "This is a refresh token: exchange it for an access token at /auth/token, and send that."
            )
        found = None
        if kind is not None and kind in kinds:
            found = await self.store.find_with_account(token_hash(token), kind, self._accounts)
        if found is None or found[0].kind != kind:
            raise UnauthenticatedError("The session or token is not known. Log in again.")
        session, account = found
        now = self._clock()
        if not session.live(now):
            raise UnauthenticatedError(ended_message(session))
        session = _checked(session, account)
        if (
            check
            and self._check is not None
            and kind == "cookie"
            and not await self._check.still_good(session)
        ):
            await self.end(session, Client(), "provider")
            raise UnauthenticatedError(ended_message(replace(session, ended_reason="provider")))
        await self._touch(session, now)
        return session

    async def has_ended(self, session: Session) -> bool:
        """Whether a session was ended, or its account disabled, since it was recognised. One that has only expired was
        not: a stream goes on after the time of an access token.

        Raises:
            UnavailableError: The store cannot be reached.
        """
        found = await self.store.find_with_account(session.token_hash, session.kind, self._accounts)
        if found is None or found[0].ended_at is not None:
            return True
        try:
            _checked(*found)
        except UnauthenticatedError:
            return True
        return False

    async def refresh(self, token: str, client: Client, scopes: frozenset[str] | None = None) -> TokenPair:
        """Exchange a refresh token. A repetition within `REPEAT_SECONDS` gets the same tokens; a later one ends the
        login.

        Args:
            scopes: Narrower scopes for the access token (RFC 6749, section 6).

        Raises:
            InvalidGrantError: The token is not valid.
            UnavailableError: The store cannot be reached.
        """
        found = None
        if kind_of(token) == "refresh":
            found = await self.store.find_with_account(token_hash(token), "refresh", self._accounts)
        if found is None or found[0].family is None:
            raise InvalidGrantError("The refresh token is not known. Log in again.")
        former, account = found
        now = self._clock()
        if former.ended_at is not None or former.expired(now):
            raise InvalidGrantError(ended_message(former))
        try:
            former = _checked(former, account)
        except UnauthenticatedError as error:
            raise InvalidGrantError(error.message) from None
        narrowed = _narrowed(former.identity, scopes)
        if former.rotated_at is None:
            key = secrets.token_hex(32)
            pair, made = self._successors(former, narrowed, token, key, client)
            if await self.store.exchange(former, now, key, made):
                await self.audit.note("token.refreshed", former.identity, client, subject=former.family)
                return pair
            former = await self.store.find(former.token_hash)
            if former is None or former.ended_at is not None:
                raise InvalidGrantError("The refresh token has just been revoked. Log in again.")
        return await self._repeated(former, narrowed, token, client)

    async def _repeated(self, former: Session, narrowed: Identity, token: str, client: Client) -> TokenPair:
        assert former.rotated_at is not None
        assert former.rotation_key is not None
        assert former.family is not None
        now = self._clock()
        if (now - former.rotated_at).total_seconds() <= REPEAT_SECONDS:
            pair, made = self._successors(former, narrowed, token, former.rotation_key, client)
            stored = await self.store.find(made[1].token_hash)
            if stored is not None and stored.live(now):
                return replace(pair, expires_in=self._access_seconds(stored), identity=stored.identity)
        await self.store.end_family(former.identity, former.family, now, "reuse")
        await self.audit.note("token.reused", former.identity, client, subject=former.family)
        raise InvalidGrantError(
            "This refresh token was used before, so it may have been stolen. Everything of this login has been "
            "revoked: log in again."
        )

    async def end(self, session: Session, client: Client, reason: EndReason = "logout") -> None:
        """End a session and, of a program, the login that it is of."""
        now = self._clock()
        if session.family is not None:
            await self.store.end_family(session.identity, session.family, now, reason)
        else:
            await self.store.end(session.identity, session.id, now, reason)
        await self.audit.note("session.ended", session.identity, client, subject=session.id, reason=reason)

    async def end_by_id(self, identity: Identity, session_id: str, client: Client) -> None:
        """End one of one's own sessions.

        Raises:
            NotFoundError: The caller has no such live session.
        """
        session = await self.store.find_by_id(identity, session_id)
        if session is None or session.kind == "access" or not session.live(self._clock()):
            raise NotFoundError("You have no such session.")
        await self.end(session, client, "revoked")

    async def end_all(
        self, identity: Identity, client: Client, reason: EndReason, *, actor: Identity | None
    ) -> int:
        """End every session of a person; how many."""
        ended = await self.store.end_all(identity, self._clock(), reason)
        await self.audit.note("sessions.ended", actor, client, subject=subject_of(identity), reason=reason)
        return ended

    async def listed(self, identity: Identity) -> Sequence[Session]:
        """One's own live sessions, newest first: browsers, logins of programs (by their refresh tokens), and personal
        tokens."""
        return await self.store.all_of(identity, self._clock())

    def csrf_token(self, session: Session) -> str:
        """What a page of this server sends with requests that change something, as `X-CSRF-Token`."""
        return hmac.new(self._key, f"csrf:{session.id}".encode(), "sha256").hexdigest()

    async def _create(self, *sessions: Session, password_of: datetime | None = None) -> None:
        await self.store.create(*sessions)
        # The account is looked at again only now: if it was disabled, or its password changed, before these sessions
        # existed, they were not among those that were ended.
        try:
            account = await self._accounts.status(sessions[0].identity)
            if account is not None and password_of is not None:
                if account.disabled:
                    raise UnauthenticatedError(DISABLED)
                if account.password_changed_at != password_of:
                    raise UnauthenticatedError("The password has just been changed. Log in with the new one.")
            elif password_of is not None:
                raise UnauthenticatedError("This account has just been deleted.")
        except BaseException:
            for each in sessions:
                await self.store.end(each.identity, each.id, self._clock(), "disabled")
            raise

    async def _touch(self, session: Session, now: datetime) -> None:
        if now - session.last_seen_at < timedelta(seconds=TOUCH_SECONDS):
            return
        try:
            await self.store.touch(session, now)
        except UnavailableError as error:
            # A database that takes no writes still answers reads.
            log.warning("session_not_touched", reason=error.message)

    def _session(
        self, kind: SessionKind, identity: Identity, token: str, client: Client, **fields: Any
    ) -> Session:
        now = self._clock()
        longest: dict[str, Any] = {"expires_at": now + timedelta(seconds=self.lifetimes.longest)}
        return Session(
            id=new_id("session"),
            kind=kind,
            identity=identity,
            token_hash=token_hash(token),
            created_at=now,
            last_seen_at=now,
            user_agent=client.user_agent[:MAX_USER_AGENT_CHARS] or None,
            address=client.region,
            **(longest | fields),
        )

    def _pair(
        self,
        identity: Identity,
        client: Client,
        family: str,
        refresh: str,
        access: str,
        ends: datetime | None = None,
    ) -> tuple[Session, Session]:
        """A refresh token and an access token; the latter ends with the former at the latest."""
        long: dict[str, Any] = {"expires_at": ends} if ends is not None else {}
        first = self._session(
            "refresh", identity, refresh, client, family=family, idle_seconds=self.lifetimes.idle, **long
        )
        soon = min(first.expires_at, first.created_at + timedelta(seconds=self.lifetimes.access))
        second = self._session("access", identity, access, client, family=family, expires_at=soon)
        return first, second

    def _successors(
        self, former: Session, narrowed: Identity, token: str, key: str, client: Client
    ) -> tuple[TokenPair, tuple[Session, Session]]:
        assert former.family is not None
        refresh, access = derived_token("refresh", key, token), derived_token("access", key, token)
        first, second = self._pair(former.identity, client, former.family, refresh, access, former.expires_at)
        second = replace(second, identity=narrowed)
        return TokenPair(access, refresh, self._access_seconds(second), narrowed), (first, second)

    def _access_seconds(self, session: Session) -> int:
        return max(0, int((session.expires_at - self._clock()).total_seconds()))


def _checked(session: Session, account: AccountStatus | None) -> Session:
    """The session with the scopes and the name that its owner has now. The account decides, whatever the store of
    sessions says: that may have been restored from a backup.

    Raises:
        UnauthenticatedError: The account is disabled, or its password was changed since.
    """
    if account is None:
        return session
    if account.disabled:
        raise UnauthenticatedError(DISABLED)
    if session.created_at < account.password_changed_at:
        raise UnauthenticatedError("The password was changed after this login. Log in again.")
    identity = session.identity
    scopes, name = identity.scopes & account.scopes, account.display_name
    if (scopes, name) == (identity.scopes, identity.name):
        return session
    return replace(session, identity=replace(identity, scopes=scopes, name=name))


def _narrowed(identity: Identity, scopes: frozenset[str] | None) -> Identity:
    if scopes is None:
        return identity
    if more := scopes - identity.scopes:
        raise InvalidScopeError(f"The login does not have the scope {' '.join(sorted(more))[:100]}.")
    return replace(identity, scopes=scopes)
